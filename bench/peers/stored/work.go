package main

import (
	"context"
	"sync"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/bench/internal/chore"
	"github.com/herald-events/herald/sqlstore"
)

// jobType is of jobs that do nothing but note that they were run.
const jobType = "bench.nothing"

const (
	// standstill is how long no job may be done before those that are left are lost.
	standstill = 10 * time.Second
	// look is the time between two looks at what is done.
	look = time.Millisecond
)

// work measures the jobs of a server.
type work struct {
	srv   *herald.Server
	store *sqlstore.Store

	mu      sync.Mutex // guards the fields below
	runs    map[int]int
	waiting chan<- time.Time // is told when the next job begins; nil: nobody waits
}

// handle has jobs noted. It is called before the server runs.
func (w *work) handle() error {
	return herald.Handle(w.srv, jobType, func(_ context.Context, n int) error {
		w.note(n, time.Now())
		return nil
	})
}

func (w *work) note(n int, at time.Time) {
	w.mu.Lock()
	w.runs[n]++
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	if waiting != nil {
		waiting <- at // which has room for it
	}
}

// begin forgets all jobs.
func (w *work) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = map[int]int{}
}

// done is how many jobs were run, and how often one was run again.
func (w *work) done() (jobs, again int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, runs := range w.runs {
		again += runs - 1
	}
	return len(w.runs), again
}

func (w *work) submit(ctx context.Context, n int) error {
	_, err := w.srv.Submit(ctx, jobType, n)
	return err
}

// finish submits jobs, and ends when the store says that all of them are completed, or when no more are.
func (w *work) finish(ctx context.Context, plan chore.Plan) (chore.Result, error) {
	w.begin()
	before, err := w.completed(ctx)
	if err != nil {
		return chore.Result{}, err
	}
	r, err := plan.Run(ctx, w.submit)
	if err != nil {
		return r, err
	}
	// The store is asked when the handlers have ended, and not before: to count its jobs is work too.
	err = await(ctx, r.Calls, func() (int, error) {
		jobs, _ := w.done()
		return jobs, nil
	})
	if err != nil {
		return r, err
	}
	completed := 0
	err = await(ctx, r.Calls, func() (int, error) {
		n, err := w.completed(ctx)
		completed = n - before
		return completed, err
	})
	r.Ended = time.Now()
	_, r.Twice = w.done()
	r.Lost = r.Calls - completed
	return r, err
}

func (w *work) completed(ctx context.Context) (int, error) {
	stats, err := w.store.JobStats(ctx)
	return int(stats[herald.JobCompleted]), err
}

// await waits until so many are done, or until no more are.
func await(ctx context.Context, all int, done func() (int, error)) error {
	for last, since := -1, time.Now(); ; {
		n, err := done()
		if err != nil || n >= all {
			return err
		}
		if n > last {
			last, since = n, time.Now()
		} else if time.Since(since) > standstill {
			return nil
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start submits one job after the other, and times each from just before the call to the handler's begin.
func (w *work) start(ctx context.Context, plan chore.Plan) (chore.Result, error) {
	w.begin()
	var r chore.Result
	ran, err := plan.Run(ctx, func(ctx context.Context, n int) error {
		began := make(chan time.Time, 1)
		w.mu.Lock()
		w.waiting = began
		w.mu.Unlock()
		submitted := time.Now()
		if err := w.submit(ctx, n); err != nil {
			return err
		}
		select {
		case at := <-began:
			r.Took.Add(at.Sub(submitted))
			return nil
		case <-time.After(standstill):
			r.Lost++
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	r.Calls, r.Begun, r.Ended = ran.Calls, ran.Begun, ran.Ended
	_, r.Twice = w.done()
	return r, err
}
