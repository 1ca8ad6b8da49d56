package sqlstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/audit"
)

// TestVerifyGoesOnBehindWhatIsPrunedMeanwhile: what is removed while it runs breaks no chain.
func TestVerifyGoesOnBehindWhatIsPrunedMeanwhile(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.key = newKey(t)
		r.node.setRefuse(true)
		fill(t, r.Store, 10_000)
		r.record(t, event(1)) // it is not handed on, so that it stays, and what is behind it
		fill(t, r.Store, 5000)
		pruned := false
		n, err := r.Verify(t.Context(), func(uint64) {
			if pruned {
				return
			}
			pruned = true
			if n, err := r.Prune(t.Context(), time.Now().Add(time.Hour)); n != 10_000 || err != nil {
				t.Errorf("removed %d, %v, want 10000", n, err)
			}
		})
		if n != entriesPage+5001 || err != nil {
			t.Errorf("got %d entries and %v, want %d", n, err, entriesPage+5001)
		}
		r.node.setRefuse(false)
		r.node.await(t, 1)
		if n, err := r.updateCursor(t.Context(), "seq = 10001"); n != 1 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		n, err = r.Verify(t.Context(), func(uint64) {
			if _, err := r.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Errorf("Prune: %v", err)
			}
		})
		if n != entriesPage || err != nil {
			t.Errorf("where all that is left is removed: got %d entries and %v, want %d", n, err, entriesPage)
		}
	})
}

// TestVerifyComparesBothEnds of the log with what the store says of them.
func TestVerifyComparesBothEnds(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		for n := range 5 {
			r.record(t, event(n))
		}
		r.verify(t, 5)
		var page entries
		if err := page.read(t.Context(), r.db, entriesBetween(3, 5, "")); err != nil || len(page.all) != 2 {
			t.Fatalf("got %v, %v", page.all, err)
		}
		last := page.all[1]
		was := last.Hash
		breaks := func(name string, seq uint64, why string) {
			t.Helper()
			var broken *herald.AuditBreak
			if _, err := r.Verify(t.Context(), nil); !errors.As(err, &broken) || broken.Seq != seq || !strings.Contains(broken.Why, why) {
				t.Errorf("%s: got %v, want that entry %d breaks the chain since %s", name, err, seq, why)
			}
		}

		r.past(t, "UPDATE herald_audit_head SET seq = 4, hash = ?", last.PrevHash)
		breaks("with an end that is set back", 5, "behind the newest entry that the store knows of, which is 4")
		r.past(t, "UPDATE herald_audit_head SET seq = 5, hash = ?", was)

		last.Actor = "eve"
		last.Seal(last.PrevHash)
		r.past(t, "UPDATE herald_audit SET actor = 'eve', hash = ? WHERE seq = 5", last.Hash)
		breaks("with a last entry that was written anew", 5, "its hash is not the one that the store keeps")
		r.past(t, "UPDATE herald_audit SET actor = 'ann', hash = ? WHERE seq = 5", was)
		r.verify(t, 5)

		r.past(t, "INSERT INTO herald_audit_checkpoints (seq, hash, at, signature) VALUES (2, ?, 0, '')", audit.Start)
		breaks("with a checkpoint where nothing was removed", 1, "a checkpoint says that everything up to 2 was removed")
		r.past(t, "DELETE FROM herald_audit_checkpoints")
		r.verify(t, 5)

		r.past(t, "DELETE FROM herald_audit")
		breaks("without entries", 1, "the newest entries are missing: there were 5")
		r.past(t, "DELETE FROM herald_audit_head")
		if _, err := r.Verify(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "does not say where the chain ends") {
			t.Errorf("without an end: got %v", err)
		}
	})
}
