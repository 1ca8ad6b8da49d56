package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/herald-events/herald"
)

func TestRecordIsFound(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		want := event(1)
		if r.record(t, want) {
			t.Error("the first is a duplicate")
		}
		if !r.record(t, want) {
			t.Error("the second is no duplicate")
		}
		e, entry, found, err := r.Event(t.Context(), "evt-1")
		if err != nil || !found {
			t.Fatalf("Event: found %v, %v", found, err)
		}
		if fmt.Sprint(e) != fmt.Sprint(want.Event) {
			t.Errorf("got %+v, want %+v", e, want.Event)
		}
		if entry.Seq != 1 || entry.Actor != "ann" || entry.Action != "user.registered" || entry.EventID != "evt-1" || string(entry.Payload) != `{"n":1}` {
			t.Errorf("got the entry %+v", entry)
		}
		if _, _, found, err := r.Event(t.Context(), "evt-2"); found || err != nil {
			t.Errorf("an unknown event: found %v, %v", found, err)
		}
		r.verify(t, 1)
	})
}

func TestConcurrentRecordsAreOneChain(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		const publishers, each = 16, 20
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					if _, err := r.Record(t.Context(), event(p*each+i)); err != nil {
						t.Errorf("Record: %v", err)
					}
					if duplicate, err := r.Record(t.Context(), event(i)); err != nil || !duplicate && p > 0 && i > each {
						t.Errorf("Record of what others record: %v, %v", duplicate, err)
					}
				}
			})
		}
		wg.Wait()
		r.verify(t, publishers*each)
		ids := r.node.await(t, publishers*each)
		slices.Sort(ids)
		if got := len(slices.Compact(ids)); got != publishers*each {
			t.Errorf("told of %d events, want each of %d once", got, publishers*each)
		}
	})
}

// TestTwoNodesAreOneChain: they share a Postgres, and one of them hands on for both.
func TestTwoNodesAreOneChain(t *testing.T) {
	storeURL := server(t).Database()
	a, b := run(t, storeURL), run(t, storeURL)
	const each = 50
	var wg sync.WaitGroup
	for i, r := range []*rig{a, b} {
		wg.Go(func() {
			for n := range each {
				if _, err := r.Record(t.Context(), event(i*each+n)); err != nil {
					t.Errorf("Record: %v", err)
				}
			}
		})
	}
	wg.Wait()
	a.verify(t, 2*each)
	awaitAll(t, 2*each, a.node, b.node)
}

// TestHandOnIsInOrderAndGoesOn: what the broker refuses comes again, and what one process has not handed on the next
// one does.
func TestHandOnIsInOrderAndGoesOn(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		for n := range 3 {
			r.record(t, event(n))
		}
		r.node.await(t, 3)
		r.node.setRefuse(true)
		for n := 3; n < 6; n++ {
			r.record(t, event(n))
		}
		if storeURL == "sqlite::memory:" { // which is gone with its process
			r.node.setRefuse(false)
			r.node.await(t, 6)
			return
		}
		r.leave(t)
		next := run(t, storeURL)
		got := next.node.await(t, 3)
		if want := []string{"evt-3", "evt-4", "evt-5"}; !slices.Equal(got[len(got)-3:], want) {
			t.Errorf("told of %q, want %q at the end", got, want)
		}
	})
}

// TestOneBadFactFailsAlone: those that share its transaction are committed without it.
func TestOneBadFactFailsAlone(t *testing.T) {
	errBad := &pgconn.PgError{Code: "22021"}
	var committed []string
	c := newCommits(func(_ context.Context, facts []*fact) error {
		for _, f := range facts {
			if f.event.ID == "evt-bad" {
				return errBad
			}
		}
		for _, f := range facts {
			committed = append(committed, f.event.ID)
		}
		return nil
	})
	ids := []string{"evt-1", "evt-bad", "evt-2"}
	recordings := make([]*recording[*fact], len(ids))
	for i, id := range ids {
		recordings[i] = &recording[*fact]{&fact{event: &herald.Event{ID: id}}, make(chan error, 1)}
		c.add(recordings[i])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.run(ctx) // which commits what waits before it ends
	for i, id := range ids {
		err := <-recordings[i].done
		if got := err != nil; got != (id == "evt-bad") {
			t.Errorf("%s: got %v", id, err)
		}
	}
	if got := strings.Join(committed, " "); got != "evt-1 evt-2" {
		t.Errorf("committed %q", got)
	}
	if err := c.do(t.Context(), &fact{}); err == nil {
		t.Error("after the end something is taken")
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		if storeURL == "sqlite::memory:" {
			t.Skip("nobody else has used it")
		}
		s := open1(t, storeURL)
		if err := s.db.write(t.Context(), func(tx tx) error {
			_, err := tx.exec(t.Context(), "INSERT INTO herald_schema (version) VALUES (1000)")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), storeURL, Config{})
		if err == nil || !strings.Contains(err.Error(), "a newer Herald has used it") {
			t.Errorf("got %v, want that a newer Herald has used it", err)
		}
	})
}

func TestOpenRefusesWhatIsNoStore(t *testing.T) {
	for _, storeURL := range []string{"", "sqlite:", "herald.db", "mysql://localhost", "sqlite:" + t.TempDir() + "/no/such/directory/x.db"} {
		if s, err := Open(t.Context(), storeURL, Config{}); err == nil {
			t.Errorf("%q is opened", storeURL)
			_ = s.Close()
		}
	}
}
