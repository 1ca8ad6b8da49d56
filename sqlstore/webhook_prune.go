package sqlstore

import (
	"context"
	"time"
)

// PruneWebhooks removes the attempts that were made before a time, and the deliveries of events recorded before it that
// have arrived: those can be retried no more. What waits stays, and so does what is dead. It returns how many of both
// there were.
func (s *Store) PruneWebhooks(ctx context.Context, before time.Time) (removed int64, err error) {
	for _, some := range []func(context.Context, tx, time.Time) (int64, error){pruneAttempts, pruneDeliveries} {
		for n := int64(1); n > 0; removed += n {
			if n, err = s.pruneTogether(ctx, before, some); err != nil {
				return removed, storeError(err)
			}
		}
	}
	return removed, nil
}

// pruneTogether removes some in one transaction.
func (s *Store) pruneTogether(ctx context.Context, before time.Time, some func(context.Context, tx, time.Time) (int64, error)) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	err = s.db.write(ctx, func(t tx) (err error) {
		n = 0
		if mine, err := s.lockPruning(ctx, t); err != nil || !mine {
			return err
		}
		n, err = some(ctx, t, before)
		return err
	})
	return n, err
}

// pruneAttempts removes the first of the attempts, up to one that stays: their ids grow with time.
func pruneAttempts(ctx context.Context, t tx, before time.Time) (int64, error) {
	last := ""
	err := t.query(ctx, func(r row) error {
		var (
			id string
			at int64
		)
		if err := r.Scan(&id, &at); err != nil {
			return err
		}
		if at >= before.UnixMilli() {
			return errEnough
		}
		last = id
		return nil
	}, "SELECT id, at FROM herald_webhook_attempts ORDER BY id LIMIT ?", pruneMany)
	if err := ignoreEnough(err); err != nil || last == "" {
		return 0, err
	}
	return t.exec(ctx, "DELETE FROM herald_webhook_attempts WHERE id <= ?", last)
}

func pruneDeliveries(ctx context.Context, t tx, before time.Time) (int64, error) {
	return t.exec(ctx, "DELETE FROM herald_webhook_deliveries WHERE state = 'done' AND (webhook, event) IN ("+
		"SELECT webhook, event FROM herald_webhook_deliveries WHERE state = 'done' AND created_at < ? ORDER BY created_at LIMIT ?)",
		before.UnixMilli(), pruneMany)
}
