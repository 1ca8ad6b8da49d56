package herald

import (
	"cmp"
	"errors"
	"maps"
	"regexp"
	"time"
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
	queues := map[string]int{defaultQueue: cmp.Or(c.Concurrency, defaultConcurrency), webhookQueue: deliveriesOfNode}
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
		if err := checkShortText(key, maxUniqueKey); err != nil {
			return refuse(CodeBadRequest, "a unique key %v", err)
		}
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

// SnoozeError has a job run again after a time, as if it had not run at all.
type SnoozeError struct {
	After time.Duration
	Err   error
}

func (e *SnoozeError) Error() string { return e.Err.Error() }
func (e *SnoozeError) Unwrap() error { return e.Err }

// Snooze is what a handler returns that has found that it is too early: it is called again after d, and this call is no
// attempt.
func Snooze(d time.Duration, why error) error {
	return &SnoozeError{max(d, 0), cmp.Or(why, errors.New("too early"))}
}

// GiveUpError has a job that failed be dead at once.
type GiveUpError struct{ Err error }

func (e *GiveUpError) Error() string { return e.Err.Error() }
func (e *GiveUpError) Unwrap() error { return e.Err }

// GiveUp is what a handler returns where trying again will not help: the job is dead, whatever attempts are left.
func GiveUp(err error) error { return &GiveUpError{cmp.Or(err, errors.New("given up"))} }
