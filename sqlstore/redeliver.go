package sqlstore

import (
	"context"
	"time"

	"github.com/herald-events/herald"
)

// Redeliver implements herald.Deliveries.
func (s *Store) Redeliver(ctx context.Context, webhookID string, which herald.Redelivery) (n int, err error) {
	var fresh []*job
	err = s.db.write(ctx, func(t tx) error {
		n, fresh = 0, nil
		all, err := deliveriesAgain(ctx, t, webhookID, which)
		if err != nil {
			return err
		}
		n = len(all)
		for _, d := range all {
			if d.state == string(herald.DeliveryWaiting) {
				err = s.runNow(ctx, t, d)
			} else {
				d.job = s.jobOf(d.key)
				fresh = append(fresh, d.job)
			}
			if err != nil {
				return err
			}
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

// runNow has the job of a delivery run that waits for its time.
func (s *Store) runNow(ctx context.Context, t tx, d *again) error {
	n, err := t.exec(ctx, s.retry()+"WHERE id = ? AND state IN ('available', 'scheduled', 'pending', 'retryable')", d.id)
	if err != nil || n > 0 {
		return err
	}
	running := false
	err = t.query(ctx, func(row) error { running = true; return nil }, "SELECT 1 FROM river_job WHERE id = ? AND state = 'running'", d.id)
	if running {
		return conflict("this event is being delivered")
	}
	return err
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

func deliveriesAgain(ctx context.Context, t tx, webhookID string, which herald.Redelivery) (all []*again, err error) {
	query := "SELECT event, state, job FROM herald_webhook_deliveries WHERE webhook = ? AND event = ?"
	args := []any{webhookID, which.EventID}
	if which.EventID == "" {
		query = "SELECT event, state, job FROM herald_webhook_deliveries WHERE webhook = ? AND state = 'dead' AND created_at >= ? ORDER BY created_at LIMIT ?"
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

// endDeliveries ends what waits for an endpoint as dead, with its jobs. One that runs ends when its try has, and is not
// tried again.
func (s *Store) endDeliveries(ctx context.Context, t tx, webhookID string) error {
	failure, err := lastFailure("the webhook is disabled")
	if err != nil {
		return err
	}
	const waiting = "id IN (SELECT job FROM herald_webhook_deliveries WHERE webhook = ? AND state = 'waiting')"
	_, err = t.exec(ctx, "UPDATE river_job SET state = 'discarded', finalized_at = "+s.sql.now+", errors = "+s.sql.addError+
		" WHERE state IN ('available', 'scheduled', 'pending', 'retryable') AND "+waiting, failure, webhookID)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, "UPDATE river_job SET metadata = "+s.sql.cancel+" WHERE state = 'running' AND "+waiting, webhookID); err != nil {
		return err
	}
	_, err = t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'dead', next_at = 0 WHERE webhook = ? AND state = 'waiting'", webhookID)
	return err
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
			err := s.db.write(ctx, func(t tx) error { return s.wakeDeliveries(ctx, t, id) })
			if err != nil && ctx.Err() == nil {
				s.log.Warn("deliveries to a webhook that was paused may wait for a minute", "webhook", id, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
