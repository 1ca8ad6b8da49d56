package herald

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Durable implements StoreNode.
func (n storeNode) Durable() []DurableHandler { return n.work.durable }

// JobPlan implements JobNode.
func (n storeNode) JobPlan() JobPlan { return n.jobPlan() }

// RunJob implements JobNode.
func (n storeNode) RunJob(ctx context.Context, j Job) error {
	h, ok := n.work.handlers[j.Type]
	if !ok { // the store asks for those of the plan only
		return GiveUp(fmt.Errorf("no handler of the type %q", j.Type))
	}
	err := callHandler(ctx, h, j)
	if _, early := errors.AsType[*SnoozeError](err); early {
		return err
	}
	n.metrics.jobs.WithLabelValues(j.Type, outcomeOf(err)).Inc()
	if err != nil && j.Type != webhookJob && !errors.Is(context.Cause(ctx), context.Canceled) {
		what := "job failed, and is tried again"
		if _, gaveUp := errors.AsType[*GiveUpError](err); gaveUp || j.Attempts >= j.MaxAttempts {
			what = "job failed, and is dead"
		}
		n.log.Warn(what, "job", j.ID, "type", j.Type, "attempt", j.Attempts, "of", j.MaxAttempts, "err", err)
	}
	return err
}

// The outcomes of attempts, in metrics.
const (
	outcomeCompleted = "completed"
	outcomeFailed    = "failed"
)

func outcomeOf(err error) string {
	if err != nil {
		return outcomeFailed
	}
	return outcomeCompleted
}

// callHandler makes an error of a panic, with its stack.
func callHandler(ctx context.Context, h jobHandler, j Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
		}
	}()
	return h.run(ctx, j)
}

// startWork has the store run jobs until stopWork, at the latest until ctx ends.
func (s *Server) startWork(ctx context.Context, wg *sync.WaitGroup) {
	ctx, s.work.stop = context.WithCancel(ctx)
	s.work.done = make(chan struct{})
	wg.Go(func() {
		defer close(s.work.done)
		if err := s.config.Store.Work(ctx, storeNode{s}); err != nil && ctx.Err() == nil {
			s.log.Error("background jobs do not run", "err", err)
		}
	})
}

// stopWork has no job begin any more.
func (s *Server) stopWork() {
	if s.work.stop != nil {
		s.work.stop()
	}
}

// awaitWork waits for the jobs that run, but not past a time.
func (s *Server) awaitWork(leaveAt time.Time) {
	if s.work.stop != nil && !s.waitUntil(leaveAt, s.work.done) {
		s.log.Error("background jobs do not end", "within", s.config.DrainTimeout.String())
	}
}
