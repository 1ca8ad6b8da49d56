package redisbroker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/brokertest"
)

// counter is a node that counts what it is told.
type counter struct {
	*brokertest.Node
	count atomic.Int64
	want  atomic.Int64
	done  chan struct{}
}

func (c *counter) Deliver(_, _ string, entries []herald.Entry) {
	if want := c.want.Load(); c.count.Add(int64(len(entries))) >= want && want > 0 {
		select {
		case c.done <- struct{}{}:
		default:
		}
	}
}

// BenchmarkPublish has 64 publishers of one node publish to another, with bodies of 256 bytes.
func BenchmarkPublish(b *testing.B) {
	for name, keep := range map[string]herald.Retention{"kept": kept, "plain": {}} {
		for _, channels := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%s/channels=%d", name, channels), func(b *testing.B) { benchmarkPublish(b, channels, keep) })
		}
	}
}

func benchmarkPublish(b *testing.B, channels int, keep herald.Retention) {
	const publishers = 64
	redis := heraldtest.StartRedis(b)
	from, _ := countingRig(b, redis)
	to, told := countingRig(b, redis)
	streams := make([]string, channels)
	for i := range streams {
		streams[i] = fmt.Sprint("channel-", i)
		if _, err := to.Subscribe(b.Context(), streams[i], keep); err != nil {
			b.Fatal(err)
		}
	}
	body := make([]byte, 256)
	told.want.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range publishers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				p := herald.Publication{Stream: streams[int(i)%channels], Body: body, Keep: keep}
				if _, err := from.Publish(b.Context(), p); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	<-told.done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func countingRig(b *testing.B, redis *heraldtest.Redis) (*Broker, *counter) {
	broker, err := New(Config{URL: redis.URL, Prefix: redis.Prefix, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	node := &counter{Node: brokertest.NewNode(), done: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- broker.Run(ctx, node) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	eventually(b, "Check to be nil", func() bool { return broker.Check() == nil })
	return broker, node
}
