package sqlstore

import (
	"context"

	"github.com/herald-events/herald"
)

// Redeliver implements herald.Deliveries. Before the store runs it waits for that.
func (s *Store) Redeliver(ctx context.Context, webhookID string, which herald.Redelivery) (n int, err error) {
	select {
	case <-s.began:
	case <-ctx.Done():
		return 0, storeError(ctx.Err())
	}
	var fresh []*job
	err = s.db.write(ctx, func(t tx) error {
		n, fresh = 0, nil
		all, err := deliveriesAgain(ctx, t, webhookID, which)
		if err != nil {
			return err
		}
		n = len(all)
		for _, d := range all {
			runs := false
			if d.state == string(herald.DeliveryWaiting) {
				if runs, err = s.runNow(ctx, t, d); err != nil {
					return err
				}
			}
			if runs {
				continue
			}
			// The job that is dead goes: retried too, it would deliver beside the one that takes its place.
			if _, err := t.exec(ctx, "DELETE FROM river_job WHERE id = ? AND "+isDead, d.id); err != nil {
				return err
			}
			d.job = s.jobOf(d.key)
			fresh = append(fresh, d.job)
		}
		if err := s.insertJobs(ctx, t, fresh); err != nil {
			return err
		}
		return waitAgain(ctx, t, all)
	})
	if err != nil {
		return 0, storeError(err)
	}
	s.queue.inserted(fresh)
	return n, nil
}

// again is a delivery that is to be made again.
type again struct {
	key   herald.DeliveryKey
	state string
	id    int64 // of its job
	job   *job  // the one that takes its place; nil: none does
}

// runNow has the job of a delivery run that waits for its time. It reports false where there is no such job.
func (s *Store) runNow(ctx context.Context, t tx, d *again) (bool, error) {
	n, err := t.exec(ctx, s.retry()+"WHERE id = ? AND "+isIdle, d.id)
	if err != nil || n > 0 {
		return n > 0, err
	}
	running := false
	err = t.query(ctx, func(row) error { running = true; return nil }, "SELECT 1 FROM river_job WHERE id = ? AND state = 'running'", d.id)
	if running {
		return false, conflict("this event is being delivered")
	}
	return false, err
}

// waitAgain has deliveries wait as if they had never been tried.
func waitAgain(ctx context.Context, t tx, all []*again) error {
	for _, d := range all {
		if d.job != nil {
			d.id = d.job.row.ID
		}
		_, err := t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'waiting', tries = 0, next_at = 0, job = ? WHERE webhook = ? AND event = ?",
			d.id, d.key.WebhookID, d.key.EventID)
		if err != nil {
			return err
		}
	}
	return nil
}

// maxRedelivered bounds one transaction; who wants more asks again.
const maxRedelivered = 10_000

// deliveriesAgain are deliveries of events that are still kept: what was pruned cannot be sent again.
func deliveriesAgain(ctx context.Context, t tx, webhookID string, which herald.Redelivery) (all []*again, err error) {
	const from = "SELECT event, state, job FROM herald_webhook_deliveries WHERE EXISTS (SELECT 1 FROM herald_events e WHERE e.id = event) AND webhook = ? AND "
	query := from + "event = ?"
	args := []any{webhookID, which.EventID}
	if which.EventID == "" {
		query = from + "state = 'dead' AND created_at >= ? ORDER BY created_at LIMIT ?"
		args = []any{webhookID, milli(which.Since), maxRedelivered}
	}
	err = t.query(ctx, func(r row) error {
		d := &again{key: herald.DeliveryKey{WebhookID: webhookID}}
		err := r.Scan(&d.key.EventID, &d.state, &d.id)
		all = append(all, d)
		return err
	}, query, args...)
	return all, err
}
