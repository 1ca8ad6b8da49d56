package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/herald-events/herald"
)

// jobArgs is what River keeps of a job.
type jobArgs struct {
	// Payload is JSON in a text of its own: as a part of this document Postgres would write its numbers and keys anew.
	Payload string `json:"payload"`
	Key     string `json:"key,omitempty" river:"unique"`
	Timeout int64  `json:"timeout,omitempty"` // in milliseconds
	Event   string `json:"event,omitempty"`   // whose job it is; jobSQL.event finds it

	kind    string    // when it is inserted or registered
	retryAt time.Time // set while it is worked; zero: the policy's
}

// Kind implements river.JobArgs.
func (a jobArgs) Kind() string { return a.kind }

// jobWorker runs the jobs of one type.
type jobWorker struct {
	river.WorkerDefaults[jobArgs]
	node      herald.JobNode
	timeout   time.Duration
	abandoned <-chan struct{} // closed when nobody waits any more for jobs that do not end
}

// Timeout implements river.Worker.
func (w *jobWorker) Timeout(j *river.Job[jobArgs]) time.Duration {
	return cmp.Or(time.Duration(j.Args.Timeout)*time.Millisecond, w.timeout)
}

// NextRetry implements river.Worker.
func (w *jobWorker) NextRetry(j *river.Job[jobArgs]) time.Time { return j.Args.retryAt }

// Work implements river.Worker. A handler that does not heed its context is left behind when the node ends, and its job
// given back.
func (w *jobWorker) Work(ctx context.Context, j *river.Job[jobArgs]) error {
	done := make(chan error, 1)
	go func() { done <- w.node.RunJob(ctx, jobOfRow(j.JobRow, time.Now())) }()
	var err error
	select {
	case err = <-done:
	case <-w.abandoned:
		// A busy machine may end the context later than planned. Left behind before that, it would have failed.
		select {
		case err = <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, ok := errors.AsType[*herald.GiveUpError](err); ok {
		return river.JobCancel(err)
	}
	if early, ok := errors.AsType[*herald.SnoozeError](err); ok {
		return river.JobSnooze(max(early.After, time.Second/20))
	}
	if own, ok := errors.AsType[*herald.RetryAfterError](err); ok {
		j.Args.retryAt = time.Now().Add(max(own.After, time.Second/20)) // River takes no time that is over
	}
	return err
}

// jobOfRow is a job as the library knows it.
func jobOfRow(r *rivertype.JobRow, now time.Time) herald.Job {
	var args jobArgs
	_ = json.Unmarshal(r.EncodedArgs, &args) // which is what insertParams has written
	j := herald.Job{
		ID: r.ID, Type: r.Kind, Status: statusOfState(string(r.State), r.Attempt > 0 && r.ScheduledAt.After(now)), Queue: r.Queue, Attempts: r.Attempt, MaxAttempts: r.MaxAttempts,
		Payload: json.RawMessage(args.Payload), CreatedAt: r.CreatedAt.UTC(), RunAt: r.ScheduledAt.UTC(),
	}
	if n := len(r.Errors); n > 0 {
		j.LastError = plainError(r.Errors[n-1].Error)
	}
	if r.FinalizedAt != nil {
		j.FinishedAt = r.FinalizedAt.UTC()
	}
	return j
}

// maxBackoff is the longest wait between two attempts.
const maxBackoff = 10 * time.Minute

// backoff waits for 1 s, 2 s, 4 s and so on, a tenth more or less.
type backoff struct{}

// NextRetry implements river.ClientRetryPolicy.
func (backoff) NextRetry(r *rivertype.JobRow) time.Time {
	d := min(time.Second<<min(max(r.Attempt-1, 0), 10), maxBackoff)
	return time.Now().Add(d*9/10 + rand.N(d/5))
}
