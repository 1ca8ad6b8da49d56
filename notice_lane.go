package herald

import (
	"context"
	"sync"
	"time"
)

// noticeLane publishes notices one after the other. Those that others are to publish first wait aside.
type noticeLane struct {
	server *Server       // immutable
	wake   chan struct{} // holds a token when there is something new

	mu    sync.Mutex // guards the fields below
	ready []waitingNotice
	later []waitingNotice // oldest first
	about map[string]int  // how many of those that wait for later are about a subject
	last  bool            // nothing is waited for any more
	full  bool            // that it is has been logged
}

// waitingNotice is a notice that is to be published.
type waitingNotice struct {
	subject string
	event   Event
	due     time.Time   // zero: at once
	unless  func() bool // tells when it is due whether it is to be dropped; may be nil
}

func newNoticeLane(s *Server) *noticeLane {
	return &noticeLane{server: s, wake: make(chan struct{}, 1), about: map[string]int{}}
}

// put does not wait: a notice for which there is no room is lost, counted and logged.
func (l *noticeLane) put(w waitingNotice) {
	if lost, log := l.add(w); lost {
		l.server.metrics.lostNotices.Inc()
		if log { // beside: this may be a loop
			go l.server.log.Error("notices are lost: they come faster than they are published", "waiting", maxNotices)
		}
		return
	}
	wakeUp(l.wake)
}

func (l *noticeLane) add(w waitingNotice) (lost, log bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.ready
	if !w.due.IsZero() {
		list = l.later
	}
	if len(list) >= maxNotices/noticeLanes {
		log = !l.full
		l.full = true
		return true, log
	}
	if !w.due.IsZero() {
		l.later = append(l.later, w)
		l.about[w.subject]++
		return false, false
	}
	if l.about[w.subject] > 0 {
		l.hurryLocked(w.subject)
	}
	l.ready = append(l.ready, w)
	return false, false
}

// hurryLocked makes those of a subject ready that wait for later: what is about it comes in its order. l.mu must be
// held.
func (l *noticeLane) hurryLocked(subject string) {
	later := l.later[:0:0]
	for _, w := range l.later {
		if w.subject == subject {
			l.ready = append(l.ready, w)
		} else {
			later = append(later, w)
		}
	}
	l.later = later
	delete(l.about, subject)
}

// finish has everything published now, and ends the lane.
func (l *noticeLane) finish() {
	l.mu.Lock()
	l.last = true
	l.mu.Unlock()
	wakeUp(l.wake)
}

// run publishes until ctx ends, or until nothing is left after finish.
func (l *noticeLane) run(ctx context.Context) {
	timer := l.server.config.clock.NewTimer()
	defer timer.Stop()
	for ctx.Err() == nil {
		w, found, due := l.next()
		switch {
		case found:
			l.publish(ctx, w)
			continue
		case due.IsZero() && l.isLast():
			return
		case !due.IsZero():
			timer.Set(due)
		}
		select {
		case <-l.wake:
		case <-timer.C():
		case <-ctx.Done():
		}
	}
}

// next takes the notice that is to be published now; where there is none it tells when one is due, if any waits.
func (l *noticeLane) next() (w waitingNotice, found bool, due time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.ready) > 0:
		l.ready, w = cutFirst(l.ready)
	case len(l.later) == 0:
		l.full = false
		return w, false, due
	case !l.last && l.later[0].due.After(l.server.config.clock.Now()):
		return w, false, l.later[0].due
	default:
		l.later, w = cutFirst(l.later)
		if l.about[w.subject]--; l.about[w.subject] == 0 {
			delete(l.about, w.subject)
		}
	}
	return w, true, due
}

func cutFirst(list []waitingNotice) (rest []waitingNotice, first waitingNotice) {
	first, list[0] = list[0], waitingNotice{}
	if len(list) == 1 {
		return list[:0], first
	}
	return list[1:], first
}

func (l *noticeLane) isLast() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last && len(l.ready)+len(l.later) == 0
}

func (l *noticeLane) publish(ctx context.Context, w waitingNotice) {
	if w.unless != nil && w.unless() {
		return
	}
	if err := l.server.notices.publish(ctx, w.event); err != nil {
		l.server.metrics.lostNotices.Inc()
		l.server.log.Error("a notice was refused", "type", w.event.Type, "about", w.subject, "err", err)
	}
}

// wakeUp leaves a token for somebody who looks at everything that there is to do.
func wakeUp(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
