package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/herald-events/herald"
)

// TestEventsBecomeJobs of the handlers that match, in the transaction that records them and once.
func TestEventsBecomeJobs(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		ran := make(chan string, 10)
		say := func(_ context.Context, j herald.Job) error { ran <- j.Type + " " + string(j.Payload); return nil }
		node := newJobNode(handlers{"send-welcome": say, "count": say, "other": say})
		for name, pattern := range map[string]string{"send-welcome": "user.registered", "count": "*", "other": "login.*"} {
			node.plan.Durable = append(node.plan.Durable, herald.DurableHandler{Pattern: pattern, Job: newJob(name, "")})
		}
		r := startQuick(t, storeURL)
		publisher := r // a node that handles nothing publishes, where there may be two
		if r.dialect == postgres {
			publisher = startQuick(t, storeURL)
		}
		work(t, r, node)
		r.awaitDurable(t, 3)
		for range 2 { // the second is known
			publisher.record(t, event(1))
		}
		got := []string{receive(t, ran), receive(t, ran)}
		slices.Sort(got)
		payload := ` {"id":"evt-1","type":"user.registered","timestamp":"2023-11-14T22:13:21Z","userId":"ann","ip":"203.0.113.7","payload":{"n":1}}`
		if want := []string{"count" + payload, "send-welcome" + payload}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		r.stats(t, herald.JobStats{herald.JobCompleted: 2})
		jobs, err := r.Jobs(t.Context(), herald.JobQuery{EventID: "evt-1", Limit: 10})
		if err != nil || len(jobs) != 2 {
			t.Errorf("the event has the jobs %+v, %v; want 2", jobs, err)
		}
		if jobs, err := r.Jobs(t.Context(), herald.JobQuery{EventID: "evt-2", Limit: 10}); err != nil || len(jobs) != 0 {
			t.Errorf("an event that is not there has the jobs %+v, %v", jobs, err)
		}
	})
}

// TestJobsOfAnEventAreFoundByAnIndex, and jobs of no event are not in it.
func TestJobsOfAnEventAreFoundByAnIndex(t *testing.T) {
	r := run(t, "sqlite::memory:")
	var plan strings.Builder
	err := r.db.query(t.Context(), func(row row) error {
		var id, parent, unused int
		var detail string
		err := row.Scan(&id, &parent, &unused, &detail)
		plan.WriteString(detail + "\n")
		return err
	}, "EXPLAIN QUERY PLAN SELECT "+r.sql.columns+" FROM river_job WHERE "+r.sql.event+" = ? ORDER BY id DESC LIMIT 10", "evt-1")
	if err != nil || !strings.Contains(plan.String(), "herald_job_event") {
		t.Errorf("the plan is %s%v", plan.String(), err)
	}
}

// awaitDurable waits until so many handlers are registered.
func (r *rig) awaitDurable(t testing.TB, want int) {
	t.Helper()
	eventually(t, func() error {
		var n int
		err := r.db.query(t.Context(), func(row row) error { return row.Scan(&n) }, "SELECT COUNT(*) FROM herald_durable")
		if err != nil || n != want {
			return fmt.Errorf("%d handlers are registered (%v), want %d", n, err, want)
		}
		return nil
	})
}
