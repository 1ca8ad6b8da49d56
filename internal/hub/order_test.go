package hub_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/herald-events/herald/internal/hub"
)

// TestSubscriberMissesNothingBehindWhatItGot has connections subscribe on the other loop while two publish:
// from the first message of the order that reaches one, it gets all that the others get.
func TestSubscriberMissesNothingBehindWhatItGot(t *testing.T) {
	const rounds, each = 300, 4
	overLinks(t, 2, func(t *testing.T, r *rig) {
		always, comes := r.join("always"), r.join("comes") // on a loop each
		for round := range rounds {
			channel := "c" + strconv.Itoa(round)
			always.subscribe(channel)
			var wg sync.WaitGroup
			for publisher := range 2 {
				wg.Go(func() {
					for i := range each {
						if err := r.hub.Broadcast(t.Context(), message(channel, strconv.Itoa(publisher)+strconv.Itoa(i))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Go(func() { comes.subscribe(channel) })
			wg.Wait()
			all, some := always.heard(), comes.heard()
			if len(all) != 2*each || len(some) > len(all) {
				t.Fatalf("round %d: got %q and %q, want all and a part of it", round, all, some)
			}
			for i, m := range some {
				if want := all[len(all)-len(some)+i]; m != want {
					t.Fatalf("round %d: one got %q, who came in between %q", round, all, some)
				}
			}
			always.do(func(sub *hub.Subscriber) { sub.Unsubscribe(channel) })
			comes.do(func(sub *hub.Subscriber) { sub.Unsubscribe(channel) })
		}
	})
}
