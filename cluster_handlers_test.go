package herald_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/redisbroker"
)

// unsureBroker is a broker whose Publish does what a test wants done in place of it.
type unsureBroker struct {
	herald.Broker
	instead atomic.Pointer[func(publish func() ([]herald.Receipt, error)) ([]herald.Receipt, error)]
}

// Publish implements herald.Broker.
func (b *unsureBroker) Publish(ctx context.Context, ps ...herald.Publication) ([]herald.Receipt, error) {
	publish := func() ([]herald.Receipt, error) { return b.Broker.Publish(ctx, ps...) }
	if instead := b.instead.Load(); instead != nil {
		return (*instead)(publish)
	}
	return publish()
}

func (b *unsureBroker) have(instead func(publish func() ([]herald.Receipt, error)) ([]herald.Receipt, error)) {
	b.instead.Store(&instead)
}

// hearingNode is a node whose handlers say what they hear: "own" of the events that are published there, "all" of all.
type hearingNode struct {
	*heraldtest.Server
	broker *unsureBroker
	heard  chan string
}

func startHearing(t *testing.T, redis *heraldtest.Redis, name string, heard chan string, keep herald.Retention) *hearingNode {
	t.Helper()
	config := quiet(t, herald.Config{EventHistory: keep})
	own, err := redisbroker.New(redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: config.Logger})
	if err != nil {
		t.Fatal(err)
	}
	n := &hearingNode{broker: &unsureBroker{Broker: own}, heard: heard}
	config.Broker = n.broker
	n.Server = heraldtest.Start(t, config)
	listen := func(kind string, opts ...herald.SubscribeOption) {
		_, err := n.SubscribeAll(func(_ context.Context, e herald.Event) error {
			heard <- fmt.Sprint(name, " ", kind, " ", e.ID)
			return nil
		}, opts...)
		if err != nil {
			t.Fatal(err)
		}
	}
	listen("own")
	listen("all", herald.OnEveryNode())
	wsEventually(t, "the node is ready", func() bool {
		return httpCall(t, n.HTTP(), http.MethodGet, n.URL+"/readyz", "").Status == http.StatusOK
	})
	return n
}

// expectHeard waits for these, in any order, and for no other before an event that is published at the end.
func expectHeard(t *testing.T, last *hearingNode, heard chan string, want ...string) {
	t.Helper()
	publish(t, last.Server, herald.Event{ID: "evt-end", Type: "a.b"})
	var got []string
	for range len(want) {
		got = append(got, <-heard)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestHandlersHearOnceWhereAnAnswerIsLost(t *testing.T) {
	errLost := &herald.Error{Code: herald.CodeUnavailable, Message: "the answer is lost"}
	for name, accepted := range map[string]bool{"accepted": true, "not accepted": false} {
		for history, keep := range map[string]herald.Retention{"kept": {}, "not kept": {Count: -1}} {
			t.Run(name+", "+history, func(t *testing.T) {
				heard := make(chan string, 20)
				n := startHearing(t, heraldtest.StartRedis(t), "a", heard, keep)
				n.broker.have(func(publish func() ([]herald.Receipt, error)) ([]herald.Receipt, error) {
					if accepted {
						if _, err := publish(); err != nil {
							t.Errorf("Publish: %v", err)
						}
					}
					return nil, errLost
				})
				event := herald.Event{ID: "evt-1", Type: "a.b"}
				_ = n.Publish(t.Context(), event) // it may have been seen to be accepted all the same
				n.broker.instead.Store(nil)
				publish(t, n.Server, event)
				expectHeard(t, n, heard, "a own evt-1", "a all evt-1", "a own evt-end", "a all evt-end")
			})
		}
	}
}

func TestHandlersHearOnceOfWhatTwoNodesPublish(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	heard := make(chan string, 20)
	a, b := startHearing(t, redis, "a", heard, herald.Retention{}), startHearing(t, redis, "b", heard, herald.Retention{})
	waits, goOn := make(chan struct{}), make(chan struct{})
	b.broker.have(func(publish func() ([]herald.Receipt, error)) ([]herald.Receipt, error) {
		close(waits)
		<-goOn
		return publish()
	})
	ended := make(chan error)
	go func() { ended <- b.Publish(t.Context(), herald.Event{ID: "evt-1", Type: "a.b"}) }()
	<-waits
	listener := eventsFrom(t, b.Server, "", "")
	publish(t, a.Server, herald.Event{ID: "evt-1", Type: "a.b"})
	expectStreamEvents(t, listener, "evt-1")
	close(goOn)
	if err := <-ended; err != nil {
		t.Fatalf("Publish: %v", err)
	}
	b.broker.instead.Store(nil)
	expectHeard(t, a, heard, "a own evt-1", "a all evt-1", "b all evt-1", "a own evt-end", "a all evt-end", "b all evt-end")
}
