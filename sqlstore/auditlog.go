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
	return entries, storeError(err)
}

func auditQuery(q herald.AuditQuery) (query string, args []any) {
	where, args := auditFilters(q)
	if q.Before.Seq > 0 {
		where += " AND (occurred_at, seq) < (?, ?)"
		args = append(args, q.Before.OccurredAt.UnixMilli(), int64(q.Before.Seq))
	}
	if where != "" {
		where = " WHERE" + strings.TrimPrefix(where, " AND")
	}
	return "SELECT " + entryColumns + " FROM herald_audit" + where + " ORDER BY occurred_at DESC, seq DESC LIMIT ?", append(args, q.Limit)
}

// auditFilters are the conditions of a query, each of which begins with AND.
func auditFilters(q herald.AuditQuery) (where string, args []any) {
	add := func(condition string, value any) {
		where, args = where+" AND "+condition+" ?", append(args, value)
	}
	if q.Actor != "" {
		add("actor =", q.Actor)
	}
	if q.Action != "" {
		add("action =", q.Action)
	}
	if !q.From.IsZero() {
		add("occurred_at >=", q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		add("occurred_at <", q.To.UnixMilli())
	}
	return where, args
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

// ExportAudit implements herald.AuditLog.
func (s *Store) ExportAudit(ctx context.Context, q herald.AuditQuery, each func(herald.AuditEntry) error) error {
	where, args := auditFilters(q)
	failed := errors.New("") // of each, which is its caller's
	err := s.eachEntry(ctx, 0, where, args, func(e *audit.Entry) error {
		if err := each(herald.AuditEntry(*e)); err != nil {
			failed = err
			return err
		}
		return nil
	})
	if errors.Is(err, failed) {
		return err
	}
	return storeError(err)
}

// entriesPage is how many entries are read at once. The database is free between the pages.
const entriesPage = 5000

// eachEntry calls each for the entries behind a number, oldest first. The condition begins with AND, or is empty.
func (s *Store) eachEntry(ctx context.Context, after uint64, condition string, args []any, each func(*audit.Entry) error) error {
	query := "SELECT " + entryColumns + " FROM herald_audit WHERE seq > ?" + condition + " ORDER BY seq LIMIT ?"
	for {
		n := 0
		err := s.db.query(ctx, func(r row) error {
			n++
			e, err := scanEntry(r)
			if err != nil {
				return err
			}
			after = e.Seq
			return each(&e)
		}, query, append(append([]any{int64(after)}, args...), entriesPage)...)
		if err != nil || n < entriesPage {
			return err
		}
	}
}

// Verify computes the chain again, calling seen after every few thousand entries, and returns how many entries there
// are. The error is an [herald.AuditBreak] where an entry breaks it.
func (s *Store) Verify(ctx context.Context, seen func(entries uint64)) (entries uint64, err error) {
	from, err := s.lastCheckpoint(ctx, s.db)
	if err != nil {
		return 0, err
	}
	end := head{}
	if err := s.db.query(ctx, func(r row) error { return r.Scan(&end.seq, &end.hash) }, "SELECT seq, hash FROM herald_audit_head"); err != nil {
		return 0, err
	}
	v := audit.NewVerifier(from.seq, from.hash)
	err = s.eachEntry(ctx, from.seq, "", nil, func(e *audit.Entry) error {
		entries++
		if seen != nil && entries%entriesPage == 0 {
			seen(entries)
		}
		return v.Next(e)
	})
	if broken, ok := errors.AsType[*audit.Break](err); ok {
		return entries, &herald.AuditBreak{Seq: broken.Seq, ID: broken.ID, Why: broken.Why}
	}
	if err != nil {
		return entries, err
	}
	if seq, _ := v.Last(); seq < end.seq {
		return entries, &herald.AuditBreak{Seq: seq + 1, Why: fmt.Sprintf("the newest entries are missing: there were %d", end.seq)}
	}
	return entries, nil
}
