package sqlstore

import (
	"context"

	"github.com/herald-events/herald"
)

// A delivery waits as long as its job does: who ends or revives the one does so with the other.

// endDelivery has the delivery of a job that was ended be dead.
func endDelivery(ctx context.Context, t tx, j herald.Job) error {
	key, ok := herald.DeliveryOf(j)
	if !ok {
		return nil
	}
	_, err := t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'dead', next_at = 0 "+
		"WHERE webhook = ? AND event = ? AND job = ? AND state = 'waiting'", key.WebhookID, key.EventID, j.ID)
	return err
}

// canWait is the condition that a delivery is to an endpoint that gets what waits for it.
const canWait = "webhook IN (SELECT id FROM herald_webhooks WHERE enabled = 1)"

// reviveDelivery has the delivery of a job that is retried wait again, and be tried at once.
func (s *Store) reviveDelivery(ctx context.Context, t tx, job int64) error {
	j, _, err := s.job(ctx, t, job)
	key, ok := herald.DeliveryOf(j)
	if err != nil || !ok {
		return err
	}
	_, err = t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'waiting', next_at = 0 "+
		"WHERE webhook = ? AND event = ? AND job = ? AND state <> 'done' AND "+canWait, key.WebhookID, key.EventID, job)
	return err
}

// reviveDeliveries does so with all whose jobs are retried.
func reviveDeliveries(ctx context.Context, t tx) error {
	_, err := t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'waiting', next_at = 0 "+
		"WHERE state = 'dead' AND job IN (SELECT id FROM river_job WHERE state = 'available') AND "+canWait)
	return err
}

// endLostDeliveries has deliveries be dead whose jobs have ended without them: with the node that ran them, or with one
// that died in the middle of ending them.
func (s *Store) endLostDeliveries(ctx context.Context, t tx) error {
	n, err := t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'dead', next_at = 0 WHERE state = 'waiting' "+
		"AND NOT EXISTS (SELECT 1 FROM river_job WHERE id = job AND (state = 'running' OR "+isIdle+"))")
	if n > 0 {
		s.log.Warn("deliveries of webhooks are dead: their jobs were ended", "deliveries", n)
	}
	return err
}
