package sqlstore

import (
	"crypto/ed25519"
	"errors"
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

// TestPruneKeepsWhatIsNotHandedOn: and the newest entry, behind which the chain goes on.
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
