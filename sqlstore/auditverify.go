package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/audit"
)

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
		if seen != nil && entries%verifyPage == 0 {
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

// verifyPage is how many entries are read at once. The database is free between the pages.
const verifyPage = 5000

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
		}, query, append(append([]any{int64(after)}, args...), verifyPage)...)
		if err != nil || n < verifyPage {
			return err
		}
	}
}
