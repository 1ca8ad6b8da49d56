package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/audit"
)

// WriteAudit implements herald.AuditLog.
func (s *Store) WriteAudit(ctx context.Context, e herald.AuditEntry) error {
	return s.commits.do(ctx, &fact{entry: newEntry(e, s.clock.Now())})
}

// Audit implements herald.AuditLog. Every filter is a range of one index.
func (s *Store) Audit(ctx context.Context, q herald.AuditQuery) ([]herald.AuditEntry, error) {
	query, args := auditQuery(q)
	var entries []herald.AuditEntry
	err := s.db.query(ctx, func(r row) error {
		e, err := scanEntry(r)
		entries = append(entries, herald.AuditEntry(e))
		return err
	}, query, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	return entries, nil
}

func auditQuery(q herald.AuditQuery) (query string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.Actor != "" {
		add("actor = ?", q.Actor)
	}
	if q.Action != "" {
		add("action = ?", q.Action)
	}
	if !q.From.IsZero() {
		add("occurred_at >= ?", q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		add("occurred_at < ?", q.To.UnixMilli())
	}
	if q.Before.Seq > 0 {
		add("(occurred_at, seq) < (?, ?)", q.Before.OccurredAt.UnixMilli(), int64(q.Before.Seq))
	}
	query = "SELECT " + entryColumns + " FROM herald_audit"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY occurred_at DESC, seq DESC LIMIT ?"
	return query, append(args, q.Limit)
}

// Event implements herald.Facts.
func (s *Store) Event(ctx context.Context, id string) (e herald.Event, entry herald.AuditEntry, found bool, err error) {
	var seq uint64
	err = s.db.query(ctx, func(r row) (err error) {
		seq, e, err = scanEvent(r)
		return err
	}, "SELECT "+eventColumns+" FROM herald_events WHERE id = ?", id)
	if err != nil || seq == 0 {
		return e, entry, false, storeError(err)
	}
	err = s.db.query(ctx, func(r row) error {
		kept, err := scanEntry(r)
		entry = herald.AuditEntry(kept)
		return err
	}, "SELECT "+entryColumns+" FROM herald_audit WHERE seq = ?", int64(seq))
	return e, entry, err == nil, storeError(err)
}

func storeError(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}

// verifyPage is how many entries are read at once.
const verifyPage = 5000

// Verify computes the chain again, calling seen after every few thousand entries, and returns how many entries there
// are. The error is an [herald.AuditBreak] where an entry breaks it.
func (s *Store) Verify(ctx context.Context, seen func(entries uint64)) (entries uint64, err error) {
	from, err := s.lastCheckpoint(ctx)
	if err != nil {
		return 0, err
	}
	end := head{}
	if err := s.db.query(ctx, func(r row) error { return r.Scan(&end.seq, &end.hash) }, "SELECT seq, hash FROM herald_audit_head"); err != nil {
		return 0, err
	}
	v := audit.NewVerifier(from.seq, from.hash)
	for {
		n := 0
		last, _ := v.Last()
		err := s.db.query(ctx, func(r row) error {
			n++
			e, err := scanEntry(r)
			if err != nil {
				return err
			}
			return v.Next(&e)
		}, "SELECT "+entryColumns+" FROM herald_audit WHERE seq > ? ORDER BY seq LIMIT ?", int64(last), verifyPage)
		entries += uint64(n)
		var broken *audit.Break
		if errors.As(err, &broken) {
			return entries, &herald.AuditBreak{Seq: broken.Seq, ID: broken.ID, Why: broken.Why}
		}
		if err != nil {
			return entries, err
		}
		if n == 0 {
			break
		}
		if seen != nil {
			seen(entries)
		}
	}
	if seq, _ := v.Last(); seq < end.seq {
		return entries, &herald.AuditBreak{Seq: seq + 1, Why: fmt.Sprintf("the newest entries are missing: there were %d", end.seq)}
	}
	return entries, nil
}

// lastCheckpoint is where entries were removed up to; without any it is the start of the chain.
func (s *Store) lastCheckpoint(ctx context.Context) (head, error) {
	h := head{hash: audit.Start}
	err := s.db.query(ctx, func(r row) error { return r.Scan(&h.seq, &h.hash) },
		"SELECT seq, hash FROM herald_audit_checkpoints ORDER BY seq DESC LIMIT 1")
	return h, err
}
