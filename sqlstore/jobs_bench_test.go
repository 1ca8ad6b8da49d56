package sqlstore

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// BenchmarkJobs has 64 callers submit jobs, and ends when all are completed.
func BenchmarkJobs(b *testing.B) {
	overDatabases(b, func(b *testing.B, storeURL string) {
		var left atomic.Int64
		left.Store(int64(b.N))
		all := make(chan struct{})
		node := newJobNode(handlers{"none": func(context.Context, herald.Job) error {
			if left.Add(-1) == 0 {
				close(all)
			}
			return nil
		}})
		node.plan.Queues = map[string]int{"default": 100}
		r := startJobs(b, storeURL, node)
		var submitted atomic.Int64
		b.ResetTimer()
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for submitted.Add(1) <= int64(b.N) {
					r.submit(b, newJob("none", `{"to":"ann@example.com"}`))
				}
			})
		}
		wg.Wait()
		<-all
		r.stats(b, herald.JobStats{herald.JobCompleted: int64(b.N)})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	})
}

// BenchmarkJobStart submits one job after the other, each when the queue has been idle for a moment, and tells how long
// they take to start.
func BenchmarkJobStart(b *testing.B) {
	overDatabases(b, func(b *testing.B, storeURL string) {
		began := make(chan time.Time, 1)
		r := startJobs(b, storeURL, newJobNode(handlers{"none": func(context.Context, herald.Job) error {
			began <- time.Now()
			return nil
		}}))
		r.submit(b, newJob("none", "1")) // the first finds a queue that has only begun
		<-began
		idle := time.NewTicker(37 * time.Millisecond)
		defer idle.Stop()
		var took []time.Duration
		for b.Loop() {
			<-idle.C
			submitted := time.Now()
			r.submit(b, newJob("none", "1"))
			took = append(took, (<-began).Sub(submitted))
		}
		slices.Sort(took)
		for name, hundredths := range map[string]int{"p50-ms": 50, "p99-ms": 99} {
			b.ReportMetric(float64(took[(len(took)-1)*hundredths/100].Microseconds())/1000, name)
		}
	})
}
