package herald

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/herald-events/herald/internal/pattern"
)

// JobsConfig says how many background jobs a node runs.
type JobsConfig struct {
	// Concurrency is how many jobs of the default queue run at once on this node; 0 means 50.
	Concurrency int
	// Queues are the other queues by name, 1 to 64 of "a-z 0-9" with single "_" or "-" between them, and how many
	// jobs of each run at once on this node: with -1 none does, and the node only submits to it.
	Queues map[string]int
}

// withDefaults makes the default queue one of the others.
func (c JobsConfig) withDefaults() JobsConfig {
	queues := map[string]int{defaultQueue: cmp.Or(c.Concurrency, defaultConcurrency)}
	maps.Copy(queues, c.Queues)
	c.Queues = queues
	return c
}

// queues checks names and how many jobs of each run at once.
func (v *validation) queues(field string, queues map[string]int) {
	for name, n := range queues {
		if len(name) > maxQueueName || !queueName.MatchString(name) {
			v.add(field, "%q is no name of a queue: 1 to %d of a-z 0-9 with single _ or - between them are", name, maxQueueName)
		}
		if n < -1 || n == 0 || n > maxConcurrency {
			v.add(field, "%d jobs at once of the queue %q: 1 to %d may run, and none with -1", n, name, maxConcurrency)
		}
	}
}

var queueName = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)

const (
	defaultQueue    = "default"
	defaultAttempts = 3
	defaultPriority = 2
	jobTimeout      = time.Minute

	// defaultConcurrency is enough for jobs that wait for others, such as a mail server, most of their time.
	defaultConcurrency = 50
	maxConcurrency     = 10_000

	// maxAttempts is a fortnight of the longest wait between two, about.
	maxAttempts  = 1000
	maxQueueName = 64
	maxUniqueKey = 200
	// A job's type is an event's type of two characters or more.
	minJobType = 2
)

// JobOption says how jobs are run. Given to [Handle] and [OnDurable] it is the default of all jobs of the type, given
// to [Server.Submit] and [Server.Every] it is for one.
type JobOption func(*NewJob) error

// RunAfter has a job wait before its first attempt.
func RunAfter(d time.Duration) JobOption {
	return func(j *NewJob) error {
		if d < 0 {
			return refuse(CodeBadRequest, "a job cannot run before it is submitted")
		}
		j.RunAt = time.Now().Add(d)
		return nil
	}
}

// RunAt has a job wait for a time.
func RunAt(t time.Time) JobOption {
	return func(j *NewJob) error {
		j.RunAt = t
		return nil
	}
}

// MaxAttempts is how often a job is tried before it is dead; without it that is three times. The waits between are
// 1 s, 2 s, 4 s and so on up to 10 minutes, each a little different.
func MaxAttempts(n int) JobOption {
	return func(j *NewJob) error {
		j.Attempts = n
		return within("the attempts", n, 1, maxAttempts)
	}
}

// JobTimeout is when the context of an attempt ends; without it that is after a minute.
func JobTimeout(d time.Duration) JobOption {
	return func(j *NewJob) error {
		if d <= 0 {
			return refuse(CodeBadRequest, "a job's timeout must be positive")
		}
		j.Timeout = d
		return nil
	}
}

// OnQueue has a job wait in a queue of [JobsConfig], which has room of its own; without it that is the default one.
func OnQueue(name string) JobOption {
	return func(j *NewJob) error {
		j.Queue = name
		return nil
	}
}

// Priority is 1 to 4: of the jobs that wait in a queue those with the lowest number go first. Without it, it is 2.
func Priority(n int) JobOption {
	return func(j *NewJob) error {
		j.Priority = n
		return within("the priority", n, 1, 4)
	}
}

// UniqueKey has there be one job of the type with this key at most that waits, runs, or waits for its next attempt.
// Another that is submitted meanwhile is that one.
func UniqueKey(key string) JobOption {
	return func(j *NewJob) error {
		j.UniqueKey = key
		return within("the length of a unique key", len(key), 1, maxUniqueKey)
	}
}

func within(what string, n, least, most int) error {
	if n < least || n > most {
		return refuse(CodeBadRequest, "%s must be %d to %d, not %d", what, least, most, n)
	}
	return nil
}

// RetryAfterError has a job that failed be tried again after a time of the handler's own choice.
type RetryAfterError struct {
	After time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string { return e.Err.Error() }
func (e *RetryAfterError) Unwrap() error { return e.Err }

// RetryAfter is what a handler returns to be called again after d, if there are attempts left.
func RetryAfter(d time.Duration, err error) error {
	return &RetryAfterError{max(d, 0), cmp.Or(err, errors.New("to be tried again"))}
}

// GiveUpError has a job that failed be dead at once.
type GiveUpError struct{ Err error }

func (e *GiveUpError) Error() string { return e.Err.Error() }
func (e *GiveUpError) Unwrap() error { return e.Err }

// GiveUp is what a handler returns where trying again will not help: the job is dead, whatever attempts are left.
func GiveUp(err error) error { return &GiveUpError{cmp.Or(err, errors.New("given up"))} }

// work is what a server runs in the background.
type work struct {
	// Complete when Run begins, and read without a lock from then on.
	handlers  map[string]jobHandler // by type
	durable   []DurableHandler
	schedules []Schedule

	// Owned by Run.
	stop context.CancelFunc // ends the work of the store; nil: there is none
	done chan struct{}      // closed when it has ended
}

type jobHandler struct {
	defaults NewJob
	run      func(ctx context.Context, payload []byte) error
}

// Handle has jobs of a type run by handler, which gets their payload decoded: on any of the nodes that share a store
// and handle the type, one node at a time, and again after an error, a panic or the node's death. So a handler may be
// called twice for one job. Its context ends with the job's timeout, when the job is cancelled, and with the drain time
// of the server.
//
// Types are called before [Server.Run]: 2 to 100 characters, dot-separated segments of "a-z 0-9 _ -".
func Handle[T any](srv *Server, jobType string, handler func(ctx context.Context, payload T) error, opts ...JobOption) error {
	return srv.handle(jobType, func(ctx context.Context, raw []byte) error {
		var payload T
		if err := json.Unmarshal(raw, &payload); err != nil {
			return GiveUp(fmt.Errorf("decode the payload of %s: %w", jobType, err))
		}
		return handler(ctx, payload)
	}, opts)
}

// OnDurable calls handler for every event of a type or a pattern, as [Server.Subscribe] does, and as a job of the name:
// it is submitted together with the event, whichever node publishes, and retried until the handler has succeeded.
// Names are of the same kind as the types of jobs and share their space.
func OnDurable(srv *Server, typeOrPattern, name string, handler Handler, opts ...JobOption) error {
	if strings.Contains(typeOrPattern, "*") {
		if _, err := pattern.Parse(typeOrPattern); err != nil {
			return &Error{Code: CodeBadRequest, Message: "subscribe", Err: err}
		}
	} else if err := checkEventType(typeOrPattern); err != nil {
		return err
	}
	err := srv.handle(name, func(ctx context.Context, raw []byte) error {
		e, err := eventOfJob(raw)
		if err != nil {
			return GiveUp(err)
		}
		return handler(ctx, e)
	}, opts)
	if err == nil {
		srv.work.durable = append(srv.work.durable, DurableHandler{typeOrPattern, srv.work.handlers[name].defaults})
	}
	return err
}

// eventOfJob is the event that the payload of a durable handler's job is.
func eventOfJob(raw []byte) (Event, error) {
	var e struct {
		Event
		Payload json.RawMessage `json:"payload"`
	}
	err := json.Unmarshal(raw, &e)
	e.Event.Payload = e.Payload
	return e.Event, err
}

func (s *Server) handle(jobType string, run func(context.Context, []byte) error, opts []JobOption) error {
	if err := s.checkPlanning(); err != nil {
		return err
	}
	j, err := s.newJob(jobType, opts)
	if err != nil {
		return err
	}
	if _, known := s.work.handlers[jobType]; known {
		return refuse(CodeConflict, "jobs of the type %q have a handler already", jobType)
	}
	if !j.RunAt.IsZero() || j.UniqueKey != "" {
		return refuse(CodeBadRequest, "a time and a unique key are of one job, not of a type")
	}
	s.work.handlers[jobType] = jobHandler{j, run}
	for _, outcome := range []string{outcomeCompleted, outcomeFailed} { // a rate needs the zero before the first
		s.metrics.jobs.WithLabelValues(jobType, outcome)
	}
	return nil
}

// checkPlanning refuses what is to be said before the server runs, and what needs a store where there is none.
func (s *Server) checkPlanning() error {
	if s.config.Store == nil {
		return errNoStore()
	}
	if s.state.Load() != phaseNew {
		return refuse(CodeConflict, "what a server does in the background is said before it runs")
	}
	return nil
}

// Submit has a job done in the background, by the handler of its type on any node, and returns when it is kept. The
// payload is anything that encodes as JSON. Before the server runs Submit waits for that.
func (s *Server) Submit(ctx context.Context, jobType string, payload any, opts ...JobOption) (Job, error) {
	if s.config.Store == nil {
		return Job{}, errNoStore()
	}
	j, err := s.newJob(jobType, opts)
	if err != nil {
		return Job{}, err
	}
	if j.Payload, err = encodeData(payload, s.config.Limits.MaxPayloadSize); err != nil {
		return Job{}, err
	}
	if err := s.checkOpen(); err != nil {
		return Job{}, err
	}
	return s.config.Store.SubmitJob(ctx, j)
}

// newJob is a checked job without a payload.
func (s *Server) newJob(jobType string, opts []JobOption) (NewJob, error) {
	defaults := defaultJob(jobType)
	if h, ok := s.work.handlers[jobType]; ok {
		defaults = h.defaults
	}
	j, err := defaults.with(opts)
	if err != nil {
		return NewJob{}, err
	}
	return j, s.checkQueue(j.Queue)
}

func defaultJob(jobType string) NewJob {
	return NewJob{Type: jobType, Queue: defaultQueue, Priority: defaultPriority, Attempts: defaultAttempts, Timeout: jobTimeout}
}

// with is the job with options, checked.
func (j NewJob) with(opts []JobOption) (NewJob, error) {
	if err := checkEventType(j.Type); err != nil || len(j.Type) < minJobType {
		return NewJob{}, refuse(CodeBadRequest, "%q is no job type: 2 to %d characters, dot-separated segments of a-z 0-9 _ -, are", j.Type, maxEventType)
	}
	for _, o := range opts {
		if err := o(&j); err != nil {
			return NewJob{}, err
		}
	}
	return j, nil
}

// PrepareJob is the job that [Server.Submit] would keep, for those who keep jobs elsewhere. Options that were given to
// the type's handler do not count, and whether there is such a queue is not known.
func PrepareJob(jobType string, payload any, opts ...JobOption) (NewJob, error) {
	j, err := defaultJob(jobType).with(opts)
	if err != nil {
		return NewJob{}, err
	}
	j.Payload, err = encodeData(payload, defaultPayloadSize)
	return j, err
}

func (s *Server) checkQueue(name string) error {
	if _, ok := s.config.Jobs.Queues[name]; !ok {
		return refuse(CodeBadRequest, "there is no queue %q: Config.Jobs.Queues names those that there are", name)
	}
	return nil
}

// Every submits a job at the times of a cron expression: "0 3 * * *" is every night at three, in UTC unless it begins
// with such as "CRON_TZ=Europe/Berlin". The name tells the schedule from others; of all nodes that have it one submits.
// A time at which no node was up is made up for once. It is called before [Server.Run].
func (s *Server) Every(name, cronExpression, jobType string, payload any, opts ...JobOption) error {
	if err := s.checkPlanning(); err != nil {
		return err
	}
	if err := checkEventType(name); err != nil {
		return refuse(CodeBadRequest, "%q is no name of a schedule: dot-separated segments of a-z 0-9 _ - are", name)
	}
	if slices.ContainsFunc(s.work.schedules, func(other Schedule) bool { return other.Name == name }) {
		return refuse(CodeConflict, "there is a schedule %q already", name)
	}
	times, err := cron.ParseStandard(inUTC(cronExpression))
	if err != nil {
		return &Error{Code: CodeBadRequest, Message: fmt.Sprintf("%q is no cron expression", cronExpression), Err: err}
	}
	j, err := s.newJob(jobType, opts)
	if err != nil {
		return err
	}
	if !j.RunAt.IsZero() {
		return refuse(CodeBadRequest, "a schedule has its own times")
	}
	if j.Payload, err = encodeData(payload, s.config.Limits.MaxPayloadSize); err != nil {
		return err
	}
	s.work.schedules = append(s.work.schedules, Schedule{Name: name, Cron: cronExpression, Next: times.Next, Job: j})
	return nil
}

// inUTC has an expression that names no zone be of UTC, and not of wherever the node stands.
func inUTC(expression string) string {
	if strings.HasPrefix(expression, "CRON_TZ=") || strings.HasPrefix(expression, "TZ=") {
		return expression
	}
	return "CRON_TZ=UTC " + expression
}

// CancelJob has a job never run again: one that waits is dead, and the context of one that runs ends. One that has
// ended stays as it is.
func (s *Server) CancelJob(ctx context.Context, id int64) (Job, error) {
	if s.config.Store == nil {
		return Job{}, errNoStore()
	}
	return s.config.Store.CancelJob(ctx, id)
}

// PauseQueue has no node begin a job of a queue, until [Server.ResumeQueue]. The queue for jobs that name none is
// called "default".
func (s *Server) PauseQueue(ctx context.Context, name string) error {
	if err := s.checkQueueCall(name); err != nil {
		return err
	}
	return s.config.Store.PauseQueue(ctx, name)
}

// ResumeQueue ends the pause of a queue.
func (s *Server) ResumeQueue(ctx context.Context, name string) error {
	if err := s.checkQueueCall(name); err != nil {
		return err
	}
	return s.config.Store.ResumeQueue(ctx, name)
}

func (s *Server) checkQueueCall(name string) error {
	if s.config.Store == nil {
		return errNoStore()
	}
	return s.checkQueue(name)
}

// jobPlan is what the server runs.
func (s *Server) jobPlan() JobPlan {
	p := JobPlan{
		Timeouts: map[string]time.Duration{}, Queues: maps.Clone(s.config.Jobs.Queues), Durable: s.work.durable,
		Schedules: s.work.schedules, Grace: s.config.DrainTimeout,
	}
	for t, h := range s.work.handlers {
		p.Timeouts[t] = h.defaults.Timeout
	}
	maps.DeleteFunc(p.Queues, func(_ string, n int) bool { return n < 0 })
	return p
}
