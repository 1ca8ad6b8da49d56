package sqlstore

import (
	"context"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// TestJobsOutliveTheirDatabase: what was kept before a Postgres died is done when it is back, and so is what ran.
func TestJobsOutliveTheirDatabase(t *testing.T) {
	postgres := heraldtest.StartPostgres(t)
	started, release := make(chan struct{}, 10), make(chan struct{})
	r := startJobs(t, postgres.Database(), newJobNode(handlers{
		"held": func(context.Context, herald.Job) error { started <- struct{}{}; <-release; return nil },
		"any":  func(context.Context, herald.Job) error { return nil },
	}))
	held := r.submit(t, newJob("held", "1"))
	paused := newJob("any", "1")
	paused.Queue = "other"
	if err := r.PauseQueue(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	waiting := r.submit(t, paused)
	receive(t, started)
	postgres.Kill()
	if _, err := r.SubmitJob(t.Context(), newJob("any", "1")); !isRefusal(err, herald.CodeUnavailable) {
		t.Errorf("SubmitJob without a database: %v", err)
	}
	close(release) // it is done, and nobody can be told
	postgres.Start()
	eventually(t, func() error { return r.ResumeQueue(t.Context(), "other") })
	r.awaitJob(t, waiting.ID, herald.JobCompleted)
	r.awaitJob(t, held.ID, herald.JobCompleted)
	var late herald.Job
	eventually(t, func() (err error) {
		late, err = r.SubmitJob(t.Context(), newJob("any", "1"))
		return err
	})
	r.awaitJob(t, late.ID, herald.JobCompleted)
}
