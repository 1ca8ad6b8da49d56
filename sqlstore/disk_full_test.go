package sqlstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// disk is a disk that a test fills while a store is on it.
type disk struct {
	storeURL string
	fill     func(t *testing.T, s *Store)
	free     func(t *testing.T, s *Store)
	says     string // what the database says of it, and callers are told
}

// TestAFullDiskRefusesEvents, whole, with an error that says so; the node is not ready until there is room again, and
// then everything is as if nothing had been.
func TestAFullDiskRefusesEvents(t *testing.T) {
	// The limit of pages is SQLite's own, and has it say and do what it does where the file system has no room for
	// another page.
	pages := func(query string) func(*testing.T, *Store) {
		return func(t *testing.T, s *Store) {
			if _, err := s.db.(*sqliteDB).writer.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
	}
	testFullDisk(t, disk{
		storeURL: "sqlite:" + filepath.Join(t.TempDir(), "herald.db"),
		fill:     pages("PRAGMA max_page_count = 1"), // at least those that there are
		free:     pages("PRAGMA max_page_count = 1000000"),
		says:     "database or disk is full",
	})
}

func testFullDisk(t *testing.T, d disk) {
	b := newBook(t, d.storeURL)
	s := open1(t, d.storeURL)
	said := func(what ...any) { b.heard(nil, fmt.Sprint(what[0]), fmt.Sprint(what[1])) }
	var heard called
	srv := heraldtest.StartPrepared(t, crashConfig(tellingStore{s, said}, testLogger(t)), func(srv *herald.Server) {
		_, err := srv.SubscribeAll(heard.call, herald.Synchronously())
		if err == nil {
			err = herald.OnDurable(srv, "crash.*", "note", func(_ context.Context, e herald.Event) error {
				said(sayRan, e.ID)
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for n := range 10 {
		if err := publishLarge(t, srv.Server, fmt.Sprint("before-", n)); err != nil {
			t.Fatal(err)
		}
		said(sayAccepted, fmt.Sprint("before-", n))
	}

	d.fill(t, s)
	refused := ""
	for n := 0; refused == ""; n++ { // there may be room in the pages that there are
		id := fmt.Sprint("last-", n)
		err := publishLarge(t, srv.Server, id)
		switch {
		case err == nil:
			said(sayAccepted, id)
		case !isRefusal(err, herald.CodeUnavailable) || !strings.Contains(err.Error(), d.says):
			t.Fatalf("got %v, want UNAVAILABLE since the %s", err, d.says)
		default:
			refused = id
		}
	}
	if status, body := readiness(t, srv); status != http.StatusServiceUnavailable || !strings.Contains(body, "store unavailable") {
		t.Errorf("readyz: got %d %s, want 503 for the store", status, body)
	}
	for range 3 {
		if s.probe(t.Context()); s.Check() == nil {
			t.Error("the store is well again, and its disk is full")
		}
	}
	if err := publishLarge(t, srv.Server, refused); err == nil {
		t.Error("an event was accepted after that")
	}
	s.nothingOf(t, refused)
	if heard.was(refused) {
		t.Error("a handler was called with an event that was refused")
	}

	d.free(t, s)
	eventually(t, func() error {
		if status, body := readiness(t, srv); status != http.StatusOK {
			return fmt.Errorf("readyz: got %d %s, want 200", status, body)
		}
		return nil
	})
	s.nothingOf(t, refused)
	for _, id := range []string{refused, "after"} { // the first is not known
		if err := publishLarge(t, srv.Server, id); err != nil || !heard.was(id) {
			t.Errorf("%s: got %v, and a handler was called: %v", id, err, heard.was(id))
		}
		said(sayAccepted, id)
	}
	b.awaitDrained(t, s)
	b.check(t, s)
	if n, err := s.Verify(t.Context(), nil); err != nil || int(n) != b.acceptedCount() {
		t.Errorf("%d entries are kept (%v), want the %d of what was accepted", n, err, b.acceptedCount())
	}
}

// publishLarge publishes an event that needs pages of its own.
func publishLarge(t *testing.T, srv *herald.Server, id string) error {
	t.Helper()
	return srv.Publish(t.Context(), herald.Event{ID: id, Type: "crash.noted", Payload: map[string]string{"of": id, "filler": noise(8 << 10)}})
}

// nothingOf fails where anything is kept of an event.
func (s *Store) nothingOf(t *testing.T, id string) {
	t.Helper()
	for _, table := range []string{"herald_audit WHERE event_id", "herald_events WHERE id", "herald_webhook_deliveries WHERE event", "river_job WHERE " + s.sql.event} {
		n := 0
		err := s.db.query(t.Context(), func(r row) error { return r.Scan(&n) }, "SELECT COUNT(*) FROM "+table+" = ?", id)
		if err != nil || n != 0 {
			t.Errorf("%s was refused, and %d rows are in %s (%v)", id, n, table, err)
		}
	}
}

func readiness(t *testing.T, srv *heraldtest.Server) (status int, body string) {
	t.Helper()
	return answerOf(t, srv.Server, http.MethodGet, "/readyz", "")
}

// called are the events with which a handler was called.
type called struct {
	mu  sync.Mutex // guards the field below
	ids []string
}

func (c *called) call(_ context.Context, e herald.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = append(c.ids, e.ID)
	return nil
}

func (c *called) was(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.ids, id)
}

// noise is text that a database cannot make shorter.
func noise(n int) string {
	raw := make([]byte, base64.StdEncoding.DecodedLen(n))
	_, _ = rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}
