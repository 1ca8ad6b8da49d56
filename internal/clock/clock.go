// Package clock is the time that connections live by, so that a test can move it. Both clocks are
// safe for concurrent use.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and wakes whoever waits for it.
type Clock interface {
	Now() time.Time
	// NewTimer returns a stopped timer.
	NewTimer() Timer
}

// Timer sends once on C when the time that it was set to has come.
type Timer interface {
	C() <-chan time.Time
	// Set replaces what the timer waited for; a time that has passed fires at once.
	Set(at time.Time)
	Stop()
}

// System is the machine's clock.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) NewTimer() Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return systemTimer{t}
}

type systemTimer struct{ t *time.Timer }

func (s systemTimer) C() <-chan time.Time { return s.t.C }
func (s systemTimer) Set(at time.Time)    { s.t.Reset(time.Until(at)) }
func (s systemTimer) Stop()               { s.t.Stop() }

// Manual is a clock that stands still until a test moves it.
type Manual struct {
	mu     sync.Mutex // guards the fields below
	now    time.Time
	timers map[*manualTimer]struct{} // those that are set
}

// NewManual returns a clock that stands at now.
func NewManual(now time.Time) *Manual {
	return &Manual{now: now, timers: map[*manualTimer]struct{}{}}
}

// Now is where the clock stands.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// NewTimer returns a stopped timer of this clock.
func (m *Manual) NewTimer() Timer {
	return &manualTimer{clock: m, c: make(chan time.Time, 1)}
}

// Advance moves the clock on and fires what is due; it does not wait for whoever listens.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	for t := range m.timers {
		m.fireLocked(t)
	}
}

// fireLocked fires t if it is due; m.mu must be held.
func (m *Manual) fireLocked(t *manualTimer) {
	if t.at.After(m.now) {
		return
	}
	delete(m.timers, t)
	select {
	case t.c <- m.now:
	default: // the last one was not read yet
	}
}

type manualTimer struct {
	clock *Manual
	c     chan time.Time
	at    time.Time // guarded by clock.mu
}

func (t *manualTimer) C() <-chan time.Time { return t.c }

func (t *manualTimer) Set(at time.Time) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.at = at
	t.clock.timers[t] = struct{}{}
	t.clock.fireLocked(t)
}

func (t *manualTimer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
}
