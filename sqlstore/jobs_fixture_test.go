package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/herald-events/herald"
)

// quick are times that a test can wait for.
var quick = jobTimes{beat: 50 * time.Millisecond, gone: 500 * time.Millisecond, unknown: 100 * time.Millisecond}

// jobRig is a store that runs jobs.
type jobRig struct {
	*rig
	stopWork func() // ends Work in order
}

// jobNode runs jobs with functions.
type jobNode struct {
	plan herald.JobPlan
	run  map[string]func(context.Context, herald.Job) error
}

func (n *jobNode) JobPlan() herald.JobPlan { return n.plan }

func (n *jobNode) RunJob(ctx context.Context, j herald.Job) error { return n.run[j.Type](ctx, j) }

// newJobNode handles types, ten jobs at once.
func newJobNode(run map[string]func(context.Context, herald.Job) error) *jobNode {
	n := &jobNode{run: run, plan: herald.JobPlan{
		Timeouts: map[string]time.Duration{}, Queues: map[string]int{"default": 10, "other": 1}, Grace: time.Second,
	}}
	for t := range run {
		n.plan.Timeouts[t] = time.Minute
	}
	return n
}

// startJobs opens a store and runs jobs until the test ends.
func startJobs(t testing.TB, storeURL string, node *jobNode) *jobRig {
	t.Helper()
	return work(t, startQuick(t, storeURL), node)
}

// startQuick is run with quick times.
func startQuick(t testing.TB, storeURL string) *rig {
	t.Helper()
	s, err := Open(t.Context(), storeURL, Config{Logger: testLogger(t), times: quick, WebhookRetention: -1})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return runStore(t, s)
}

func testLogger(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// work has a store run jobs.
func work(t testing.TB, r *rig, node *jobNode) *jobRig {
	t.Helper()
	w := &jobRig{rig: r}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Work(ctx, node) }()
	w.stopWork = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Work: %v", err)
		}
	})
	t.Cleanup(w.stopWork)
	return w
}

// newJob is a job with the defaults of the library.
func newJob(jobType, payload string) herald.NewJob {
	return herald.NewJob{Type: jobType, Payload: []byte(payload), Queue: "default", Priority: 2, Attempts: 3, Timeout: time.Minute}
}

func (r *rig) submit(t testing.TB, n herald.NewJob) herald.Job {
	t.Helper()
	j, err := r.SubmitJob(t.Context(), n)
	if err != nil {
		t.Fatalf("SubmitJob: %v", err)
	}
	return j
}

// awaitJob waits until a job has a status, and returns it.
func (r *rig) awaitJob(t testing.TB, id int64, status herald.JobStatus) herald.Job {
	t.Helper()
	var j herald.Job
	eventually(t, func() error {
		var (
			found bool
			err   error
		)
		j, found, err = r.Job(t.Context(), id)
		if err != nil || !found {
			t.Fatalf("Job %d: found %v, %v", id, found, err)
		}
		if j.Status != status {
			return fmt.Errorf("the job is %s, want %s: %+v", j.Status, status, j)
		}
		return nil
	})
	return j
}

// eventually looks again and again until check has nothing to say.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	eventuallyWithin(t, patience, 5*time.Millisecond, check)
}

// eventuallyWithin is eventually for what takes long, or is dear to look at.
func eventuallyWithin(t testing.TB, patience, each time.Duration, check func() error) {
	t.Helper()
	look := time.NewTicker(each)
	defer look.Stop()
	late := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatal(err)
		}
	}
}

// receive waits for what a handler says.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("a handler was not called")
		panic("unreachable")
	}
}

// stats waits until the jobs are counted so.
func (r *rig) stats(t testing.TB, want herald.JobStats) {
	t.Helper()
	eventually(t, func() error {
		got, err := r.JobStats(t.Context())
		if err != nil {
			t.Fatalf("JobStats: %v", err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

func isRefusal(err error, code herald.Code) bool { return errors.Is(err, &herald.Error{Code: code}) }

type handlers = map[string]func(context.Context, herald.Job) error

func rowOfAttempt(n int) *rivertype.JobRow { return &rivertype.JobRow{Attempt: n} }
