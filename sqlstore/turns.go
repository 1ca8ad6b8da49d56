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

// WakeDeliveries implements herald.DeliveryTurns.
func (s *Store) WakeDeliveries(ctx context.Context, most map[string]int) (woken map[string]int, err error) {
	err = s.db.write(ctx, func(t tx) error {
		woken = map[string]int{}
		for _, id := range slices.Sorted(maps.Keys(most)) {
			n, err := t.exec(ctx, "UPDATE river_job SET state = 'available', scheduled_at = "+s.sql.now+" WHERE state = 'scheduled' AND id IN ("+
				"SELECT d.job FROM herald_webhook_deliveries d JOIN river_job j ON j.id = d.job WHERE d.webhook = ? AND d.state = 'waiting' "+
				"AND d.next_at <= ? AND j.state = 'scheduled' ORDER BY d.next_at, d.seq LIMIT ?)", id, s.clock.Now().UnixMilli(), most[id])
			if err != nil {
				return err
			}
			woken[id] = int(n)
		}
		return nil
	})
	return woken, storeError(err)
}

// wakeDeliveries has what waits for an endpoint look again now.
func (s *Store) wakeDeliveries(ctx context.Context, t tx, webhookID string) error {
	_, err := t.exec(ctx, "UPDATE river_job SET state = 'available', scheduled_at = "+s.sql.now+
		" WHERE state IN ('scheduled', 'available') AND id IN (SELECT job FROM herald_webhook_deliveries WHERE webhook = ? AND state = 'waiting' AND next_at <= ?)",
		webhookID, s.clock.Now().UnixMilli())
	return err
}

// wakeLater is how long it takes at most until a delivery waits that has just decided to.
const wakeLater = time.Second

// wakeAgain wakes what waits for endpoints that are paused no more a second time, until ctx ends: a delivery that has
// still seen the pause may have begun to wait behind its end.
func (s *Store) wakeAgain(ctx context.Context) {
	for {
		select {
		case id := <-s.goOn:
			select {
			case <-time.After(wakeLater):
			case <-ctx.Done():
				return
			}
			err := step(ctx, func(ctx context.Context) error {
				return s.db.write(ctx, func(t tx) error { return s.wakeDeliveries(ctx, t, id) })
			})
			if err != nil && ctx.Err() == nil {
				s.log.Warn("deliveries to a webhook that was paused may wait for a minute", "webhook", id, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
