package hub

import (
	"slices"

	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/socket"
)

// Listening is what a connection wants to know of the domain events.
type Listening struct {
	Pattern pattern.Pattern
	// Owner is the user whose events alone are wanted; empty: everybody's.
	Owner string
	// After is the offset behind which it wants them, or [Now]. What it wants already begins where it began.
	After uint64
}

// Now is an offset that says: what comes from now on, or as before for what the connection wants already.
const Now = ^uint64(0)

func (l Listening) same(other Listening) bool {
	return l.Owner == other.Owner && l.Pattern.String() == other.Pattern.String()
}

func (l Listening) wants(e *Event) bool {
	return l.Pattern.Match(e.Type) && (l.Owner == "" || slices.Contains(e.Owners, l.Owner))
}

// listener is a subscriber's part in the domain events.
type listener struct {
	to      []Listening
	heard   []heard // what it has of what it is fed; nil unless it follows
	last    uint64  // the post of its last event, which it gets once
	waiting []line  // events, for the queue's flush
}

// heard is what a connection has: what it listened to, up to an offset.
type heard struct {
	Listening
	until uint64
}

// maxHeard bounds what is known of that. Of more the connection may get an event again.
const maxHeard = 200

// events are the domain events as one loop sees them.
type events struct {
	listeners listeners // who has everything before the next one
	followers map[*Subscriber]*follower
	newest    string // the id of the last one
	at        Place  // of it, in their history; zero: none is kept
}

func newEvents() events {
	return events{listeners: newListeners(), followers: map[*Subscriber]*follower{}}
}

// Listen replaces which domain events the connection gets; those that it is to get from the history come from
// source, but for those that it has. The offsets are those of the life in which the loop is: see [Subscriber.InLife]. It returns the id of the newest event that came before, which may be empty.
func (sub *Subscriber) Listen(to []Listening, source Source) (newest string) {
	es := &sub.shard.events
	to, heard, from := sub.goOn(to)
	until := max(es.at.Offset, sub.fedUpTo())
	sub.stopListening()
	switch {
	case sub.listener != nil:
		sub.listener.to = to
	case len(to) > 0:
		sub.listener = &listener{to: to}
	}
	for _, l := range to {
		until = max(until, l.After)
	}
	if from < es.at.Offset || until > es.at.Offset {
		f := &follower{sub: sub, source: source, wants: sub.wantsEvent, at: Place{es.at.Life, from}, least: until + 1}
		sub.listener.heard = heard
		es.followers[sub] = f
		f.pull()
	} else {
		sub.listen()
	}
	return es.newest
}

// InLife tells whether a life of the domain events' history is the one in which the connection's loop is.
func (sub *Subscriber) InLife(l *Life) bool { return sub.shard.events.at.Life == l }

// Behind tells up to which place the connection has the domain events, where it is fed from the history and is
// not where the loop is. It may be ahead of it too.
func (sub *Subscriber) Behind() (at Place, ok bool) {
	es := &sub.shard.events
	at = Place{es.at.Life, sub.fedUpTo()}
	return at, at != es.at
}

// fedUpTo is the offset up to which the connection has the domain events.
func (sub *Subscriber) fedUpTo() uint64 {
	if f := sub.shard.events.followers[sub]; f != nil {
		return f.at.Offset
	}
	return sub.shard.events.at.Offset
}

// goOn says for each where it begins, what the connection has of all that, and from where on it is to be fed: what
// it listens to already goes on where it is.
func (sub *Subscriber) goOn(to []Listening) (begins []Listening, has []heard, from uint64) {
	now, at := sub.shard.events.at.Offset, sub.fedUpTo()
	has = sub.has(at)
	begins, from = slices.Clone(to), now
	for i := range begins {
		l := &begins[i]
		switch before := sub.before(*l); {
		case l.After != Now: // it is asked for again
			has = slices.DeleteFunc(has, func(h heard) bool { return h.same(*l) })
			from = min(from, l.After)
		case before != nil:
			l.After = before.After
			from = min(from, max(at, l.After))
		default:
			l.After = now
		}
	}
	return begins, has, from
}

// before is the same listening as it is in force; nil: it is not.
func (sub *Subscriber) before(l Listening) *Listening {
	if sub.listener == nil {
		return nil
	}
	i := slices.IndexFunc(sub.listener.to, l.same)
	if i < 0 {
		return nil
	}
	return &sub.listener.to[i]
}

// has is what the connection has, which is fed up to an offset.
func (sub *Subscriber) has(at uint64) []heard {
	if sub.listener == nil {
		return nil
	}
	has := slices.Clone(sub.listener.heard)
	for _, l := range sub.listener.to {
		has = append(has, heard{l, at})
	}
	return has[max(0, len(has)-maxHeard):]
}

func (sub *Subscriber) listen() {
	if sub.listener == nil {
		return
	}
	sub.listener.heard = nil
	for _, l := range sub.listener.to {
		sub.shard.events.listeners.add(l, sub)
	}
}

// stopListening takes the connection out of the index; what it wants stays known.
func (sub *Subscriber) stopListening() {
	if sub.listener == nil {
		return
	}
	es := &sub.shard.events
	if f := es.followers[sub]; f != nil {
		f.end()
		delete(es.followers, sub)
		return
	}
	for _, l := range sub.listener.to {
		es.listeners.remove(l, sub)
	}
}

// wantsEvent is the event as the connection gets it from the history; nil: it does not.
func (sub *Subscriber) wantsEvent(k Kept) *socket.Frame {
	for _, h := range sub.listener.heard {
		if k.Offset > h.After && k.Offset <= h.until && h.wants(k.Event) {
			return nil
		}
	}
	for _, l := range sub.listener.to {
		if k.Offset > l.After && l.wants(k.Event) {
			var reached [2]int
			reached[kind(sub.Conn.Dialect())]++
			k.Event.count(reached)
			return k.Event.frame(sub)
		}
	}
	return nil
}

func (e *Event) frame(sub *Subscriber) *socket.Frame {
	if sub.seesIdentity {
		return e.Full
	}
	return e.Plain
}

func (e *Event) count(reached [2]int) {
	if e.Delivered != nil {
		e.Delivered.WebSocket.Add(int64(reached[0]))
		e.Delivered.SSE.Add(int64(reached[1]))
	}
}

// publish leaves an event for Flush, once for everyone who listens.
func (s *shard) publish(e Event) {
	s.followEvents(e.At)
	s.events.newest = e.ID
	if e.At.Offset > 0 {
		s.events.at = e.At
	}
	s.posts++
	var reached [2]int
	s.events.listeners.each(e, s.posts, func(sub *Subscriber) {
		if sub.Conn.Closed() {
			return
		}
		s.queue.event(sub, line{post: s.posts, frame: e.frame(sub)})
		reached[kind(sub.Conn.Dialect())]++
	})
	e.count(reached)
}

// followEvents makes listeners of those followers who have everything before a place.
func (s *shard) followEvents(at Place) {
	for sub, f := range s.events.followers {
		if f.meets(at) {
			delete(s.events.followers, sub)
			sub.listen()
		}
	}
}

// resetEvents has everybody go on behind a place in a new life.
func (s *shard) resetEvents(id string, to Place, gap *socket.Frame) {
	s.Flush()
	s.events.newest, s.events.at = id, to
	for sub, f := range s.events.followers {
		f.end()
		delete(s.events.followers, sub)
		sub.listen()
	}
	for _, sub := range s.connections {
		if sub.listener == nil || len(sub.listener.to) == 0 {
			continue
		}
		for i := range sub.listener.to {
			sub.listener.to[i].After = to.Offset
		}
		if gap != nil {
			sub.Conn.SendFrame(gap)
		}
	}
}
