package herald

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/herald-events/herald/internal/pattern"
)

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
	run      func(context.Context, Job) error
}

// Handle has jobs of a type run by handler, which gets their payload decoded: on any of the nodes that share a store
// and handle the type, one node at a time, and again after an error, a panic or the node's death. So a handler may be
// called twice for one job. Its context ends with the job's timeout, when the job is cancelled, and with the drain time
// of the server.
//
// Types are called before [Server.Run]: 2 to 100 characters, dot-separated segments of "a-z 0-9 _ -".
func Handle[T any](srv *Server, jobType string, handler func(ctx context.Context, payload T) error, opts ...JobOption) error {
	return srv.handle(jobType, func(ctx context.Context, j Job) error {
		var payload T
		if err := json.Unmarshal(j.Payload, &payload); err != nil {
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
	err := srv.handle(name, func(ctx context.Context, j Job) error {
		e, err := eventOfJob(j.Payload)
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

func (s *Server) handle(jobType string, run func(context.Context, Job) error, opts []JobOption) error {
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
		return refuse(CodeConflict, "handlers of jobs and schedules are registered before Run is called")
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
	if times.Next(s.config.clock.Now()).IsZero() { // which a cron expression says of such as the 30th of February
		return refuse(CodeBadRequest, "%q is a time that never comes", cronExpression)
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
