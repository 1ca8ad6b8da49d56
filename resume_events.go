package herald

import (
	"context"

	"github.com/herald-events/herald/internal/hub"
)

// resumption is where somebody goes on among the domain events.
type resumption struct {
	recovered bool   // everything that he missed is there
	after     uint64 // the offset of the last that he has
	source    hub.Source
	oldest    string // where it is not: the position before the oldest that is
}

// resumeEvents finds where somebody goes on who names an event's id, or a position that he was given.
func (s *Server) resumeEvents(ctx context.Context, since string) (resumption, error) {
	_, l := s.streams.find(EventStream)
	if l == nil {
		return resumption{}, nil // nothing is kept
	}
	at, known, err := s.locateEvent(ctx, l, since)
	if err != nil {
		return resumption{}, err
	}
	found := resumption{recovered: true, after: at.Offset, source: l}
	standing := tooLate
	if known {
		standing = l.standing(at)
	}
	if standing == atHand {
		return found, nil
	}
	r, err := l.await(ctx, fetch{after: at.Offset, late: standing == tooLate})
	if r.Gap != nil {
		before := Position{l.position().Epoch, r.Gap.Offset}
		return resumption{source: l, oldest: eventPosition(before)}, err
	}
	return found, err
}

// await waits for what a fetch gets.
func (l *log) await(ctx context.Context, f fetch) (hub.Replay, error) {
	type answer struct {
		replay hub.Replay
		err    error
	}
	answered := make(chan answer, 1)
	f.done = func(r hub.Replay, err error) { answered <- answer{r, err} }
	l.want(f)
	select {
	case a := <-answered:
		return a.replay, a.err
	case <-ctx.Done():
		return hub.Replay{}, ctx.Err()
	}
}

// locateEvent finds the place of a position or an id.
func (s *Server) locateEvent(ctx context.Context, l *log, since string) (at Position, known bool, err error) {
	if at, ok := parseEventPosition(since); ok {
		return at, true, nil
	}
	if checkEventID(since) != nil {
		return Position{}, false, nil
	}
	if at, ok := l.locate(since); ok {
		return at, true, nil
	}
	return s.broker.Locate(ctx, s.config.EventHistory, since)
}

// locate finds an event by its id, if it is at hand.
func (l *log) locate(id string) (Position, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for item := range l.ring.Backward() {
		if item.Value.Event.ID == id {
			return Position{l.epoch, item.Offset}, true
		}
	}
	return Position{}, false
}

// eventSource is the history of the domain events; nil: there is none.
func (ss *streams) eventSource() hub.Source {
	if _, l := ss.find(EventStream); l != nil {
		return l
	}
	return nil
}
