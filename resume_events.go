package herald

import (
	"context"

	"github.com/herald-events/herald/internal/hub"
)

// resumption is where somebody goes on among the domain events.
type resumption struct {
	recovered bool      // everything that he missed is there
	from      hub.Place // of the last that he has
	log       *log      // nil: nothing is kept
	oldest    string    // where it is not: the position before the oldest that is
}

// resumeEvents finds where somebody goes on who names an event's id, or a position that he was given.
func (s *Server) resumeEvents(ctx context.Context, since string) (resumption, error) {
	_, l := s.streams.find(EventStream)
	if l == nil {
		return resumption{}, nil
	}
	at, err := s.locateEvent(ctx, l, since)
	if err != nil {
		return resumption{}, err
	}
	standing, from := l.standing(at)
	found := resumption{recovered: true, from: from, log: l}
	if standing == atHand {
		return found, nil
	}
	v, err := l.await(ctx, fetch{after: from, late: standing == tooLate})
	if err != nil || v.whole {
		return found, err
	}
	return resumption{log: l, oldest: eventPosition(v.oldest)}, nil
}

// on is the resumption on a connection's loop, which it has been posted to: the history may have begun another
// life since.
func (r resumption) on(sub *hub.Subscriber) resumption {
	if r.recovered && !sub.InLife(r.from.Life) {
		return resumption{log: r.log, oldest: eventPosition(r.log.oldest())}
	}
	return r
}

// await waits for what is told to a fetch.
func (l *log) await(ctx context.Context, f fetch) (verdict, error) {
	type answer struct {
		verdict verdict
		err     error
	}
	answered := make(chan answer, 1)
	f.tell = func(v verdict, err error) { answered <- answer{v, err} }
	l.want(f)
	select {
	case a := <-answered:
		return a.verdict, a.err
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	}
}

// locateEvent finds the position of an id, or what a position says; the zero value: it is not known.
func (s *Server) locateEvent(ctx context.Context, l *log, since string) (Position, error) {
	if at, ok := parseEventPosition(since); ok {
		return at, nil
	}
	if checkEventID(since) != nil {
		return Position{}, nil
	}
	if at, ok := l.locate(since); ok {
		return at, nil
	}
	return s.streams.locate(ctx, since)
}

// eventSource is the history of the domain events; nil: there is none.
func (ss *streams) eventSource() hub.Source {
	if _, l := ss.find(EventStream); l != nil {
		return l
	}
	return nil
}
