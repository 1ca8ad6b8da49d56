package sqlstore

import (
	"context"
	"errors"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/audit"
)

const (
	// entriesPage is how many entries are read at once: in a few milliseconds, so that nobody waits for the reader.
	entriesPage = 1000
	// entriesBytes is what the payloads of these have, about.
	entriesBytes = 4 << 20
)

// ExportAudit implements herald.AuditLog. While each is called no query is under way: who writes slowly what it gets
// keeps no reader from others. What is recorded after the begin is not part of it.
func (s *Store) ExportAudit(ctx context.Context, q herald.AuditQuery, each func(herald.AuditEntry) error) error {
	after, end, err := s.endsOfLog(ctx)
	if err != nil {
		return storeError(err)
	}
	var page entries
	for after < end {
		last, err := s.window(ctx, after, end)
		if err != nil {
			return storeError(err)
		}
		if last == 0 { // the rest was pruned meanwhile
			return nil
		}
		if err := page.read(ctx, s.db, exportQuery(q, after, last)); err != nil {
			return storeError(err)
		}
		for i := range page.all {
			if err := each(herald.AuditEntry(page.all[i])); err != nil {
				return err
			}
		}
		after = last
		if page.isCut {
			after = page.all[len(page.all)-1].Seq
		}
	}
	return nil
}

// endsOfLog are the number before that of the oldest entry, and that of the newest; both are 0 where there is none.
func (s *Store) endsOfLog(ctx context.Context) (before, newest uint64, err error) {
	err = s.db.query(ctx, func(r row) error { return r.Scan(&before, &newest) },
		"SELECT (SELECT COALESCE(MIN(seq), 1) FROM herald_audit) - 1, (SELECT COALESCE(MAX(seq), 0) FROM herald_audit)")
	return before, newest, err
}

// window is where the next page's worth of entries behind a number ends, whether they are wanted or not; 0: there are
// none. Looking through so many at a time bounds how long a filter that few pass holds a reader.
func (s *Store) window(ctx context.Context, after, end uint64) (last uint64, err error) {
	err = s.db.query(ctx, func(r row) error { return r.Scan(&last) },
		"SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM herald_audit WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?) AS next",
		int64(after), int64(end), entriesPage)
	return last, err
}

// selection is a query with its arguments.
type selection struct {
	query string
	args  []any
}

func exportQuery(q herald.AuditQuery, after, last uint64) selection {
	where, args := auditFilters(q, bySeq)
	return entriesBetween(after, last, where, args...)
}

// entriesBetween selects the entries behind a number up to another, oldest first. The condition begins with AND, or is
// empty.
func entriesBetween(after, last uint64, condition string, args ...any) selection {
	return selection{
		"SELECT " + entryColumns + " FROM herald_audit WHERE seq > ? AND seq <= ?" + condition + " ORDER BY seq",
		append([]any{int64(after), int64(last)}, args...),
	}
}

// entries are entries that were read together.
type entries struct {
	all   []audit.Entry
	isCut bool // they were too large for all of them to be read
}

// read reads what is selected in the place of what was there.
func (p *entries) read(ctx context.Context, from reader, what selection) error {
	p.all, p.isCut = p.all[:0], false
	bytes := 0
	err := from.query(ctx, func(r row) error {
		if bytes >= entriesBytes {
			return errEnough
		}
		e, err := scanEntry(r)
		p.all = append(p.all, e)
		bytes += len(e.Payload)
		return err
	}, what.query, what.args...)
	if errors.Is(err, errEnough) {
		p.isCut, err = true, nil
	}
	return err
}
