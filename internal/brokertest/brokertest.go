// Package brokertest holds what every [herald.Broker] must do, as tests that any implementation can run.
package brokertest

import (
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// Setup is an implementation.
type Setup struct {
	// Start runs a broker for each of the nodes, which are those of one application and of this test alone,
	// until the test ends, and returns when they can be used. Stop ends the broker of a node in order.
	Start func(t testing.TB, nodes ...*Node) []Running
	// OneNode says that there cannot be more than one.
	OneNode bool
}

// Running is a broker that runs.
type Running struct {
	herald.Broker
	Stop func()
}

// Test runs every test that goes for an implementation.
func Test(t *testing.T, s Setup) {
	for _, tests := range [][]test{streamTests, historyTests, presenceTests, askTests} {
		for _, one := range tests {
			t.Run(one.name, func(t *testing.T) {
				nodes := one.nodes
				if s.OneNode {
					nodes = 1
				}
				if one.nodes > 1 && s.OneNode && one.needsOthers {
					t.Skip("there is no other node")
				}
				one.run(t, s.start(t, nodes))
			})
		}
	}
}

// test is one of them. It is run with so many nodes, or with one where there cannot be more, unless it needs
// others.
type test struct {
	name        string
	nodes       int
	needsOthers bool
	run         func(*testing.T, []*rig)
}

// rig is a broker that runs, and its node.
type rig struct {
	Running
	node *Node
}

func (s Setup) start(t testing.TB, n int) []*rig {
	t.Helper()
	nodes := make([]*Node, n)
	for i := range nodes {
		nodes[i] = NewNode()
	}
	rigs := make([]*rig, n)
	for i, running := range s.Start(t, nodes...) {
		rigs[i] = &rig{running, nodes[i]}
	}
	return rigs
}

// firstAndLast are two nodes, or twice the only one.
func firstAndLast(rigs []*rig) (first, last *rig) { return rigs[0], rigs[len(rigs)-1] }

// kept is a retention that no test outlives.
var kept = herald.Retention{Count: 1000, Age: time.Hour}

func says(stream, body string, keep herald.Retention) herald.Publication {
	return herald.Publication{Stream: stream, Body: []byte(body), Keep: keep}
}

func (r *rig) subscribe(t testing.TB, stream string, keep herald.Retention) herald.Position {
	t.Helper()
	at, err := r.Subscribe(t.Context(), stream, keep)
	if err != nil {
		t.Fatalf("Subscribe(%q): %v", stream, err)
	}
	return at
}

func (r *rig) publish(t testing.TB, publications ...herald.Publication) []herald.Receipt {
	t.Helper()
	receipts, err := r.Publish(t.Context(), publications...)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return receipts
}

func (r *rig) read(t testing.TB, stream string, keep herald.Retention, rg herald.Range) herald.Page {
	t.Helper()
	page, err := r.Read(t.Context(), stream, keep, rg)
	if err != nil {
		t.Fatalf("Read(%q, %+v): %v", stream, rg, err)
	}
	return page
}

// isEqual compares lists.
func isEqual[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// eventually asks until the answer is yes.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited for %s", what)
		}
	}
}
