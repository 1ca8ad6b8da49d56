package herald

import (
	"context"
	"encoding/json"
	"time"
)

// JobStore keeps background jobs, and has them run on the nodes that share it.
type JobStore interface {
	JobControl
	JobReader
	JobQueues
}

// JobControl changes jobs. What is not there is refused with [CodeNotFound], and what is not in a state for it with
// [CodeConflict].
type JobControl interface {
	// SubmitJob keeps a job, and returns when that is committed. Where its unique key is taken, it returns the job
	// that has it.
	SubmitJob(ctx context.Context, j NewJob) (Job, error)
	// CancelJob has a job never run again: one that waits is dead, and the context of one that runs ends.
	CancelJob(ctx context.Context, id int64) (Job, error)
	// RetryJob has a dead job, or one that waits for its next attempt, run now.
	RetryJob(ctx context.Context, id int64) (Job, error)
	// RetryDeadJobs does that with all dead jobs, and returns how many there were.
	RetryDeadJobs(ctx context.Context) (int, error)
	// DeleteJob removes a job. One that runs is cancelled instead, and stays.
	DeleteJob(ctx context.Context, id int64) (cancelled bool, err error)
}

// JobReader shows jobs.
type JobReader interface {
	// Job finds a job.
	Job(ctx context.Context, id int64) (j Job, found bool, err error)
	// Jobs returns a page of jobs, newest first.
	Jobs(ctx context.Context, q JobQuery) ([]Job, error)
	// JobStats counts the jobs of all nodes.
	JobStats(ctx context.Context) (JobStats, error)
}

// JobQueues run jobs.
type JobQueues interface {
	// Work runs jobs on a node until ctx ends, and returns when those that ran then have ended or the node's grace
	// is over. It is called once.
	Work(ctx context.Context, node JobNode) error
	// PauseQueue has no node begin a job of a queue; ResumeQueue ends that.
	PauseQueue(ctx context.Context, queue string) error
	ResumeQueue(ctx context.Context, queue string) error
}

// JobNode is a node that runs jobs, as its store knows it.
type JobNode interface {
	// JobPlan says what the node runs. It is always the same.
	JobPlan() JobPlan
	// RunJob calls the handler of a job. The error may be, or wrap, a [RetryAfterError] or a [GiveUpError]; a panic
	// of the handler is an error.
	RunJob(ctx context.Context, j Job) error
}

// JobPlan is what a node runs.
type JobPlan struct {
	Timeouts  map[string]time.Duration // by type of job: how long one may take that does not say
	Queues    map[string]int           // how many jobs run at once, by queue
	Durable   []DurableHandler
	Schedules []Schedule
	Grace     time.Duration // for the jobs that run when the work ends
}

// DurableHandler is a handler of events whose calls are jobs: each event whose type matches the pattern becomes a job,
// with the event as its payload.
type DurableHandler struct {
	Pattern string
	Job     NewJob // of the handler's name, without a payload
}

// Schedule submits a job again and again.
type Schedule struct {
	Name string
	Cron string                          // as it was given; where it changes, the schedule begins anew
	Next func(after time.Time) time.Time // the zero time: never again
	Job  NewJob
}

// NewJob is a job that is to be kept, checked and complete.
type NewJob struct {
	Type      string
	Payload   []byte // JSON text
	Queue     string
	Priority  int       // 1, which goes first, to 4
	Attempts  int       // at most
	RunAt     time.Time // zero: at once
	Timeout   time.Duration
	UniqueKey string // empty: there may be many
	EventID   string // of the event that made it; empty: none did
}

// JobStatus is what has become of a job.
type JobStatus string

// The statuses of jobs.
const (
	JobPending    JobStatus = "pending"    // waits for its time or for room
	JobProcessing JobStatus = "processing" // runs
	JobCompleted  JobStatus = "completed"  // is done; it is kept for a day
	JobFailed     JobStatus = "failed"     // has failed, and waits for its next attempt
	JobDead       JobStatus = "dead"       // is not tried again by itself; it is kept until somebody retries or deletes it
)

var jobStatuses = []JobStatus{JobPending, JobProcessing, JobCompleted, JobFailed, JobDead}

// Job is a background job.
type Job struct {
	ID          int64
	Type        string
	Status      JobStatus
	Queue       string
	Attempts    int // that have begun
	MaxAttempts int
	Payload     json.RawMessage
	LastError   string // of the last attempt that failed, with the stack of a panic
	CreatedAt   time.Time
	RunAt       time.Time // when it is due, or was
	FinishedAt  time.Time // zero: it has not
}

// JobQuery says which jobs are wanted; what is empty does not filter.
type JobQuery struct {
	Status  JobStatus
	Type    string
	EventID string // of the event that made them
	Before  int64  // an id: those that are older
	Limit   int
}

// JobStats count jobs by their status.
type JobStats map[JobStatus]int64
