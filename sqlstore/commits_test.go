package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/herald-events/herald"
)

// TestACommitIsBounded by how many share it, and by what they have altogether.
func TestACommitIsBounded(t *testing.T) {
	const mega = 1 << 20
	for name, tt := range map[string]struct{ sizes, want []int }{
		"large ones":    {[]int{3 * mega, 3 * mega, 2 * mega, 1, mega}, []int{3, 2}},
		"one too large": {[]int{1, 20 * mega, 2, 3}, []int{1, 1, 2}},
		"small ones":    {make([]int, maxCommit+1), []int{maxCommit, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			c := newCommits(func(_ context.Context, sizes []int) error { got = append(got, len(sizes)); return nil })
			c.size = func(n int) int { return n }
			for _, n := range tt.sizes {
				c.add(&recording[int]{n, make(chan error, 1)})
			}
			for c.next(t.Context()) {
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("committed %v at once, want %v", got, tt.want)
			}
		})
	}
}

func TestAFactHasTheSizeOfItsPayloads(t *testing.T) {
	e := herald.Event{Payload: json.RawMessage(`"1234"`)}
	f := &fact{event: &e, jobs: []*job{{NewJob: newJob("any", "[1,2]")}}}
	f.entry.Payload = []byte("null")
	if got := fmt.Sprint(f.size(), (&fact{}).size()); got != "15 0" {
		t.Errorf("got %s bytes, want 15 and none", got)
	}
}
