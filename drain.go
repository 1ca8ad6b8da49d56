package herald

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/herald-events/herald/internal/hub"
)

// How the drain time is spent, in hundredths: connections are closed in the first part, may read
// their last bytes in the second, and what is left is for the last notices and for the goroutines to end.
const (
	drainClosing  = 75
	drainReading  = 90
	drainNotices  = 93
	drainHandlers = 95
)

// Clients are told to come back within this span after their close, each at another time.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 5 * time.Second
)

// drain closes every connection over the drain time, and lets jobs and the handlers of the bus finish.
func (s *Server) drain() {
	s.state.Store(phaseDraining)
	s.stopWork()
	start := s.config.clock.Now()
	part := func(hundredths time.Duration) time.Time {
		return start.Add(s.config.DrainTimeout * hundredths / 100)
	}
	s.log.Info("draining", "connections", s.doors.count(), "within", s.config.DrainTimeout.String())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = s.hub.Each(ctx, func(sub *hub.Subscriber) { // it ends with the loops, which are ours to end
		sub.Owner.(drainer).leaveAt(start.Add(rand.N(s.config.DrainTimeout*drainClosing/100 + 1)))
	})
	s.waitUntil(part(drainReading), s.loops.Empty())
	if s.notices != nil {
		s.waitUntil(part(drainNotices), s.notices.finish())
	}
	s.endHandlers(part(drainHandlers), part(100))
	s.awaitWork(part(100))
}

// endHandlers lets the bus's handlers finish, then cancels what is left of them. One that does not
// heed its context is left behind: the drain time is a promise to the operator.
func (s *Server) endHandlers(cancelAt, leaveAt time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	var err error // the bus's, once done is closed
	go func() {
		defer close(done)
		err = errors.Join(s.bus.Close(ctx), s.relay.Close(ctx))
	}()
	if s.waitUntil(cancelAt, done) {
		return
	}
	cancel()
	switch {
	case !s.waitUntil(leaveAt, done):
		s.log.Error("event handlers do not end", "within", s.config.DrainTimeout.String())
	case err != nil: // logged here: what is left behind has nothing to say after Run
		s.log.Warn("event handlers were cut off", "err", err)
	}
}

// waitUntil waits for done, but not past a time on the server's clock. It reports whether it is done.
func (s *Server) waitUntil(at time.Time, done <-chan struct{}) bool {
	timer := s.config.clock.NewTimer()
	defer timer.Stop()
	timer.Set(at)
	select {
	case <-done:
		return true
	case <-timer.C():
		return false
	}
}

// drainer is a connection that can be sent home at a time.
type drainer interface{ leaveAt(time.Time) }

func retryAfter() time.Duration {
	return minRetryAfter + rand.N(maxRetryAfter-minRetryAfter)
}
