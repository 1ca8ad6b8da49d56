package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/herald-events/herald"
)

// PublishTx publishes a domain event with a transaction of the application's own: once that is committed the event is
// recorded and told as if [herald.Server.Publish] had been called, within a second, by one of the nodes, whose handlers
// are called; if it is rolled back nothing has happened. The transaction is a *sql.Tx or a pgx.Tx of the store's
// database. It returns the event's id.
func PublishTx(ctx context.Context, transaction any, p herald.Payload) (id string, err error) {
	e, err := herald.PrepareEvent(p)
	if err != nil {
		return "", err
	}
	payload, _ := e.Payload.(json.RawMessage)
	return e.ID, putOut(ctx, transaction, outgoing{Event: &outgoingEvent{e, payload}})
}

// SubmitTx submits a job with a transaction of the application's own, as [PublishTx] publishes an event. Options that
// were given to the type's handler do not count.
func SubmitTx(ctx context.Context, transaction any, jobType string, payload any, opts ...herald.JobOption) error {
	j, err := herald.PrepareJob(jobType, payload, opts...)
	if err != nil {
		return err
	}
	return putOut(ctx, transaction, outgoing{Job: &j})
}

// outgoing is what a row of the outbox holds.
type outgoing struct {
	Event *outgoingEvent `json:"event,omitempty"`
	Job   *herald.NewJob `json:"job,omitempty"`
}

// outgoingEvent is an event whose payload is read as it was written, with all digits of its numbers.
type outgoingEvent struct {
	herald.Event
	Payload json.RawMessage `json:"payload"`
}

// event is the event, whole.
func (o *outgoingEvent) event() herald.Event {
	o.Event.Payload = o.Payload
	return o.Event
}

// putOutOwn publishes events with a transaction of the store's own.
func (s *Store) putOutOwn(ctx context.Context, t tx, events []herald.Event) error {
	for _, e := range events {
		payload, _ := e.Payload.(json.RawMessage)
		body, err := json.Marshal(outgoing{Event: &outgoingEvent{e, payload}})
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, "INSERT INTO herald_outbox (body, failure) VALUES (?, '')", string(body)); err != nil {
			return err
		}
	}
	return nil
}

func putOut(ctx context.Context, transaction any, o outgoing) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	const query = "INSERT INTO herald_outbox (body, failure) VALUES ($1, '')"
	switch t := transaction.(type) {
	case *sql.Tx:
		_, err = t.ExecContext(ctx, query, string(body))
	case pgx.Tx:
		if _, err = t.Exec(ctx, query, string(body)); err == nil {
			_, err = t.Exec(ctx, "SELECT pg_notify($1, '')", newsChannel)
		}
	default:
		return fmt.Errorf("sqlstore: a transaction is a *sql.Tx or a pgx.Tx, not %T", transaction)
	}
	if err != nil {
		return fmt.Errorf("sqlstore: write to the outbox: %w", err)
	}
	return nil
}

// outboxMany is how many rows are taken at once.
const outboxMany = 100

// outRow is a row of the outbox.
type outRow struct {
	n    int64
	body string
}

// takenOut are rows of the outbox, oldest first, and what they have become. Where they cannot be recorded the rows are
// known all the same.
type takenOut struct {
	rows  []outRow
	facts []*fact
	jobs  []*job
}

// recordOutbox records some of what applications have committed, in its order, and reports whether there may be more.
func (s *Store) recordOutbox(ctx context.Context, node herald.StoreNode) (more bool, err error) {
	for limit := outboxMany; ; {
		var out takenOut
		err := step(ctx, func(ctx context.Context) (err error) { out, err = s.takeOut(ctx, node, limit); return err })
		switch {
		case isOfContent(err) && limit > 1: // the first alone, so that one that cannot be recorded stays alone
			limit = 1
			continue
		case isOfContent(err) && len(out.rows) == 1:
			return true, step(ctx, func(ctx context.Context) error { return s.keepBack(ctx, out.rows[0], err) })
		case err != nil:
			return false, err
		}
		for _, f := range out.facts {
			if f.event != nil && !f.isDuplicate {
				node.Recorded(ctx, *f.event)
			}
		}
		return len(out.rows) == limit, nil
	}
}

// takeOut moves rows from the outbox to where everything else is, in one transaction.
func (s *Store) takeOut(ctx context.Context, node herald.StoreNode, limit int) (out takenOut, err error) {
	some := false
	err = s.db.query(ctx, func(row) error { some = true; return nil }, "SELECT 1 FROM herald_outbox WHERE failure = '' LIMIT 1")
	if err != nil || !some {
		return out, err
	}
	err = s.db.write(ctx, func(t tx) (err error) {
		out = takenOut{}
		if out.rows, err = readOut(ctx, t, limit); err != nil {
			return err
		}
		if out.facts, err = s.factsOf(node, out.rows); err != nil {
			return err
		}
		out.jobs, err = s.record(ctx, t, out.facts)
		return err
	})
	if err == nil {
		s.queue.inserted(out.jobs)
	}
	return out, err
}

// readOut takes the oldest rows out of the outbox.
func readOut(ctx context.Context, t tx, limit int) (rows []outRow, err error) {
	err = t.query(ctx, func(r row) error {
		var o outRow
		err := r.Scan(&o.n, &o.body)
		rows = append(rows, o)
		return err
	}, "DELETE FROM herald_outbox WHERE n IN (SELECT n FROM herald_outbox WHERE failure = '' ORDER BY n LIMIT ?) RETURNING n, body", limit)
	slices.SortFunc(rows, func(a, b outRow) int { return cmp.Compare(a.n, b.n) })
	return rows, err
}

func (s *Store) factsOf(node herald.StoreNode, rows []outRow) (facts []*fact, err error) {
	for _, row := range rows {
		var o outgoing
		if err := json.Unmarshal([]byte(row.body), &o); err != nil {
			return nil, errors.Join(errContent, err)
		}
		switch {
		case o.Event != nil:
			e := o.Event.event()
			facts = append(facts, &fact{event: &e, entry: newEntry(node.AuditOf(e), s.clock.Now())})
		case o.Job != nil:
			facts = append(facts, &fact{jobs: []*job{{NewJob: *o.Job}}})
		}
	}
	return facts, nil
}

// keepBack marks a row that cannot be recorded, so that those behind it can be.
func (s *Store) keepBack(ctx context.Context, which outRow, why error) error {
	s.log.Error("a row of the outbox cannot be recorded, and is kept back", "row", which.n, "err", why)
	return s.db.write(ctx, func(t tx) error {
		_, err := t.exec(ctx, "UPDATE herald_outbox SET failure = ? WHERE n = ?",
			storable(time.Now().UTC().Format(time.RFC3339)+": "+why.Error()), which.n)
		return err
	})
}
