package sqlstore

import "context"

// endMany bounds what one transaction ends of an endpoint. Between two of them others write.
const endMany = 1000

// RemoveWebhook implements herald.Webhooks. If it fails in the middle the endpoint is disabled, and it can be called again.
func (s *Store) RemoveWebhook(ctx context.Context, id string) (found bool, err error) {
	err = s.db.write(ctx, func(t tx) error {
		n, err := t.exec(ctx, "UPDATE herald_webhooks SET enabled = 0 WHERE id = ?", id)
		if found = n > 0; err != nil || !found {
			return err
		}
		return noteWebhookChange(ctx, t) // what was recorded for it until then is there now, and there will be no more
	})
	if err != nil || !found {
		return found, storeError(err)
	}
	if err := s.endDeliveries(ctx, id, "the webhook was removed"); err != nil {
		return true, storeError(err)
	}
	for _, of := range []struct{ table, key string }{{"herald_webhook_deliveries", "event"}, {"herald_webhook_attempts", "id"}} {
		err := s.inPieces(ctx, func(t tx) (int64, error) {
			return t.exec(ctx, "DELETE FROM "+of.table+" WHERE webhook = ? AND "+of.key+" IN (SELECT "+of.key+" FROM "+of.table+" WHERE webhook = ? LIMIT ?)",
				id, id, endMany)
		})
		if err != nil {
			return true, storeError(err)
		}
	}
	return true, storeError(s.db.write(ctx, func(t tx) error {
		_, err := t.exec(ctx, "DELETE FROM herald_webhooks WHERE id = ?", id)
		return err
	}))
}

// inPieces does something in transactions of endMany rows, until there are no more.
func (s *Store) inPieces(ctx context.Context, do func(tx) (int64, error)) error {
	for n := int64(endMany); n >= endMany; {
		err := s.db.write(ctx, func(t tx) (err error) {
			n, err = do(t)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// endDeliveries ends what waits for an endpoint that gets no more as dead, with its jobs. One that runs ends when its try
// has, and is not tried again.
func (s *Store) endDeliveries(ctx context.Context, webhookID, why string) error {
	return s.inPieces(ctx, func(t tx) (int64, error) {
		var jobs, events []any
		err := t.query(ctx, func(r row) error {
			var (
				job   int64
				event string
			)
			err := r.Scan(&job, &event)
			jobs, events = append(jobs, job), append(events, event)
			return err
		}, "SELECT job, event FROM herald_webhook_deliveries WHERE webhook = ? AND state = 'waiting' ORDER BY seq LIMIT ?", webhookID, endMany)
		if err != nil || len(jobs) == 0 {
			return 0, err
		}
		these := "id IN " + marks(len(jobs))
		if err := s.discard(ctx, t, why, these, jobs...); err != nil {
			return 0, err
		}
		if _, err := t.exec(ctx, "UPDATE river_job SET metadata = "+s.sql.cancel+" WHERE state = 'running' AND "+these, jobs...); err != nil {
			return 0, err
		}
		return t.exec(ctx, "UPDATE herald_webhook_deliveries SET state = 'dead', next_at = 0 WHERE webhook = ? AND state = 'waiting' AND event IN "+marks(len(events)),
			append([]any{webhookID}, events...)...)
	})
}

// isIdle is the condition that a job waits to be run.
const isIdle = "state IN ('available', 'scheduled', 'pending', 'retryable')"

// discard has jobs that wait be dead.
func (s *Store) discard(ctx context.Context, t tx, why, which string, args ...any) error {
	failure, err := lastFailure(why)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "UPDATE river_job SET state = 'discarded', finalized_at = "+s.sql.now+", errors = "+s.sql.addError+
		" WHERE "+isIdle+" AND "+which, append([]any{failure}, args...)...)
	return err
}
