package herald_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// largeMessages broadcasts so many, which begin with their number from first on.
func largeMessages(t *testing.T, node *heraldtest.Server, first, n, size int) {
	t.Helper()
	for i := range n {
		broadcast(t, node, "large", "n", fmt.Sprint(first+i, " ", strings.Repeat("x", size)))
	}
}

func expectLarge(t *testing.T, c *heraldtest.Client, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		if m := c.Next(); !strings.HasPrefix(string(m.Data), fmt.Sprintf(`"%d x`, i)) {
			t.Fatalf("got %.200s, want message %d", m.Raw, i)
		}
	}
}

// Nodes read a history page by page, and of large messages a page has few: less than is wanted, and where somebody
// wants what is late in it, none of that.
func nodesLarge(t *testing.T, redis *heraldtest.Redis) {
	const many, size = 40, 300 << 10
	nodes := startNodesOver(t, redis, 2, keeping(100, "large"))
	epoch := epochOf(t, nodes[0], "large")
	largeMessages(t, nodes[0], 1, many, size)
	for _, from := range []int{36, 30, 0} {
		c := nodes[1].Dial(t)
		askSince(t, c, "large", since(epoch, uint64(from))).recovered(t, "yes")
		expectLarge(t, c, from+1, many)
		c.Close()
	}
	for query, want := range map[string][2]int{
		"?limit=1000":                          {1, 40},
		"?limit=30":                            {11, 30},
		"?limit=1000&since=" + epoch + "-5":    {6, 35},
		"?limit=20&since=" + epoch + "-5":      {6, 20},
		"?limit=1000&since=ABCDEFGHIJKLMNOP-5": {1, 40},
	} {
		answer := apiCall(t, nodes[1], http.MethodGet, "/channels/large/history"+query, "")
		page := decode[struct{ Messages []struct{ Offset int } }](t, answer.Body)
		if n := len(page.Messages); n != want[1] || n > 0 && page.Messages[0].Offset != want[0] {
			t.Errorf("%s: got %d messages, want %d from %d on", query, n, want[1], want[0])
		}
	}
}

// withLosses is a broker whose node is not told of what is published while it is deaf.
type withLosses struct {
	herald.Broker
	node   herald.Node
	isDeaf atomic.Bool
}

func (b *withLosses) Run(ctx context.Context, n herald.Node) error {
	b.node = n
	return b.Broker.Run(ctx, missing{n, b})
}

type missing struct {
	herald.Node
	broker *withLosses
}

func (m missing) Deliver(stream, epoch string, entries []herald.Entry) {
	if !m.broker.isDeaf.Load() {
		m.Node.Deliver(stream, epoch, entries)
	}
}

// A node reads what it has missed behind the last that it has, and that with it: here the two are more than a page.
func nodesLargeMissed(t *testing.T, redis *heraldtest.Redis) {
	const many, size, larger = 5, 1000 << 10, 1200 << 10
	config := keeping(100, "large")
	config.Limits.MaxPayloadSize = 2 << 20
	broker := &withLosses{}
	deaf := startNodeWith(t, redis, config, func(b herald.Broker) herald.Broker {
		broker.Broker = b
		return broker
	})
	node := startNodesOver(t, redis, 1, config)[0]
	c := deaf.Dial(t)
	askSince(t, c, "large", nil)
	largeMessages(t, node, 1, 1, size)
	expectLarge(t, c, 1, 1)
	broker.isDeaf.Store(true)
	largeMessages(t, node, 2, many-1, larger)
	broker.node.Restored()
	expectLarge(t, c, 2, many)
}
