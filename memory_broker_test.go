package herald

import (
	"fmt"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/clock"
)

// TestLocateCopiesNothing: what is asked for once by each client that comes back does not cost what is kept.
func TestLocateCopiesNothing(t *testing.T) {
	const events = 5000
	keep := Retention{Count: events, Age: time.Hour}
	b := newMemoryBroker(clock.System(), node{idleServer(t, clock.System())})
	for i := range 2 * events {
		p := Publication{ID: fmt.Sprint("evt-", i+1), Body: []byte("{}"), Keep: keep}
		if _, err := b.Publish(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		at, found, err := b.Locate(t.Context(), keep, "evt-5001")
		if err != nil || !found || at.Offset != events+1 {
			t.Errorf("got %v, %v, %v, want offset %d", at, found, err, events+1)
		}
	}); n > 2 {
		t.Errorf("finding one takes %v allocations", n)
	}
	if n := len(b.streams[EventStream].ids); n != events {
		t.Errorf("%d ids are known, want those of %d", n, events)
	}
}
