package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/herald-events/herald"
)

// storable is a text as it can be kept: in valid UTF-8, and without NUL, which Postgres has no place for.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Delivery implements herald.Deliveries.
func (s *Store) Delivery(ctx context.Context, key herald.DeliveryKey) (herald.Delivery, bool, error) {
	return s.delivery(ctx, "d.webhook = ? AND d.event = ?", key.WebhookID, key.EventID)
}

func (s *Store) delivery(ctx context.Context, where string, args ...any) (d herald.Delivery, found bool, err error) {
	query := "SELECT d.state, d.tries, d.next_at, " +
		"e.id, e.type, e.occurred_at, e.user_id, e.ip, e.payload, w." + strings.ReplaceAll(webhookColumns, ", ", ", w.") +
		" FROM herald_webhook_deliveries d JOIN herald_events e ON e.id = d.event JOIN herald_webhooks w ON w.id = d.webhook WHERE " + where
	err = s.db.query(ctx, func(r row) error {
		var (
			nextAt, occurred int64
			payload          text
			k                keptWebhook
		)
		e := &d.Event
		places := []any{&d.State, &d.Tries, &nextAt, &e.ID, &e.Type, &occurred, &e.UserID, &e.IP, &payload}
		if err := r.Scan(append(places, k.places(&d.Webhook)...)...); err != nil {
			return err
		}
		found = true
		d.NextTry, e.Timestamp, e.Payload = timeOf(nextAt), time.UnixMilli(occurred).UTC(), json.RawMessage(payload)
		return s.finishWebhook(&d.Webhook, &k)
	}, query, args...)
	return d, found && err == nil, storeError(err)
}

// tried is an attempt that is to be kept.
type tried struct {
	attempt herald.WebhookAttempt
	then    herald.Delivered
}

// Tried implements herald.Deliveries. Attempts that end at the same time share a transaction.
func (s *Store) Tried(ctx context.Context, a herald.WebhookAttempt, then herald.Delivered) error {
	return s.tried.do(ctx, &tried{a, then})
}

const attemptColumns = "id, webhook, event, try, status, duration_ms, error, response, at"

// commitTried keeps attempts, and what they make of their deliveries and endpoints.
func (s *Store) commitTried(ctx context.Context, all []*tried) error {
	var attempts [][]any
	failing := map[string]int64{} // when each endpoint began to fail; 0: it does not
	for _, tr := range all {
		a := &tr.attempt
		attempts = append(attempts, []any{
			a.ID, a.Key.WebhookID, a.Key.EventID, a.Try, a.Status, a.Duration.Milliseconds(), storable(a.Error), storable(a.Response), a.At.UnixMilli(),
		})
		since, known := failing[a.Key.WebhookID]
		switch {
		case tr.then.State == herald.DeliveryDone:
			failing[a.Key.WebhookID] = 0
		case !known || since > 0:
			failing[a.Key.WebhookID] = a.At.UnixMilli()
		}
	}
	inOrder := slices.SortedFunc(slices.Values(all), func(a, b *tried) int { // so that nodes do not wait for each other
		x, y := a.attempt.Key, b.attempt.Key
		return cmp.Or(strings.Compare(x.WebhookID, y.WebhookID), strings.Compare(x.EventID, y.EventID))
	})
	err := s.db.write(ctx, func(t tx) error {
		if err := insert(ctx, t, "herald_webhook_attempts", attemptColumns, attempts, ""); err != nil {
			return err
		}
		if err := setFailing(ctx, t, failing); err != nil { // first the endpoint, as who changes it does
			return err
		}
		for _, tr := range inOrder {
			if err := s.settle(ctx, t, tr); err != nil {
				return err
			}
		}
		return nil
	})
	return storeError(err)
}

// settle notes what an attempt makes of its delivery. One that was ended meanwhile does not wait again.
func (s *Store) settle(ctx context.Context, t tx, tr *tried) error {
	unless := "state <> 'done'"
	if tr.then.State == herald.DeliveryWaiting {
		unless = "state = 'waiting'"
	}
	key := tr.attempt.Key
	_, err := t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = ?, tries = ?, next_at = ? WHERE webhook = ? AND event = ? AND "+unless,
		string(tr.then.State), tr.attempt.Try, milli(tr.then.NextTry), key.WebhookID, key.EventID)
	if err != nil || !tr.then.EndJob {
		return err
	}
	const its = "id = (SELECT job FROM herald_webhook_deliveries WHERE webhook = ? AND event = ?)"
	switch tr.then.State {
	case herald.DeliveryDone:
		_, err = t.exec(ctx, "UPDATE river_job SET state = 'completed', finalized_at = "+s.sql.now+" WHERE "+isIdle+" AND "+its, key.WebhookID, key.EventID)
	case herald.DeliveryDead:
		err = s.discard(ctx, t, tr.attempt.Error, its, key.WebhookID, key.EventID)
	}
	return err
}

// setFailing notes since when endpoints are failing.
func setFailing(ctx context.Context, t tx, failing map[string]int64) error {
	for _, id := range slices.Sorted(maps.Keys(failing)) {
		since := failing[id]
		change := "failing_since = ? WHERE id = ? AND failing_since = 0"
		if since == 0 {
			change = "failing_since = ? WHERE id = ? AND failing_since <> 0"
		}
		if _, err := t.exec(ctx, "UPDATE herald_webhooks SET "+change, since, id); err != nil {
			return err
		}
	}
	return nil
}

// Attempts implements herald.Deliveries. Every filter is a range of one index.
func (s *Store) Attempts(ctx context.Context, q herald.AttemptQuery) (all []herald.WebhookAttempt, err error) {
	var (
		where []string
		args  []any
	)
	add := func(condition, value string) {
		if value != "" {
			where, args = append(where, condition), append(args, value)
		}
	}
	add("id = ?", q.ID)
	add("webhook = ?", q.WebhookID)
	add("event = ?", q.EventID)
	add("id < ?", q.Before)
	query := "SELECT " + attemptColumns + " FROM herald_webhook_attempts"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	err = s.db.query(ctx, func(r row) error {
		var (
			a            herald.WebhookAttempt
			took, at     int64
			answer, says text
		)
		err := r.Scan(&a.ID, &a.Key.WebhookID, &a.Key.EventID, &a.Try, &a.Status, &took, &says, &answer, &at)
		a.Duration, a.At, a.Error, a.Response = time.Duration(took)*time.Millisecond, timeOf(at), string(says), string(answer)
		all = append(all, a)
		return err
	}, query+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
	return all, storeError(err)
}

// KnownTypes implements herald.Facts. Every event has an audit entry of its type, by which there is an index: one look for
// each type that there is.
func (s *Store) KnownTypes(ctx context.Context) (types []string, err error) {
	last := ""
	for {
		found := false
		err := s.db.query(ctx, func(r row) error {
			found = true
			return r.Scan(&last)
		}, "SELECT action FROM herald_audit WHERE action > ? ORDER BY action LIMIT 1", last)
		if err != nil || !found || len(types) == maxTypes {
			return types, storeError(err)
		}
		types = append(types, last)
	}
}

// maxTypes bounds what is looked for: an application that has more has put ids into its types.
const maxTypes = 1000
