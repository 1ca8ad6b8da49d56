package sqlstore

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/herald-events/herald"
)

// ownTx is a transaction of an application, with the two ways to end it.
type ownTx struct {
	tx               any
	commit, rollback func() error
}

// beginOwn begins a transaction as an application would, with a connection of its own.
func beginOwn(t *testing.T, storeURL string) ownTx {
	t.Helper()
	if path, ok := strings.CutPrefix(storeURL, "sqlite:"); ok {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return ownTx{tx, tx.Commit, tx.Rollback}
	}
	conn, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ownTx{tx, func() error { return tx.Commit(t.Context()) }, func() error { return tx.Rollback(t.Context()) }}
}

func (o ownTx) publish(t *testing.T, id, payload string) {
	t.Helper()
	got, err := PublishTx(t.Context(), o.tx, herald.Event{ID: id, Type: "user.registered", Payload: json.RawMessage(payload)})
	if err != nil || got != id {
		t.Fatalf("PublishTx: %q, %v", got, err)
	}
}

func TestPublishTxIsPartOfItsTransaction(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		if storeURL == "sqlite::memory:" {
			t.Skip("it has no second connection")
		}
		r := run(t, storeURL)
		undone := beginOwn(t, storeURL)
		undone.publish(t, "evt-undone", "1")
		if err := undone.rollback(); err != nil {
			t.Fatal(err)
		}
		own := beginOwn(t, storeURL)
		own.publish(t, "evt-1", `{"n":12345678901234567890}`)
		own.publish(t, "evt-2", "2")
		if err := SubmitTx(t.Context(), own.tx, "email.send", map[string]string{"to": "ann"}, herald.MaxAttempts(7)); err != nil {
			t.Fatal(err)
		}
		if err := own.commit(); err != nil {
			t.Fatal(err)
		}
		if got, want := r.node.await(t, 2), []string{"evt-1", "evt-2"}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
		e, entry, found, err := r.Event(t.Context(), "evt-1")
		if err != nil || !found || fmt.Sprintf("%s", e.Payload) != `{"n":12345678901234567890}` || entry.Actor != "outbox" {
			t.Errorf("got %+v, %+v, %v, %v", e, entry, found, err)
		}
		jobs, err := r.Jobs(t.Context(), herald.JobQuery{Limit: 10})
		if err != nil || len(jobs) != 1 || jobs[0].Type != "email.send" || jobs[0].MaxAttempts != 7 || string(jobs[0].Payload) != `{"to":"ann"}` {
			t.Errorf("got the jobs %+v, %v", jobs, err)
		}
		r.node.mu.Lock()
		defer r.node.mu.Unlock()
		if want := []string{"evt-1", "evt-2"}; !slices.Equal(r.node.recorded, want) {
			t.Errorf("handlers are to be told of %q, want %q", r.node.recorded, want)
		}
		r.verify(t, 2)
	})
}

// TestARowThatCannotBeRecordedStaysAlone: those behind it are recorded.
func TestARowThatCannotBeRecordedStaysAlone(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		if err := r.db.write(t.Context(), func(t2 tx) error {
			for _, body := range []string{`{"event":`, `{"event":{"id":"evt-1","type":"a.b","payload":1}}`} {
				if _, err := t2.exec(t.Context(), "INSERT INTO herald_outbox (body, failure) VALUES (?, '')", body); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got := r.node.await(t, 1); got[0] != "evt-1" {
			t.Errorf("told of %q", got)
		}
		var kept, why string
		if err := r.db.query(t.Context(), func(row row) error { return row.Scan(&kept, &why) }, "SELECT body, failure FROM herald_outbox"); err != nil {
			t.Fatal(err)
		}
		if kept != `{"event":` || !strings.Contains(why, "unexpected end of JSON input") {
			t.Errorf("kept back is %s because of %q", kept, why)
		}
	})
}

// TestAnEventThatIsKeptBackIsNotTold: neither the broker nor handlers hear of what is not recorded.
func TestAnEventThatIsKeptBackIsNotTold(t *testing.T) {
	r := run(t, server(t).Database())
	if err := r.db.write(t.Context(), func(t2 tx) error {
		// The first has a NUL, which Postgres does not keep. PublishTx refuses it: somebody else has written the row.
		for _, body := range []string{`{"event":{"id":"evt-bad","type":"a.b","userId":"a\u0000","payload":1}}`, `{"event":{"id":"evt-1","type":"a.b","payload":1}}`} {
			if _, err := t2.exec(t.Context(), "INSERT INTO herald_outbox (body, failure) VALUES (?, '')", body); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := r.node.await(t, 1); got[0] != "evt-1" {
		t.Errorf("told of %q", got)
	}
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	if want := []string{"evt-1"}; !slices.Equal(r.node.recorded, want) {
		t.Errorf("handlers are to be told of %q, want %q", r.node.recorded, want)
	}
}

func TestOutboxRefusesWhatIsWrong(t *testing.T) {
	own := beginOwn(t, server(t).Database())
	if _, err := PublishTx(t.Context(), own.tx, herald.Event{Type: "no type"}); err == nil {
		t.Error("an event without a good type is taken")
	}
	if _, err := PublishTx(t.Context(), own.tx, herald.Event{Type: "a.b", UserID: "a\x00"}); !isRefusal(err, herald.CodeBadRequest) {
		t.Errorf("an event whose user id has a NUL: %v", err)
	}
	if err := SubmitTx(t.Context(), own.tx, "email.send", make(chan int)); err == nil {
		t.Error("a payload that is no JSON is taken")
	}
	if _, err := PublishTx(t.Context(), "a transaction", herald.Event{Type: "a.b"}); err == nil {
		t.Error("a text is taken for a transaction")
	}
}
