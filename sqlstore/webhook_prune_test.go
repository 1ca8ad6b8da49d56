package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// TestOldDeliveriesArePruned: those that have arrived, with all attempts, and nothing that waits, is dead or is newer.
func TestOldDeliveriesArePruned(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-1"))
		const events = 2*pruneMany + 10
		for n := range events {
			r.addDelivery(t, n, herald.DeliveryDone)
		}
		states := []herald.DeliveryState{herald.DeliveryWaiting, herald.DeliveryDead}
		for i, state := range states {
			r.addDelivery(t, events+i, state)
		}
		before := time.UnixMilli(events - 5)
		if n, err := r.PruneWebhooks(t.Context(), before); err != nil || n != 2*(events-5) {
			t.Errorf("PruneWebhooks: got %d, %v, want %d deliveries and as many attempts", n, err, events-5)
		}
		if n, err := r.PruneWebhooks(t.Context(), before); err != nil || n != 0 {
			t.Errorf("a second time: got %d, %v, want none", n, err)
		}
		if n, err := r.PruneWebhooks(t.Context(), time.UnixMilli(events+10)); err != nil || n != 5+5+2 {
			t.Errorf("all: got %d, %v, want 5 deliveries and 7 attempts", n, err)
		}
		left := map[string]bool{}
		err := r.db.query(t.Context(), func(row row) error {
			var state string
			err := row.Scan(&state)
			left[state] = true
			return err
		}, "SELECT state FROM herald_webhook_deliveries")
		if err != nil || len(left) != len(states) || left["done"] {
			t.Errorf("%v are left (%v), want what waits and what is dead", left, err)
		}
	})
}

// addDelivery adds a delivery and an attempt of so many milliseconds after 1970.
func (r *rig) addDelivery(t *testing.T, n int, state herald.DeliveryState) {
	t.Helper()
	err := r.db.write(t.Context(), func(x tx) error {
		event := fmt.Sprintf("evt-%06d", n)
		if err := insert(t.Context(), x, "herald_webhook_deliveries", deliveryColumns, [][]any{{"wh-1", event, n, string(state), 1, 0, n, 0}}, ""); err != nil {
			return err
		}
		return insert(t.Context(), x, "herald_webhook_attempts", attemptColumns, [][]any{{"att-" + event, "wh-1", event, 1, 200, 1, "", "", n}}, "")
	})
	if err != nil {
		t.Fatal(err)
	}
}
