package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

func TestTheAuditLogIsAppendOnly(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.record(t, event(1))
		for _, statement := range []string{"UPDATE herald_audit SET actor = 'bob'", "DELETE FROM herald_audit"} {
			err := r.db.write(t.Context(), func(tx tx) error {
				_, err := tx.exec(t.Context(), statement)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: got %v, want that it is append-only", statement, err)
			}
		}
	})
}

// TestVerifyNamesTheFlippedByte flips one in each column of an entry, past the triggers.
func TestVerifyNamesTheFlippedByte(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		for n := range 5 {
			rec := event(n)
			rec.Audit.Target, rec.Audit.UserAgent, rec.Audit.RequestID = "user/1", "curl", "r-1"
			r.record(t, rec)
		}
		r.verify(t, 5)
		for _, column := range strings.Split(entryColumns, ", ") {
			t.Run(column, func(t *testing.T) {
				was := r.spoil(t, column)
				_, err := r.Verify(t.Context(), nil)
				var broken *herald.AuditBreak
				if !errors.As(err, &broken) || broken.Seq != 3 {
					t.Errorf("got %v, want that entry 3 breaks the chain", err)
				}
				r.unspoil(t, column, was)
				r.verify(t, 5)
			})
		}
		r.past(t, "DELETE FROM herald_audit WHERE seq = 5")
		if _, err := r.Verify(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "entry 5 breaks the chain: the newest") {
			t.Errorf("without the newest: got %v", err)
		}
	})
}

// past executes a statement without the triggers that refuse it.
func (r *rig) past(t testing.TB, statement string, args ...any) {
	t.Helper()
	off, on := []string{"ALTER TABLE herald_audit DISABLE TRIGGER USER"}, []string{"ALTER TABLE herald_audit ENABLE TRIGGER USER"}
	if r.dialect == sqlite {
		off, on = nil, nil
		err := r.db.query(t.Context(), func(row row) error {
			var name, text string
			err := row.Scan(&name, &text)
			off, on = append(off, "DROP TRIGGER "+name), append(on, text)
			return err
		}, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'herald_audit'")
		if err != nil {
			t.Fatal(err)
		}
	}
	err := r.db.write(t.Context(), func(tx tx) error {
		for _, s := range off {
			if _, err := tx.exec(t.Context(), s); err != nil {
				return err
			}
		}
		if _, err := tx.exec(t.Context(), statement, args...); err != nil {
			return err
		}
		for _, s := range on {
			if _, err := tx.exec(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// spoil changes a column of entry 3, and returns what it was.
func (r *rig) spoil(t testing.TB, column string) (was any) {
	t.Helper()
	err := r.db.query(t.Context(), func(row row) error { return row.Scan(&was) }, "SELECT "+column+" FROM herald_audit WHERE seq = 3")
	if err != nil {
		t.Fatal(err)
	}
	switch was := was.(type) {
	case int64:
		r.past(t, "UPDATE herald_audit SET "+column+" = ? WHERE seq = 3", was+1000)
	case string:
		r.past(t, "UPDATE herald_audit SET "+column+" = ? WHERE seq = 3", was[:len(was)-1]+string(was[len(was)-1]^1))
	default:
		t.Fatalf("%s is %T", column, was)
	}
	return was
}

func (r *rig) unspoil(t testing.TB, column string, was any) {
	t.Helper()
	seq := int64(3)
	if column == "seq" {
		seq += 1000
	}
	r.past(t, "UPDATE herald_audit SET "+column+" = ? WHERE seq = ?", was, seq)
}

func TestAuditIsFilteredAndPaged(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		for n := range 30 {
			err := r.WriteAudit(t.Context(), herald.AuditEntry{
				OccurredAt: occurred.Add(time.Duration(n/2) * time.Second), Actor: []string{"ann", "bob", "cid"}[n%3],
				Action: []string{"login", "logout"}[n%2], Outcome: "success", Target: fmt.Sprint(n),
			})
			if err != nil {
				t.Fatalf("WriteAudit: %v", err)
			}
		}
		for name, q := range map[string]struct {
			query herald.AuditQuery
			want  func(n int) bool
		}{
			"all":              {herald.AuditQuery{}, func(int) bool { return true }},
			"actor":            {herald.AuditQuery{Actor: "bob"}, func(n int) bool { return n%3 == 1 }},
			"action":           {herald.AuditQuery{Action: "login"}, func(n int) bool { return n%2 == 0 }},
			"actor and action": {herald.AuditQuery{Actor: "ann", Action: "logout"}, func(n int) bool { return n%6 == 3 }},
			"time": {
				herald.AuditQuery{From: occurred.Add(3 * time.Second), To: occurred.Add(5 * time.Second)},
				func(n int) bool { return n >= 6 && n < 10 },
			},
			"everything": {
				herald.AuditQuery{Actor: "ann", Action: "login", From: occurred.Add(3 * time.Second), To: occurred.Add(9 * time.Second)},
				func(n int) bool { return n%6 == 0 && n >= 6 && n < 18 },
			},
			"nobody": {herald.AuditQuery{Actor: "dan"}, func(int) bool { return false }},
		} {
			t.Run(name, func(t *testing.T) {
				var want []string
				for n := 29; n >= 0; n-- {
					if q.want(n) {
						want = append(want, fmt.Sprint(n))
					}
				}
				if got := r.targets(t, q.query); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	})
}

// targets reads all pages of a query.
func (r *rig) targets(t testing.TB, q herald.AuditQuery) (targets []string) {
	t.Helper()
	q.Limit = 4
	for {
		entries, err := r.Audit(t.Context(), q)
		if err != nil {
			t.Fatalf("Audit: %v", err)
		}
		for _, e := range entries {
			targets = append(targets, e.Target)
		}
		if len(entries) < q.Limit {
			return targets
		}
		last := entries[len(entries)-1]
		q.Before = herald.AuditPlace{OccurredAt: last.OccurredAt, Seq: last.Seq}
	}
}

// TestAuditQueriesAreRangesOfIndexes: none of them scans the table or sorts what it has found, and each goes by all of
// its filters.
func TestAuditQueriesAreRangesOfIndexes(t *testing.T) {
	r := run(t, "sqlite::memory:")
	for n := range 1 << 5 {
		q := herald.AuditQuery{Limit: 10}
		if n&1 > 0 {
			q.Actor = "ann"
		}
		if n&2 > 0 {
			q.Action = "login"
		}
		if n&4 > 0 {
			q.From = occurred
		}
		if n&8 > 0 {
			q.To = occurred.Add(time.Hour)
		}
		if n&16 > 0 {
			q.Before = herald.AuditPlace{OccurredAt: occurred, Seq: 7}
		}
		query, args := r.auditQuery(q)
		var plan strings.Builder
		err := r.db.query(t.Context(), func(row row) error {
			var id, parent, unused int
			var detail string
			err := row.Scan(&id, &parent, &unused, &detail)
			plan.WriteString(detail + "\n")
			return err
		}, "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.String(); !strings.Contains(got, "INDEX") || strings.Contains(got, "TEMP B-TREE") || n > 0 && !strings.Contains(got, "SEARCH") {
			t.Errorf("%+v: got the plan\n%s", q, got)
		}
		for part, column := range map[int]string{1: "actor=", 2: "action=", 4: "occurred_at>", 8: "occurred_at<", 16: "occurred_at<"} {
			if got := plan.String(); n&part > 0 && !strings.Contains(got, column) {
				t.Errorf("%+v: got the plan\n%s, want one that goes by %s", q, got, column)
			}
		}
		// A plan goes by one upper end, and does not say by which.
		if n&(8|16) == 8|16 && strings.Contains(query, "occurred_at < ?") {
			t.Errorf("%+v: got the query\n%s, want no upper end but the page's", q, query)
		}
	}
}
