package redisbroker

import (
	"slices"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// ask returns the answers, sorted.
func (r *rig) ask(t testing.TB, question string, enough int) []string {
	t.Helper()
	var got []string
	err := r.Ask(t.Context(), []byte(question), func(answer []byte) bool {
		got = append(got, string(answer))
		return len(got) == enough
	})
	if err != nil {
		t.Fatalf("Ask: %v", err)
	}
	slices.Sort(got)
	return got
}

// The node that does not answer costs the wait once, and is waited for again when it has been heard.
func TestASilentNodeIsLeftOut(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a, b, c := start(t, redis), start(t, redis), start(t, redis)
	gate := make(chan struct{})
	b.node.OnAsk = func([]byte) []byte {
		<-gate
		return []byte("late")
	}
	isEqual(t, "answers", a.ask(t, "x", 0), []string{"x"})
	isSilent := func() bool {
		a.asks.mu.Lock()
		defer a.asks.mu.Unlock()
		return a.asks.silent[b.self]
	}
	if !isSilent() {
		t.Error("the node is not known to be silent")
	}
	isEqual(t, "answers", a.ask(t, "y", 0), []string{"y"})
	close(gate)
	a.ask(t, "z", 0)
	eventually(t, "the node to be heard", func() bool { return !isSilent() })
	isEqual(t, "answers", a.ask(t, "u", 0), []string{"late", "u"})
	_ = c
}

func TestAnswerMayAskRedis(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	a, b := start(t, redis), start(t, redis)
	b.node.OnAsk = func(q []byte) []byte {
		b.publish(t, says("orders", "from an answer", kept))
		return q
	}
	a.subscribe(t, "orders", herald.Retention{})
	isEqual(t, "answers", a.ask(t, "x", 0), []string{"x"})
	a.node.Bodies(t, "orders", 1)
}
