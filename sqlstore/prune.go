package sqlstore

import (
	"context"
	"errors"
	"math"
	"time"
)

// pruneInterval is how often the store looks for what is older than it is to keep.
const pruneInterval = time.Hour

// prune removes what is older than it is to be kept, again and again until ctx ends.
func (s *Store) prune(ctx context.Context) {
	t := time.NewTicker(pruneInterval)
	defer t.Stop()
	for {
		if s.hooksRetention > 0 {
			if n, err := s.PruneWebhooks(ctx, s.clock.Now().Add(-s.hooksRetention)); err != nil && ctx.Err() == nil {
				s.log.Error("old deliveries of webhooks could not be removed", "err", err)
			} else if n > 0 {
				s.log.Info("old deliveries of webhooks and their attempts were removed", "rows", n)
			}
		}
		if s.retention > 0 {
			if n, err := s.Prune(ctx, s.clock.Now().Add(-s.retention)); err != nil && ctx.Err() == nil {
				s.log.Error("the audit log could not be pruned", "err", err)
			} else if n > 0 {
				s.log.Info("the audit log was pruned", "entries", n)
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	// pruneMany bounds the entries that one transaction looks at and removes, in some tens of milliseconds. Between two of
	// them others write.
	pruneMany = 1000
	// pruneBytes is what the payloads of these have, about.
	pruneBytes = 4 << 20
	// pruneTime bounds the transaction: far more than that takes on a slow disk.
	pruneTime = time.Minute
)

// Prune removes the entries that were recorded before a time, with their events, and returns how many. They are the
// oldest, without a hole; a checkpoint that is signed with [Config.SigningKey] stays in their place, from which
// [Store.Verify] goes on. What was not handed on yet stays, and so does an event that a webhook still waits for, until
// nothing waits for it any more.
func (s *Store) Prune(ctx context.Context, before time.Time) (removed uint64, err error) {
	if s.key == nil {
		return 0, errors.New("sqlstore: entries are removed only where there is a SigningKey for what stays in their place")
	}
	for {
		n, err := s.pruneSome(ctx, before)
		removed += n
		if err != nil {
			return removed, err
		}
		if n == 0 {
			return removed, s.pruneEvents(ctx)
		}
	}
}

func (s *Store) pruneSome(ctx context.Context, before time.Time) (removed uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	err = s.db.write(ctx, func(t tx) error {
		removed = 0
		if mine, err := s.lockPruning(ctx, t); err != nil || !mine {
			return err
		}
		from, err := s.lastCheckpoint(ctx, t)
		if err != nil {
			return err
		}
		last, err := s.lastOfOld(ctx, t, from.seq, before)
		if err != nil || last.seq == from.seq {
			return err
		}
		c := checkpoint{head: last, at: s.clock.Now().UnixMilli()}
		c.sign(s.key)
		if err := insert(ctx, t, "herald_audit_checkpoints", "seq, hash, at, signature",
			[][]any{{int64(c.seq), c.hash, c.at, c.signature}}, ""); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM herald_audit WHERE seq > ? AND seq <= ?", int64(from.seq), int64(last.seq)); err != nil {
			return err
		}
		removed = last.seq - from.seq
		return removeEvents(ctx, t, from.seq, last.seq)
	})
	if err != nil {
		return 0, storeError(err)
	}
	return removed, nil
}

// pruneLock is the key of Postgres' advisory lock that one pruning transaction holds. That of the head would keep
// others from recording.
const pruneLock = 0x4e7a1e

// lockPruning has this transaction be the only one that prunes; false: another does, and will see to it. In SQLite
// there is only one that writes.
func (s *Store) lockPruning(ctx context.Context, t tx) (mine bool, err error) {
	if s.dialect == sqlite {
		return true, nil
	}
	err = t.query(ctx, func(r row) error { return r.Scan(&mine) }, "SELECT pg_try_advisory_xact_lock(?)", int64(pruneLock))
	return mine, err
}

// lastOfOld finds the last of the entries behind a number that go now; where none goes it has that number. The first
// that stays ends them, so that there is no hole whatever the clocks have done.
func (s *Store) lastOfOld(ctx context.Context, t tx, after uint64, before time.Time) (last head, err error) {
	last.seq = after
	stays := int64(math.MaxInt64) // the first event that was not handed on
	err = t.query(ctx, func(r row) error { return r.Scan(&stays) },
		"SELECT seq FROM herald_events WHERE seq > (SELECT seq FROM herald_cursors WHERE name = ?) ORDER BY seq LIMIT 1", brokerCursor)
	if err != nil {
		return last, err
	}
	bytes := 0
	err = t.query(ctx, func(r row) error {
		var (
			seq      uint64
			recorded int64
			size     int
		)
		if err := r.Scan(&seq, &recorded, &size); err != nil {
			return err
		}
		if recorded >= before.UnixMilli() || bytes >= pruneBytes {
			return errEnough
		}
		last.seq = seq
		bytes += size
		return nil
	}, "SELECT seq, recorded_at, octet_length(payload) FROM herald_audit WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?", int64(after), stays, pruneMany)
	if err != nil && !errors.Is(err, errEnough) || last.seq == after {
		return last, ignoreEnough(err)
	}
	err = t.query(ctx, func(r row) error { return r.Scan(&last.hash) }, "SELECT hash FROM herald_audit WHERE seq = ?", int64(last.seq))
	return last, err
}

// waitedFor are the numbers of the events between two numbers for which a webhook waits: a look into the index of
// what waits for each endpoint, and not through all that waits.
const waitedFor = "SELECT d.seq FROM herald_webhooks w CROSS JOIN herald_webhook_deliveries d " +
	"WHERE d.webhook = w.id AND d.state = 'waiting' AND d.seq > ? AND d.seq <= ?"

// removeEvents removes the events between two numbers, but for those that a webhook waits for.
func removeEvents(ctx context.Context, t tx, after, last uint64) error {
	_, err := t.exec(ctx, "DELETE FROM herald_events WHERE seq > ? AND seq <= ? AND seq NOT IN ("+waitedFor+")",
		int64(after), int64(last), int64(after), int64(last))
	return err
}

// pruneEvents removes what was left of events whose entries are gone, where nothing waits for them any more.
func (s *Store) pruneEvents(ctx context.Context) error {
	from, err := s.lastCheckpoint(ctx, s.db)
	for after := uint64(0); err == nil; {
		if after, err = s.pruneEventsAfter(ctx, after, from.seq); after == 0 {
			break
		}
	}
	return storeError(err)
}

// pruneEventsAfter does so with some, and returns the last of them; 0: there are none.
func (s *Store) pruneEventsAfter(ctx context.Context, after, upTo uint64) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	err = s.db.query(ctx, func(r row) error { return r.Scan(&last) },
		"SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM herald_events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?) AS next",
		int64(after), int64(upTo), pruneMany)
	if err != nil || last == 0 {
		return 0, err
	}
	some := false // most hours find what they have found the hour before, and need not write
	err = s.db.query(ctx, func(row) error { some = true; return nil },
		"SELECT 1 FROM herald_events WHERE seq > ? AND seq <= ? AND seq NOT IN ("+waitedFor+") LIMIT 1",
		int64(after), int64(last), int64(after), int64(last))
	if err == nil && some {
		err = s.db.write(ctx, func(t tx) error { return removeEvents(ctx, t, after, last) })
	}
	return last, err
}
