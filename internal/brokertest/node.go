package brokertest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// patience is how long a test waits for what must come: far longer than it takes.
const patience = 20 * time.Second

// Node is a node that writes down what its broker tells it.
type Node struct {
	// OnAsk answers the questions of others, and Settings are what the node says that it has. They are set
	// before the broker runs, or before anybody asks.
	OnAsk    func(question []byte) []byte
	Settings herald.Shared

	mu       sync.Mutex // guards the fields below
	told     map[string][]Told
	changes  map[string][]herald.PresenceChange
	restored int
	news     chan struct{} // closed when something is written down
}

// Told is one publication as the node was told of it.
type Told struct {
	Epoch  string
	Offset uint64
	Body   string
}

// NewNode makes a node that answers each question with itself.
func NewNode() *Node {
	return &Node{
		told: map[string][]Told{}, changes: map[string][]herald.PresenceChange{}, news: make(chan struct{}),
		OnAsk: func(q []byte) []byte { return q },
	}
}

// write calls f with n.mu held, and tells those who wait.
func (n *Node) write(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.news)
	n.news = make(chan struct{})
}

// Deliver implements herald.Node.
func (n *Node) Deliver(stream, epoch string, entries []herald.Entry) {
	n.write(func() {
		for _, e := range entries {
			n.told[stream] = append(n.told[stream], Told{epoch, e.Offset, string(e.Body)})
		}
	})
}

// PresenceChanged implements herald.Node.
func (n *Node) PresenceChanged(changes []herald.PresenceChange) {
	n.write(func() {
		for _, c := range changes {
			n.changes[c.Channel] = append(n.changes[c.Channel], c)
		}
	})
}

// Restored implements herald.Node.
func (n *Node) Restored() { n.write(func() { n.restored++ }) }

// Shared implements herald.Node.
func (n *Node) Shared() herald.Shared { return n.Settings }

// Answer implements herald.Node.
func (n *Node) Answer(_ context.Context, q []byte) []byte { return n.OnAsk(q) }

// await waits until what is written down is as is says, which is called with the lock held.
func (n *Node) await(t testing.TB, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		n.mu.Lock()
		done, news := is(), n.news
		n.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-late:
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Fatalf("%s did not come; told of %v, restored %d times, changes %+v",
				what, slices.Collect(maps.Keys(n.told)), n.restored, n.changes)
		}
	}
}

// All waits until so many publications have come on a stream, and returns all that have.
func (n *Node) All(t testing.TB, stream string, count int) []Told {
	t.Helper()
	n.await(t, "a publication", func() bool { return len(n.told[stream]) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told[stream])
}

// Bodies is All without the positions.
func (n *Node) Bodies(t testing.TB, stream string, count int) []string {
	t.Helper()
	var bodies []string
	for _, told := range n.All(t, stream, count) {
		bodies = append(bodies, told.Body)
	}
	return bodies
}

// Changes waits until so many changes have come on a channel, and returns all that have.
func (n *Node) Changes(t testing.TB, channel string, count int) []herald.PresenceChange {
	t.Helper()
	n.await(t, "a change", func() bool { return len(n.changes[channel]) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.changes[channel])
}

// AwaitRestored waits until the node was told at least once that its broker was away.
func (n *Node) AwaitRestored(t testing.TB) {
	t.Helper()
	n.await(t, "Restored", func() bool { return n.restored > 0 })
}
