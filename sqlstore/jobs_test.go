package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

func TestAJobIsRun(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		ran := make(chan herald.Job, 10)
		r := startJobs(t, storeURL, newJobNode(handlers{
			"email.send": func(_ context.Context, j herald.Job) error { ran <- j; return nil },
		}))
		payload := `{"to":"ann","n":1.00,"big":12345678901234567890,"b":1,"a":"\u0000"}`
		j := r.submit(t, newJob("email.send", payload))
		if j.ID == 0 || j.Status != herald.JobPending || j.MaxAttempts != 3 || string(j.Payload) != payload || j.CreatedAt.IsZero() {
			t.Errorf("submitted %+v", j)
		}
		if got := receive(t, ran); got.ID != j.ID || string(got.Payload) != payload || got.Attempts != 1 {
			t.Errorf("ran %+v, want job %d", got, j.ID)
		}
		done := r.awaitJob(t, j.ID, herald.JobCompleted)
		if done.Attempts != 1 || done.LastError != "" || done.FinishedAt.Before(done.CreatedAt) || string(done.Payload) != payload {
			t.Errorf("completed %+v", done)
		}
		r.stats(t, herald.JobStats{herald.JobCompleted: 1})
	})
}

func TestAJobIsTriedAgain(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		attempts := make(chan int, 10)
		r := startJobs(t, storeURL, newJobNode(handlers{
			"flaky": func(_ context.Context, j herald.Job) error {
				attempts <- j.Attempts
				if j.Attempts < 2 {
					return errors.New("the first is never good")
				}
				return nil
			},
		}))
		j := r.submit(t, newJob("flaky", "1"))
		receive(t, attempts)
		failed := r.awaitJob(t, j.ID, herald.JobFailed)
		if !strings.Contains(failed.LastError, "never good") || !failed.RunAt.After(time.Now()) {
			t.Errorf("failed %+v", failed)
		}
		if got := receive(t, attempts); got != 2 {
			t.Errorf("attempt %d, want 2", got)
		}
		r.awaitJob(t, j.ID, herald.JobCompleted)
	})
}

// TestADeadJobIsKept until somebody retries it, or all, or deletes it.
func TestADeadJobIsKept(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		well := make(chan struct{})
		r := startJobs(t, storeURL, newJobNode(handlers{
			"hopeless": func(context.Context, herald.Job) error {
				select {
				case <-well:
					return nil
				default:
					return &herald.GiveUpError{Err: errors.New("hopeless")}
				}
			},
			"once": func(context.Context, herald.Job) error { return errors.New("no") },
		}))
		j := r.submit(t, newJob("hopeless", "1"))
		dead := r.awaitJob(t, j.ID, herald.JobDead)
		if dead.Attempts != 1 || dead.LastError != "hopeless" {
			t.Errorf("dead %+v", dead)
		}
		last := newJob("once", "1")
		last.Attempts = 1
		r.awaitJob(t, r.submit(t, last).ID, herald.JobDead)
		if _, err := r.RetryJob(t.Context(), j.ID); err != nil {
			t.Fatalf("RetryJob: %v", err)
		}
		eventually(t, func() error { // it has failed again
			if again := r.awaitJob(t, j.ID, herald.JobDead); again.Attempts != 2 {
				return fmt.Errorf("dead after %d attempts, want 2", again.Attempts)
			}
			return nil
		})
		close(well)
		if n, err := r.RetryDeadJobs(t.Context()); n != 2 || err != nil {
			t.Errorf("RetryDeadJobs: %d, %v, want 2", n, err)
		}
		r.awaitJob(t, j.ID, herald.JobCompleted)
		r.stats(t, herald.JobStats{herald.JobCompleted: 1, herald.JobDead: 1})
	})
}

func TestWhatJobsRefuse(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		started, end := make(chan struct{}, 10), make(chan struct{})
		r := startJobs(t, storeURL, newJobNode(handlers{
			"slow": func(ctx context.Context, _ herald.Job) error {
				started <- struct{}{}
				select {
				case <-end:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
		}))
		j := r.submit(t, newJob("slow", "1"))
		receive(t, started)
		r.awaitJob(t, j.ID, herald.JobProcessing)
		if _, err := r.RetryJob(t.Context(), j.ID); !isRefusal(err, herald.CodeConflict) || !strings.Contains(err.Error(), "processing") {
			t.Errorf("retry of a running job: %v", err)
		}
		close(end)
		r.awaitJob(t, j.ID, herald.JobCompleted)
		if _, err := r.RetryJob(t.Context(), j.ID); !isRefusal(err, herald.CodeConflict) {
			t.Errorf("retry of a completed job: %v", err)
		}
		for name, err := range map[string]error{
			"RetryJob":  second(r.RetryJob(t.Context(), 1234)),
			"CancelJob": second(r.CancelJob(t.Context(), 1234)),
			"DeleteJob": second(r.DeleteJob(t.Context(), 1234)),
		} {
			if !isRefusal(err, herald.CodeNotFound) {
				t.Errorf("%s of what is not there: %v", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestJobsAreCancelledAndDeleted(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		started := make(chan struct{}, 10)
		r := startJobs(t, storeURL, newJobNode(handlers{
			"endless": func(ctx context.Context, _ herald.Job) error {
				started <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			},
		}))
		running := r.submit(t, newJob("endless", "1"))
		receive(t, started)
		r.awaitJob(t, running.ID, herald.JobProcessing)
		if cancelled, err := r.DeleteJob(t.Context(), running.ID); !cancelled || err != nil {
			t.Errorf("delete of a running job: %v, %v, want that it is cancelled", cancelled, err)
		}
		r.awaitJob(t, running.ID, herald.JobDead)

		later := newJob("endless", "1")
		later.RunAt = time.Now().Add(time.Hour)
		waiting := r.submit(t, later)
		if j, err := r.CancelJob(t.Context(), waiting.ID); err != nil || j.Status != herald.JobDead {
			t.Errorf("cancel of a waiting job: %+v, %v", j, err)
		}
		for _, id := range []int64{running.ID, waiting.ID, r.submit(t, later).ID} {
			if cancelled, err := r.DeleteJob(t.Context(), id); cancelled || err != nil {
				t.Errorf("DeleteJob: %v, %v", cancelled, err)
			}
			if _, found, err := r.Job(t.Context(), id); found || err != nil {
				t.Errorf("after DeleteJob: found %v, %v", found, err)
			}
		}
		r.stats(t, herald.JobStats{})
	})
}

func TestAUniqueKeyHasOneJob(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		end := make(chan error)
		r := startJobs(t, storeURL, newJobNode(handlers{
			"report": func(context.Context, herald.Job) error { return <-end },
		}))
		n := newJob("report", "1")
		n.UniqueKey, n.Attempts = "monday", 1
		first := r.submit(t, n)
		if again := r.submit(t, n); again.ID != first.ID {
			t.Errorf("got job %d, want %d, which has the key", again.ID, first.ID)
		}
		other := n
		other.UniqueKey = "tuesday"
		second := r.submit(t, other)
		if second.ID == first.ID {
			t.Error("another key has the same job")
		}
		end <- errors.New("no")
		end <- errors.New("no")
		r.awaitJob(t, first.ID, herald.JobDead)
		r.awaitJob(t, second.ID, herald.JobDead)
		next := r.submit(t, n)
		if next.ID == first.ID {
			t.Error("a dead job keeps its key")
		}
		if _, err := r.RetryJob(t.Context(), first.ID); !isRefusal(err, herald.CodeConflict) {
			t.Errorf("retry of a job whose key is taken: %v", err)
		}
		if n, err := r.RetryDeadJobs(t.Context()); n != 1 || err != nil {
			t.Errorf("RetryDeadJobs: %d, %v, want the one whose key is free", n, err)
		}
		end <- nil
		end <- nil
		r.awaitJob(t, next.ID, herald.JobCompleted)
		r.awaitJob(t, second.ID, herald.JobCompleted)
	})
}

// TestOneCommitMayHaveAKeyTwice: those who submit at the same time share a transaction.
func TestOneCommitMayHaveAKeyTwice(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		s := open1(t, storeURL)
		n := newJob("report", "1")
		n.UniqueKey = "monday"
		jobs := []*job{{NewJob: n}, {NewJob: newJob("report", "2")}, {NewJob: n}}
		if err := s.commit(t.Context(), []*fact{{jobs: jobs[:1]}, {jobs: jobs[1:]}}); err != nil {
			t.Fatalf("commit: %v", err)
		}
		if jobs[0].row.ID != jobs[2].row.ID || jobs[0].isDuplicate || !jobs[2].isDuplicate || jobs[1].row.ID == jobs[0].row.ID {
			t.Errorf("got the jobs %d, %d and %d", jobs[0].row.ID, jobs[1].row.ID, jobs[2].row.ID)
		}
	})
}

func TestPriorityGoesFirst(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		order := make(chan string, 10)
		r := startQuick(t, storeURL)
		for _, priority := range []int{4, 2, 1, 3} {
			n := newJob("any", fmt.Sprint(priority))
			n.Priority, n.Queue = priority, "other" // where one runs at once
			r.submit(t, n)
		}
		work(t, r, newJobNode(handlers{
			"any": func(_ context.Context, j herald.Job) error { order <- string(j.Payload); return nil },
		}))
		for want := 1; want <= 4; want++ {
			if got := receive(t, order); got != fmt.Sprint(want) {
				t.Errorf("priority %s ran, want %d", got, want)
			}
		}
	})
}

func TestAJobWaitsForItsTime(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		ran := make(chan time.Time, 10)
		r := startJobs(t, storeURL, newJobNode(handlers{
			"later": func(context.Context, herald.Job) error { ran <- time.Now(); return nil },
		}))
		n := newJob("later", "1")
		n.RunAt = time.Now().Add(700 * time.Millisecond)
		j := r.submit(t, n)
		if j.Status != herald.JobPending || j.RunAt.Sub(n.RunAt).Abs() > time.Millisecond {
			t.Errorf("submitted %+v, want at %v", j, n.RunAt)
		}
		if at := receive(t, ran); at.Before(n.RunAt.Truncate(time.Millisecond)) || at.After(n.RunAt.Add(2*time.Second)) {
			t.Errorf("ran at %v, want %v", at, n.RunAt)
		}
		r.awaitJob(t, j.ID, herald.JobCompleted)
	})
}

func TestAJobHasItsTimeout(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startJobs(t, storeURL, newJobNode(handlers{
			"long": func(ctx context.Context, _ herald.Job) error { <-ctx.Done(); return ctx.Err() },
		}))
		n := newJob("long", "1")
		n.Timeout, n.Attempts = 20*time.Millisecond, 1
		dead := r.awaitJob(t, r.submit(t, n).ID, herald.JobDead)
		if !strings.Contains(dead.LastError, context.DeadlineExceeded.Error()) {
			t.Errorf("got %q", dead.LastError)
		}
	})
}

func TestAHandlerAsksForItsTime(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startJobs(t, storeURL, newJobNode(handlers{
			"busy": func(_ context.Context, j herald.Job) error {
				if j.Attempts == 1 {
					return fmt.Errorf("call: %w", &herald.RetryAfterError{After: time.Hour, Err: errors.New("later")})
				}
				return &herald.RetryAfterError{Err: errors.New("at once")}
			},
		}))
		j := r.submit(t, newJob("busy", "1"))
		failed := r.awaitJob(t, j.ID, herald.JobFailed)
		if wait := time.Until(failed.RunAt); wait < 59*time.Minute || wait > time.Hour {
			t.Errorf("it runs in %v, want in an hour", wait)
		}
		if _, err := r.RetryJob(t.Context(), j.ID); err != nil {
			t.Fatalf("RetryJob: %v", err)
		}
		r.awaitJob(t, j.ID, herald.JobDead)
	})
}

func TestAQueueIsPaused(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		ran := make(chan string, 10)
		r := startQuick(t, storeURL)
		if err := r.PauseQueue(t.Context(), "other"); err != nil {
			t.Fatalf("PauseQueue before anybody works on it: %v", err)
		}
		node := newJobNode(handlers{"any": func(_ context.Context, j herald.Job) error { ran <- string(j.Payload); return nil }})
		work(t, r, node)
		n := newJob("any", `"paused"`)
		n.Queue = "other"
		paused := r.submit(t, n)
		r.submit(t, newJob("any", `"not paused"`))
		if got := receive(t, ran); got != `"not paused"` {
			t.Errorf("%s ran", got)
		}
		r.awaitJob(t, paused.ID, herald.JobPending)
		if err := r.ResumeQueue(t.Context(), "other"); err != nil {
			t.Fatalf("ResumeQueue: %v", err)
		}
		if got := receive(t, ran); got != `"paused"` {
			t.Errorf("%s ran", got)
		}
		if err := r.ResumeQueue(t.Context(), "unknown"); err != nil {
			t.Errorf("ResumeQueue of what was never paused: %v", err)
		}
	})
}

func TestJobsAreListed(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startQuick(t, storeURL)
		for i := range 6 {
			n := newJob([]string{"aa", "bb"}[i%2], fmt.Sprint(i))
			if i == 5 {
				n.RunAt = time.Now().Add(time.Hour)
			}
			r.submit(t, n)
		}
		for name, q := range map[string]struct {
			query herald.JobQuery
			want  string
		}{
			"all":     {herald.JobQuery{}, "5 4 3 2 1 0"},
			"type":    {herald.JobQuery{Type: "aa"}, "4 2 0"},
			"status":  {herald.JobQuery{Status: herald.JobPending, Type: "bb"}, "5 3 1"},
			"another": {herald.JobQuery{Status: herald.JobDead}, ""},
			"failed":  {herald.JobQuery{Status: herald.JobFailed}, ""},
		} {
			var got []string
			q.query.Limit = 2
			for {
				page, err := r.Jobs(t.Context(), q.query)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, j := range page {
					got = append(got, string(j.Payload))
				}
				if len(page) < 2 {
					break
				}
				q.query.Before = page[1].ID
			}
			if strings.Join(got, " ") != q.want {
				t.Errorf("%s: got %q, want %q", name, got, q.want)
			}
		}
	})
}

// TestEndedJobsAreCountedByAnIndex: there may be very many, and to read each would take long.
func TestEndedJobsAreCountedByAnIndex(t *testing.T) {
	r := startQuick(t, "sqlite::memory:")
	var plan []string
	err := r.db.query(t.Context(), func(row row) error {
		var (
			id, parent, unused int
			step               string
		)
		err := row.Scan(&id, &parent, &unused, &step)
		plan = append(plan, step)
		return err
	}, "EXPLAIN QUERY PLAN "+r.countJobs())
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(plan, "; ")
	if !strings.Contains(got, "USING COVERING INDEX") || strings.Contains(got, "SCAN river_job") {
		t.Errorf("the plan is %s", got)
	}
}
