package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/herald-events/herald"
)

// queue is the job queue of one kind of database, whatever its transactions are.
type queue interface {
	// migrate brings the queue's own tables to this version.
	migrate(ctx context.Context) error
	// insert inserts jobs in a transaction, and sets their rows.
	insert(ctx context.Context, t tx, jobs []*job) error
	// inserted has jobs begin that are committed.
	inserted(jobs []*job)
	queueControl
}

// queueControl is what is done with a queue that is under way.
type queueControl interface {
	cancel(ctx context.Context, id int64) error
	pause(ctx context.Context, name string) error
	resume(ctx context.Context, name string) error
	// start runs jobs until stop is called, which waits for those that run then, at most for the plan's grace.
	start(ctx context.Context, self string, node herald.JobNode) (stop func() error, err error)
}

// job is a job that is to be inserted, and the row that it becomes.
type job struct {
	herald.NewJob
	row         *rivertype.JobRow
	isDuplicate bool // its unique key is taken, by row
}

// riverQueue is River with transactions of type T.
type riverQueue[T any] struct {
	// Immutable after newQueue.
	newDriver func() riverdriver.Driver[T] // of each client
	raw       func(tx) T
	poll      time.Duration
	log       *slog.Logger

	client atomic.Pointer[river.Client[T]] // the one that runs jobs; before it starts, one that only inserts
	nudge  atomic.Pointer[func(context.Context, []*rivertype.JobInsertResult)]
}

// A nudger is a driver whose clients are told of jobs by the process that inserts them, and not by the database.
type nudger interface {
	nudge(ctx context.Context, inserted []*rivertype.JobInsertResult)
}

func newQueue[T any](q *riverQueue[T]) (*riverQueue[T], error) {
	q.log = slog.New(aboveInfo{q.log.Handler()})
	client, err := river.NewClient(q.newDriver(), &river.Config{Logger: q.log, SkipUnknownJobCheck: true})
	if err != nil {
		return nil, err
	}
	q.client.Store(client)
	return q, nil
}

func (q *riverQueue[T]) migrate(ctx context.Context) error {
	m, err := rivermigrate.New(q.newDriver(), &rivermigrate.Config{Logger: q.log})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// live are the states in which a job has its unique key.
var live = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
	rivertype.JobStateScheduled,
}

func (q *riverQueue[T]) insert(ctx context.Context, t tx, jobs []*job) error {
	type unique struct{ kind, key string }
	first := map[unique]*job{}
	var (
		fresh  []*job
		params []river.InsertManyParams
	)
	for _, j := range jobs {
		j.row, j.isDuplicate = nil, false // of a transaction that has failed
		if u := (unique{j.Type, j.UniqueKey}); u.key != "" {
			if first[u] != nil { // which the database would refuse
				continue
			}
			first[u] = j
		}
		fresh = append(fresh, j)
		params = append(params, insertParams(j))
	}
	results, err := q.client.Load().InsertManyTx(ctx, q.raw(t), params)
	if err != nil {
		return err
	}
	if len(results) != len(fresh) {
		return errors.New("the queue has not inserted every job")
	}
	for i, j := range fresh {
		j.row, j.isDuplicate = results[i].Job, results[i].UniqueSkippedAsDuplicate
	}
	for _, j := range jobs {
		if j.row == nil {
			j.row, j.isDuplicate = first[unique{j.Type, j.UniqueKey}].row, true
		}
	}
	return nil
}

func insertParams(j *job) river.InsertManyParams {
	opts := &river.InsertOpts{MaxAttempts: j.Attempts, Priority: j.Priority, Queue: j.Queue}
	if j.RunAt.After(time.Now()) {
		opts.ScheduledAt = j.RunAt
	}
	if j.UniqueKey != "" {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: live}
	}
	return river.InsertManyParams{InsertOpts: opts, Args: jobArgs{
		kind: j.Type, Payload: string(j.Payload), Key: j.UniqueKey, Timeout: j.Timeout.Milliseconds(), Event: j.EventID,
	}}
}

func (q *riverQueue[T]) inserted(jobs []*job) {
	nudge := q.nudge.Load()
	if nudge == nil {
		return
	}
	results := make([]*rivertype.JobInsertResult, 0, len(jobs))
	for _, j := range jobs {
		if !j.isDuplicate {
			results = append(results, &rivertype.JobInsertResult{Job: j.row})
		}
	}
	(*nudge)(context.Background(), results)
}

func (q *riverQueue[T]) cancel(ctx context.Context, id int64) error {
	_, err := q.client.Load().JobCancel(ctx, id)
	return err
}

func (q *riverQueue[T]) pause(ctx context.Context, name string) error {
	return q.client.Load().QueuePause(ctx, name, nil)
}

func (q *riverQueue[T]) resume(ctx context.Context, name string) error {
	return q.client.Load().QueueResume(ctx, name, nil)
}

const (
	// fetchCooldown is the least time between two looks for jobs. A look of a busy queue takes as many as there is
	// room for, so that this bounds how often there is one and not how many jobs run.
	fetchCooldown = 5 * time.Millisecond
	// rescueAfter has River not give back jobs that run for long: here nodes say that they live.
	rescueAfter = 10 * 365 * 24 * time.Hour
	forever     = -1

	// How the grace is spent, in hundredths: until then jobs may go on, then their contexts have ended, and then they
	// are left behind, so that what they are stays known before the process ends.
	graceWorking = 80
	graceEnding  = 90
	// stopTime is how long a queue whose jobs have ended may take for what it has to write.
	stopTime = 5 * time.Second
)

func (q *riverQueue[T]) start(ctx context.Context, self string, node herald.JobNode) (func() error, error) {
	plan := node.JobPlan()
	grace := cmp.Or(plan.Grace, time.Second)
	abandoned := make(chan struct{})
	workers := river.NewWorkers()
	for kind, timeout := range plan.Timeouts {
		river.AddWorkerArgs(workers, jobArgs{kind: kind}, &jobWorker{node: node, timeout: timeout, abandoned: abandoned})
	}
	queues := map[string]river.QueueConfig{}
	for name, n := range plan.Queues {
		queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	driver := q.newDriver()
	client, err := river.NewClient(driver, &river.Config{
		ID: self, Logger: q.log, Workers: workers, Queues: queues, FetchOnlyKnownKinds: true, SkipUnknownJobCheck: true,
		FetchCooldown: fetchCooldown, FetchPollInterval: q.poll, RetryPolicy: backoff{},
		CancelledJobRetentionPeriod: forever, DiscardedJobRetentionPeriod: forever, CompletedJobRetentionPeriod: 24 * time.Hour,
		RescueStuckJobsAfter: rescueAfter, SoftStopTimeout: grace * graceWorking / 100,
		JobStuckHandler: func(context.Context, river.JobStuckHandlerParams) river.JobStuckHandlerResult {
			return river.JobStuckHandlerResult{AddWorkerSlot: true} // one that hangs does not take its room from others
		},
	})
	if err != nil {
		return nil, err
	}
	inserting := q.client.Swap(client) // before it starts, so that it hears of each pause
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		q.client.Store(inserting)
		return nil, err
	}
	if n, ok := driver.(nudger); ok {
		nudge := n.nudge
		q.nudge.Store(&nudge)
	}
	return func() error {
		defer func() { // what comes now is not for who does not run any more
			q.nudge.Store(nil)
			q.client.Store(inserting)
		}()
		timer := time.AfterFunc(grace*graceEnding/100, func() { close(abandoned) })
		defer timer.Stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace+stopTime)
		defer cancel()
		return client.Stop(ctx)
	}, nil
}

// aboveInfo leaves out what River tells when all is well.
type aboveInfo struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h aboveInfo) Enabled(ctx context.Context, l slog.Level) bool {
	return l > slog.LevelInfo && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h aboveInfo) WithAttrs(attrs []slog.Attr) slog.Handler {
	return aboveInfo{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h aboveInfo) WithGroup(name string) slog.Handler { return aboveInfo{h.Handler.WithGroup(name)} }
