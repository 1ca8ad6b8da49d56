package sqlstore

import (
	"context"
	"errors"

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

// deliveryNode has the delivery of a job that is given up be dead, whatever the reason.
type deliveryNode struct {
	herald.JobNode
	store *Store
}

// RunJob implements herald.JobNode.
func (n deliveryNode) RunJob(ctx context.Context, j herald.Job) error {
	err := n.JobNode.RunJob(ctx, j)
	if _, gaveUp := errors.AsType[*herald.GiveUpError](err); gaveUp {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTime)
		defer cancel()
		if err := n.store.db.write(ctx, func(t tx) error { return endDelivery(ctx, t, j) }); err != nil {
			n.store.log.Warn("a delivery waits whose job is dead, until the next start", "job", j.ID, "err", err)
		}
	}
	return err
}

// canWait is the condition that a delivery can be made: its event is there, and its endpoint gets what waits for it.
const canWait = "webhook IN (SELECT id FROM herald_webhooks WHERE enabled = 1) AND EXISTS (SELECT 1 FROM herald_events WHERE id = event)"

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
