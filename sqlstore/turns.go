package sqlstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/herald-events/herald"
)

// NextDelivery implements herald.DeliveryTurns.
func (s *Store) NextDelivery(ctx context.Context, webhookID string) (herald.Delivery, bool, error) {
	return s.delivery(ctx, "d.webhook = ? AND d.state = 'waiting' ORDER BY d.seq LIMIT 1", webhookID)
}

// TakeTurn implements herald.DeliveryTurns.
func (s *Store) TakeTurn(ctx context.Context, webhookID string, d time.Duration) (bool, error) {
	var n int64
	err := s.db.write(ctx, func(t tx) (err error) {
		n, err = t.exec(ctx, "UPDATE herald_webhooks SET turn_owner = ?, turn_until = "+s.now()+" + ? WHERE id = ? AND (turn_owner = ? OR turn_until < "+s.now()+")",
			s.self, d.Milliseconds(), webhookID, s.self)
		return err
	})
	return n > 0, storeError(err)
}

// EndTurn implements herald.DeliveryTurns.
func (s *Store) EndTurn(ctx context.Context, webhookID string) error {
	return storeError(s.db.write(ctx, func(t tx) error {
		_, err := t.exec(ctx, "UPDATE herald_webhooks SET turn_owner = '', turn_until = 0 WHERE id = ? AND turn_owner = ?", webhookID, s.self)
		return err
	}))
}

// WakeDeliveries implements herald.DeliveryTurns. Nobody waits for the writer where nothing is to be woken.
func (s *Store) WakeDeliveries(ctx context.Context, most map[string]int) (woken map[string]int, err error) {
	woken = map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(most)) {
		jobs, err := s.atRest(ctx, id, most[id])
		if err == nil && len(jobs) > 0 {
			err = s.db.write(ctx, func(t tx) error {
				n, err := t.exec(ctx, "UPDATE river_job SET state = 'available', scheduled_at = "+s.sql.now+
					" WHERE state = 'scheduled' AND id IN "+marks(len(jobs)), jobs...)
				woken[id] = int(n)
				return err
			})
		}
		if err != nil {
			return woken, storeError(err)
		}
	}
	return woken, nil
}

// wakeInOrder is how many are woken where order is kept: each delivers those behind it too.
const wakeInOrder = 2

// atRest are the jobs of the oldest deliveries that rest and could be made now: of an endpoint that is paused none, and
// where order is kept none before the first of all is due.
func (s *Store) atRest(ctx context.Context, webhookID string, most int) (jobs []any, err error) {
	now := s.clock.Now().UnixMilli()
	rests := false
	err = s.db.query(ctx, func(r row) error {
		var ordered, first int64
		if err := r.Scan(&ordered, &first); err != nil {
			return err
		}
		if ordered != 0 {
			most = min(most, wakeInOrder)
		}
		rests = ordered == 0 || first <= now
		return nil
	}, "SELECT w.ordered, COALESCE((SELECT d.next_at FROM herald_webhook_deliveries d WHERE d.webhook = w.id AND d.state = 'waiting' ORDER BY d.seq LIMIT 1), 0) "+
		"FROM herald_webhooks w WHERE w.id = ? AND w.enabled = 1 AND w.paused = 0", webhookID)
	if err != nil || !rests {
		return nil, err
	}
	err = s.db.query(ctx, func(r row) error {
		var id int64
		err := r.Scan(&id)
		jobs = append(jobs, id)
		return err
	}, "SELECT d.job FROM herald_webhook_deliveries d JOIN river_job j ON j.id = d.job WHERE d.webhook = ? AND d.state = 'waiting' "+
		"AND d.next_at <= ? AND j.state = 'scheduled' ORDER BY d.next_at, d.seq LIMIT ?", webhookID, now, most)
	return jobs, err
}
