package sqlstore

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPruneLeavesASignedCheckpoint(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		for n := range 10 {
			r.record(t, event(n))
		}
		r.node.await(t, 10)
		if n, err := r.updateCursor(t.Context(), "seq = 8"); n != 1 || err != nil { // the last two are not handed on
			t.Fatalf("got %d, %v", n, err)
		}
		later := time.Now().Add(time.Hour)
		if _, err := r.Prune(t.Context(), later); err == nil {
			t.Error("without a key something is removed")
		}
		r.key = newKey(t)
		if n, err := r.Prune(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("of what is younger: removed %d, %v", n, err)
		}
		// A younger entry in the middle ends what is old: no hole is left.
		r.past(t, "UPDATE herald_audit SET recorded_at = recorded_at + 7200000 WHERE seq = 5")
		if n, err := r.Prune(t.Context(), later); n != 4 || err != nil {
			t.Errorf("removed %d, %v, want 4", n, err)
		}
		r.past(t, "UPDATE herald_audit SET recorded_at = recorded_at - 7200000 WHERE seq = 5")
		r.verify(t, 6)
		if _, _, found, err := r.Event(t.Context(), "evt-3"); found || err != nil {
			t.Errorf("a removed event: found %v, %v", found, err)
		}
		if err := r.db.write(t.Context(), func(tx tx) error {
			_, err := tx.exec(t.Context(), "DELETE FROM herald_audit WHERE seq = 5")
			return err
		}); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("behind the checkpoint: got %v, want that the log is append-only", err)
		}
		r.key = newKey(t)
		var broken *herald.AuditBreak
		if _, err := r.Verify(t.Context(), nil); !errors.As(err, &broken) || broken.Seq != 4 {
			t.Errorf("with another key: got %v, want that the checkpoint at 4 is not signed", err)
		}
	})
}

func TestPruneKeepsWhatIsNotHandedOn(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.key = newKey(t)
		r.node.setRefuse(true)
		for n := range 3 {
			r.record(t, event(n))
		}
		if n, err := r.Prune(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("removed %d, %v, want none", n, err)
		}
		r.verify(t, 3)
	})
}

// TestPruneRemovesAllThatIsOld: also where nothing is younger, and what is no event; in transactions that are small.
func TestPruneRemovesAllThatIsOld(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.key = newKey(t)
		fill(t, r.Store, 5000)
		payload := []byte(`"` + strings.Repeat("x", pruneBytes/4) + `"`)
		for range 10 {
			if err := r.WriteAudit(t.Context(), herald.AuditEntry{OccurredAt: occurred, Actor: "ann", Action: "login", Outcome: "success", Payload: payload}); err != nil {
				t.Fatalf("WriteAudit: %v", err)
			}
		}
		if n, err := r.Prune(t.Context(), time.Now().Add(time.Hour)); n != 5010 || err != nil {
			t.Errorf("removed %d, %v, want 5010", n, err)
		}
		r.verify(t, 0)
		var checkpoints []string
		err := r.db.query(t.Context(), func(row row) error {
			var seq int64
			err := row.Scan(&seq)
			checkpoints = append(checkpoints, fmt.Sprint(seq))
			return err
		}, "SELECT seq FROM herald_audit_checkpoints ORDER BY seq")
		if got, want := strings.Join(checkpoints, " "), "1000 2000 3000 4000 5000 5004 5008 5010"; got != want || err != nil {
			t.Errorf("got the checkpoints %s, %v, want %s", got, err, want)
		}
		r.record(t, event(1))
		r.verify(t, 1)
	})
}

// TestPruneKeepsNobodyFromRecording: nodes that share a Postgres record while one of them prunes, and one does.
func TestPruneKeepsNobodyFromRecording(t *testing.T) {
	r := run(t, server(t).Database())
	r.key = newKey(t)
	fill(t, r.Store, 5000)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, test := range []struct {
		held string
		want uint64
	}{
		{fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", pruneLock), 0},
		{"SELECT seq FROM herald_audit_head FOR UPDATE", 5000},
	} {
		err := r.db.write(ctx, func(tx tx) error {
			if err := tx.query(ctx, func(row) error { return nil }, test.held); err != nil {
				return err
			}
			n, err := r.Prune(ctx, time.Now())
			if n != test.want {
				t.Errorf("%s: removed %d, want %d", test.held, n, test.want)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", test.held, err)
		}
	}
}

// TestPruneKeepsEventsThatWebhooksWaitFor until they wait no more.
func TestPruneKeepsEventsThatWebhooksWaitFor(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.key = newKey(t)
		r.addHook(t, hook("wh-1"))
		r.addHook(t, hook("wh-2"))
		tries := 0
		done := func(webhook, event string) {
			t.Helper()
			tries++
			a := herald.WebhookAttempt{ID: fmt.Sprint("att-", tries), Key: herald.DeliveryKey{WebhookID: webhook, EventID: event}, Try: 1, Status: 200, At: occurred}
			if err := r.Tried(t.Context(), a, herald.Delivered{State: herald.DeliveryDone}); err != nil {
				t.Fatalf("Tried: %v", err)
			}
		}
		for n := 1; n <= 3; n++ {
			r.record(t, event(n))
		}
		r.node.await(t, 3)
		if n, err := r.updateCursor(t.Context(), "seq = 3"); n != 1 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		done("wh-1", "evt-1")
		done("wh-1", "evt-2")
		done("wh-2", "evt-2")
		later := time.Now().Add(time.Hour)
		if n, err := r.Prune(t.Context(), later); n != 3 || err != nil {
			t.Errorf("removed %d, %v, want 3", n, err)
		}
		r.verify(t, 0)
		for id, want := range map[string]bool{"evt-1": true, "evt-2": false, "evt-3": true} {
			if e, entry, found, err := r.Event(t.Context(), id); found != want || err != nil || found && (e.ID != id || entry.Seq != 0) {
				t.Errorf("%s: got %+v with %+v, %v, %v, want found %v, and no entry", id, e, entry, found, err, want)
			}
		}
		if d, found, err := r.NextDelivery(t.Context(), "wh-2"); !found || err != nil || string(d.Event.Payload.(json.RawMessage)) != `{"n":1}` {
			t.Errorf("what waits: got %+v, %v, %v", d, found, err)
		}
		if n, err := r.Redeliver(t.Context(), "wh-1", herald.Redelivery{EventID: "evt-2"}); n != 0 || err != nil {
			t.Errorf("Redeliver of what is gone: got %d, %v", n, err)
		}
		if r.record(t, event(2)) || r.state(t, herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-2"}) != herald.DeliveryWaiting {
			t.Error("an id that is used again is known, or its event does not wait for the webhook")
		}
		done("wh-2", "evt-1")
		if n, err := r.Prune(t.Context(), later.Add(-2*time.Hour)); n != 0 || err != nil {
			t.Errorf("removed %d, %v, want none", n, err)
		}
		for id, want := range map[string]bool{"evt-1": false, "evt-2": true, "evt-3": true} {
			if _, _, found, err := r.Event(t.Context(), id); found != want || err != nil {
				t.Errorf("%s, once all that waited is done: got %v, %v, want %v", id, found, err, want)
			}
		}
	})
}

// TestWhatWaitsIsLookedForInItsIndex: a prune does not go through all that waits for an endpoint that is away.
func TestWhatWaitsIsLookedForInItsIndex(t *testing.T) {
	r := run(t, "sqlite::memory:")
	var plan strings.Builder
	err := r.db.query(t.Context(), func(row row) error {
		var id, parent, unused int
		var detail string
		err := row.Scan(&id, &parent, &unused, &detail)
		plan.WriteString(detail + "\n")
		return err
	}, "EXPLAIN QUERY PLAN "+waitedFor, 1, 2)
	if want := "herald_webhook_deliveries_waiting (webhook=? AND seq>? AND seq<?)"; err != nil || !strings.Contains(plan.String(), want) {
		t.Errorf("got the plan\n%s%v, want one by %s", plan.String(), err, want)
	}
}
