package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/herald-events/herald"
)

// WriteAudit implements herald.AuditLog.
func (s *Store) WriteAudit(ctx context.Context, e herald.AuditEntry) error {
	return s.commits.do(ctx, &fact{entry: newEntry(e, s.clock.Now())})
}

// Audit implements herald.AuditLog. Every filter is a range of one index.
func (s *Store) Audit(ctx context.Context, q herald.AuditQuery) ([]herald.AuditEntry, error) {
	query, args := s.auditQuery(q)
	var entries []herald.AuditEntry
	err := s.db.query(ctx, func(r row) error {
		e, err := scanEntry(r)
		entries = append(entries, herald.AuditEntry(e))
		return err
	}, query, args...)
	return entries, storeError(err)
}

func (s *Store) auditQuery(q herald.AuditQuery) (query string, args []any) {
	if q.Before.Seq > 0 && q.Before.OccurredAt.Before(q.To) {
		// The page ends earlier than the query. Of two ends SQLite goes by one, and reads what is between them for each page.
		q.To = time.Time{}
	}
	where, args := auditFilters(q, byIndex)
	if q.Before.Seq > 0 {
		where += " AND (occurred_at, seq) < (?, ?)"
		args = append(args, q.Before.OccurredAt.UnixMilli(), int64(q.Before.Seq))
	}
	if where != "" {
		where = " WHERE" + strings.TrimPrefix(where, " AND")
	}
	table := "herald_audit"
	if s.dialect == sqlite && q.Actor != "" && q.Action != "" {
		// With times too SQLite takes the index of the action alone for just as good.
		table += " INDEXED BY herald_audit_actor_action"
	}
	return "SELECT " + entryColumns + " FROM " + table + where + " ORDER BY occurred_at DESC, seq DESC LIMIT ?", append(args, q.Limit)
}

// filterForm is what follows a column in a condition.
type filterForm struct{ text, number string }

var (
	// byIndex has a query be a range of the index of its filters.
	byIndex = filterForm{}
	// bySeq has it be one of the table: with an index a database would sort by number what the whole log has under
	// that actor, again for each page.
	bySeq = filterForm{text: " || ''", number: " + 0"}
)

// auditFilters are the conditions of a query, each of which begins with AND.
func auditFilters(q herald.AuditQuery, form filterForm) (where string, args []any) {
	add := func(condition string, value any) {
		where, args = where+" AND "+condition+" ?", append(args, value)
	}
	if q.Actor != "" {
		add("actor"+form.text+" =", q.Actor)
	}
	if q.Action != "" {
		add("action"+form.text+" =", q.Action)
	}
	if !q.From.IsZero() {
		add("occurred_at"+form.number+" >=", q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		add("occurred_at"+form.number+" <", q.To.UnixMilli())
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
