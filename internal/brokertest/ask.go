package brokertest

import (
	"errors"
	"slices"
	"testing"

	"github.com/herald-events/herald"
)

var askTests = []test{
	{"Ask reaches all other nodes", 3, false, testAsk},
	{"Ask ends with the answer that is enough", 3, true, testEnough},
	{"Ask says that a node has not answered", 3, true, testUnanswered},
}

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

func testAsk(t *testing.T, rigs []*rig) {
	names := []string{"a", "b", "c"}
	for i, r := range rigs {
		r.node.OnAsk = func(q []byte) []byte { return []byte(names[i] + " heard " + string(q)) }
	}
	for i, r := range rigs {
		var want []string
		for j := range rigs {
			if j != i {
				want = append(want, names[j]+" heard x")
			}
		}
		isEqual(t, "answers", r.ask(t, "x", 0), want)
	}
}

func testUnanswered(t *testing.T, rigs []*rig) {
	gate := make(chan struct{})
	defer close(gate)
	rigs[1].node.OnAsk = func(q []byte) []byte {
		<-gate
		return q
	}
	if got := rigs[0].ask(t, "x", 1); len(got) != 1 {
		t.Errorf("got %q, want one answer, which is enough", got)
	}
	var got []string
	err := rigs[0].Ask(t.Context(), []byte("y"), func(answer []byte) bool {
		got = append(got, string(answer))
		return false
	})
	if !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
	isEqual(t, "answers", got, []string{"y"})
}

func testEnough(t *testing.T, rigs []*rig) {
	if got := rigs[0].ask(t, "x", 1); len(got) != 1 {
		t.Errorf("got %q, want one answer, which is enough", got)
	}
}
