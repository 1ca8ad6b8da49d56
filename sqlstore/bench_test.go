package sqlstore

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// overDatabases runs a benchmark over each database that outlives its process.
func overDatabases(b *testing.B, bench func(b *testing.B, storeURL string)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, "sqlite:"+filepath.Join(b.TempDir(), "herald.db")) })
	b.Run("postgres", func(b *testing.B) { bench(b, server(b).Database()) })
}

// BenchmarkRecord: durable publishes a second, of 64 publishers and of one alone.
func BenchmarkRecord(b *testing.B) {
	for _, publishers := range []int{1, 64} {
		b.Run(fmt.Sprint("publishers=", publishers), func(b *testing.B) {
			overDatabases(b, func(b *testing.B, storeURL string) {
				r := run(b, storeURL)
				var (
					wg   sync.WaitGroup
					next atomic.Int64
					took = make([]time.Duration, b.N)
				)
				b.ResetTimer()
				for range publishers {
					wg.Go(func() {
						for {
							n := next.Add(1) - 1
							if n >= int64(b.N) {
								return
							}
							began := time.Now()
							if _, err := r.Record(context.Background(), event(int(n))); err != nil {
								b.Error(err)
								return
							}
							took[n] = time.Since(began)
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publishes/s")
				b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
			})
		})
	}
}

// BenchmarkAudit: a page of an audit log of a million entries, and its verification.
func BenchmarkAudit(b *testing.B) {
	overDatabases(b, func(b *testing.B, storeURL string) {
		r := run(b, storeURL)
		const entries = 1_000_000
		fill(b, r.Store, entries)
		for name, q := range map[string]herald.AuditQuery{
			"all":    {},
			"actor":  {Actor: "u-7"},
			"both":   {Actor: "u-7", Action: "user.seen"},
			"rare":   {Action: "user.deleted"},
			"middle": {From: occurred.Add(1000 * time.Second), To: occurred.Add(1010 * time.Second), Action: "user.seen"},
		} {
			b.Run("page "+name, func(b *testing.B) {
				q.Limit = 100
				for b.Loop() {
					if _, err := r.Audit(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("verify", func(b *testing.B) {
			for b.Loop() {
				if n, err := r.Verify(b.Context(), nil); err != nil || n != entries {
					b.Fatalf("%d entries, %v", n, err)
				}
			}
			b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	})
}

// fill records entries, many in a transaction.
func fill(b testing.TB, s *Store, n int) {
	b.Helper()
	const many = 5000
	for from := 0; from < n; from += many {
		facts := make([]*fact, many)
		for i := range facts {
			at := from + i
			action := "user.seen"
			if at%1000 == 0 {
				action = "user.deleted"
			}
			facts[i] = &fact{entry: newEntry(herald.AuditEntry{
				OccurredAt: occurred.Add(time.Duration(at) * 10 * time.Millisecond), Actor: fmt.Sprint("u-", at%1000), Action: action,
				Outcome: "success", Payload: []byte(`{"userId":"u-7","email":"ada@example.com"}`),
			}, occurred)}
		}
		if err := s.commit(b.Context(), facts); err != nil {
			b.Fatal(err)
		}
	}
}
