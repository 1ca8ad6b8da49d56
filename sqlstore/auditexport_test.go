package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// TestStalledExportsKeepNoReader has more exports wait for whoever reads them than there are connections.
func TestStalledExportsKeepNoReader(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.record(t, event(1))
		const many = 20
		begun, goOn := make(chan struct{}, many), make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(goOn)
		for range many {
			wg.Go(func() {
				err := r.ExportAudit(context.Background(), herald.AuditQuery{}, func(herald.AuditEntry) error {
					begun <- struct{}{}
					<-goOn
					return nil
				})
				if err != nil {
					t.Errorf("ExportAudit: %v", err)
				}
			})
		}
		late := time.After(patience)
		for n := range many {
			select {
			case <-begun:
			case <-late:
				t.Fatalf("%d exports have begun, want %d", n, many)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if got, err := r.Audit(ctx, herald.AuditQuery{Limit: 10}); len(got) != 1 || err != nil {
			t.Errorf("beside the exports: got %d entries, %v", len(got), err)
		}
	})
}

// TestExportsArePaged: whatever the filters, and whatever the pages have in them.
func TestExportsArePaged(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		const many = 5000
		fill(t, r.Store, many)
		for name, test := range map[string]struct {
			query herald.AuditQuery
			want  func(n int) bool
		}{
			"all":     {herald.AuditQuery{}, func(int) bool { return true }},
			"actor":   {herald.AuditQuery{Actor: "u-7"}, func(n int) bool { return n%1000 == 7 }},
			"action":  {herald.AuditQuery{Action: "user.seen"}, func(n int) bool { return n%1000 > 0 }},
			"both":    {herald.AuditQuery{Actor: "u-0", Action: "user.deleted"}, func(n int) bool { return n%1000 == 0 }},
			"a time":  {herald.AuditQuery{From: occurred.Add(40 * time.Second), To: occurred.Add(40 * time.Second).Add(time.Second)}, func(n int) bool { return n >= 4000 && n < 4100 }},
			"nothing": {herald.AuditQuery{Actor: "nobody"}, func(int) bool { return false }},
		} {
			t.Run(name, func(t *testing.T) {
				var want []uint64
				for n := range many {
					if test.want(n) {
						want = append(want, uint64(n+1))
					}
				}
				if got := r.exported(t, test.query); !slices.Equal(got, want) {
					t.Errorf("got %d entries, want %d in their order", len(got), len(want))
				}
			})
		}
		failed := errors.New("the client is gone")
		if err := r.ExportAudit(t.Context(), herald.AuditQuery{}, func(herald.AuditEntry) error { return failed }); err != failed {
			t.Errorf("got %v, want the error of who was called", err)
		}
	})
}

func (r *rig) exported(t testing.TB, q herald.AuditQuery) (seqs []uint64) {
	t.Helper()
	err := r.ExportAudit(t.Context(), q, func(e herald.AuditEntry) error {
		seqs = append(seqs, e.Seq)
		return nil
	})
	if err != nil {
		t.Fatalf("ExportAudit: %v", err)
	}
	return seqs
}

// TestAPageOfEntriesIsBoundedInBytes: a page of large payloads is smaller, and none of it is lost.
func TestAPageOfEntriesIsBoundedInBytes(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		payload := []byte(`"` + strings.Repeat("x", entriesBytes/4) + `"`)
		for n := range 12 {
			err := r.WriteAudit(t.Context(), herald.AuditEntry{
				OccurredAt: occurred, Actor: []string{"ann", "bob"}[n%2], Action: "login", Outcome: "success", Payload: payload,
			})
			if err != nil {
				t.Fatalf("WriteAudit: %v", err)
			}
		}
		var page entries
		if err := page.read(t.Context(), r.db, entriesBetween(0, 12, "")); err != nil || !page.isCut || len(page.all) != 4 {
			t.Errorf("got %d entries, cut %v, %v; want 4 of them", len(page.all), page.isCut, err)
		}
		if got, want := r.exported(t, herald.AuditQuery{Actor: "bob"}), []uint64{2, 4, 6, 8, 10, 12}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		r.verify(t, 12)
	})
}

// TestExportsAreRangesOfTheTable: no filter has the database sort, for each page, what the log has of it.
func TestExportsAreRangesOfTheTable(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		fill(t, r.Store, 5000)
		explain, key := "EXPLAIN QUERY PLAN ", "SEARCH herald_audit USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
		if r.dialect == postgres {
			explain, key = "EXPLAIN ", "Index Scan using herald_audit_pkey"
			r.past(t, "ANALYZE herald_audit")
		}
		for n := range 1 << 4 {
			q := herald.AuditQuery{}
			if n&1 > 0 {
				q.Actor = "u-7"
			}
			if n&2 > 0 {
				q.Action = "user.deleted"
			}
			if n&4 > 0 {
				q.From = occurred
			}
			if n&8 > 0 {
				q.To = occurred.Add(time.Hour)
			}
			what := exportQuery(q, 1000, 2000)
			var plan strings.Builder
			err := r.db.query(t.Context(), func(row row) error {
				var id, parent, unused int
				var detail string
				places := []any{&id, &parent, &unused, &detail}
				if r.dialect == postgres {
					places = places[3:]
				}
				err := row.Scan(places...)
				fmt.Fprintln(&plan, detail)
				return err
			}, explain+what.query, what.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := plan.String(); !strings.Contains(got, key) || strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "Sort") {
				t.Errorf("%+v: got the plan\n%s", q, got)
			}
		}
	})
}
