package sqlstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

func TestSchedulesSubmitJobs(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		ran := make(chan string, 100)
		node := newJobNode(handlers{"tick": func(_ context.Context, j herald.Job) error { ran <- string(j.Payload); return nil }})
		every := func(d time.Duration) func(time.Time) time.Time {
			return func(after time.Time) time.Time { return after.Add(d) }
		}
		node.plan.Schedules = []herald.Schedule{
			{Name: "often", Cron: "a", Next: every(30 * time.Millisecond), Job: newJob("tick", `"often"`)},
			{Name: "seldom", Cron: "b", Next: every(time.Hour), Job: newJob("tick", `"seldom"`)},
		}
		r := startQuick(t, storeURL)
		w := work(t, r, node)
		for range 3 {
			if got := receive(t, ran); got != `"often"` {
				t.Errorf("got %s", got)
			}
		}
		w.stopWork()
		past := time.Now().Add(-time.Hour)
		err := r.db.write(t.Context(), func(tx tx) error { // nobody was there when it was due
			_, err := tx.exec(t.Context(), "UPDATE herald_schedules SET next_at = ? WHERE name = 'seldom'", past.UnixMilli())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		sc := node.plan.Schedules[1]
		for range 2 {
			if next, err := r.submitDue(t.Context(), sc); err != nil || time.Until(next) < 59*time.Minute {
				t.Errorf("submitDue: %v, %v", next, err)
			}
		}
		made := 0
		jobs, err := r.Jobs(t.Context(), herald.JobQuery{Type: "tick", Limit: 1000})
		for _, j := range jobs {
			if string(j.Payload) == `"seldom"` {
				made++
			}
		}
		if err != nil || made != 1 {
			t.Errorf("what was missed was made up for %d times (%v), want once", made, err)
		}
	})
}

// TestAScheduleThatHasNoNextTimeEnds: its last job is submitted once.
func TestAScheduleThatHasNoNextTimeEnds(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startQuick(t, storeURL)
		sc := herald.Schedule{Name: "once", Cron: "a", Next: func(time.Time) time.Time { return time.Time{} }, Job: newJob("tick", "1")}
		submitDue := func() {
			t.Helper()
			if next, err := r.submitDue(t.Context(), sc); err != nil || time.Until(next) < 24*time.Hour {
				t.Errorf("submitDue: %v, %v, want that it is never due again", next, err)
			}
		}
		submitDue() // which makes it known
		r.stats(t, herald.JobStats{})
		err := r.db.write(t.Context(), func(tx tx) error {
			_, err := tx.exec(t.Context(), "UPDATE herald_schedules SET next_at = 1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		submitDue()
		submitDue()
		r.stats(t, herald.JobStats{herald.JobPending: 1})
	})
}

// TestSchedulesAreSharedByNodes: of two nodes one submits.
func TestSchedulesAreSharedByNodes(t *testing.T) {
	storeURL := server(t).Database()
	a, b := startQuick(t, storeURL), startQuick(t, storeURL)
	at := time.Now()
	sc := herald.Schedule{Name: "hourly", Cron: "a", Next: func(time.Time) time.Time { return at.Add(time.Hour) }, Job: newJob("tick", "1")}
	if _, err := a.submitDue(t.Context(), sc); err != nil { // which makes it known
		t.Fatal(err)
	}
	err := a.db.write(t.Context(), func(tx tx) error {
		_, err := tx.exec(t.Context(), "UPDATE herald_schedules SET next_at = ?", at.UnixMilli())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := []*rig{a, b}[i%2].submitDue(t.Context(), sc); err != nil {
				t.Errorf("submitDue: %v", err)
			}
		})
	}
	wg.Wait()
	a.stats(t, herald.JobStats{herald.JobPending: 1})
}
