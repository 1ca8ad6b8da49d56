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
	// After is the offset behind which it wants them, or [Now].
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
	last    uint64 // the post of its last event, which it gets once
	waiting []line // events, for the queue's flush
}

// events are the domain events as one loop sees them.
type events struct {
	listeners listeners // who has everything before the next one
	followers map[*Subscriber]*follower
	newest    string // the id of the last one
	offset    uint64 // of it, in their history
}

func newEvents() events {
	return events{listeners: newListeners(), followers: map[*Subscriber]*follower{}}
}

// Listen replaces which domain events the connection gets; those that it is to get from the history come from
// source. It returns the id of the newest event that came before, which may be empty.
func (sub *Subscriber) Listen(to []Listening, source Source) (newest string) {
	es := &sub.shard.events
	to = sub.from(to)
	sub.stopListening()
	switch {
	case sub.listener != nil:
		sub.listener.to = to
	case len(to) > 0:
		sub.listener = &listener{to: to}
	}
	from, until := es.offset, es.offset
	for _, l := range to {
		from, until = min(from, l.After), max(until, l.After)
	}
	if from < es.offset || until > es.offset {
		f := &follower{sub: sub, source: source, wants: sub.wantsEvent, after: from, least: until + 1}
		es.followers[sub] = f
		f.pull()
	} else {
		sub.listen()
	}
	return es.newest
}

// from says for each where it begins: what is wanted already goes on where the connection is.
func (sub *Subscriber) from(to []Listening) []Listening {
	es := &sub.shard.events
	now := es.offset
	if f := es.followers[sub]; f != nil {
		now = f.after
	}
	to = slices.Clone(to)
	for i := range to {
		if to[i].After != Now {
			continue
		}
		to[i].After = es.offset
		if sub.listener == nil {
			continue
		}
		if before := slices.IndexFunc(sub.listener.to, to[i].same); before >= 0 {
			to[i].After = max(now, sub.listener.to[before].After)
		}
	}
	return to
}

func (sub *Subscriber) listen() {
	if sub.listener == nil {
		return
	}
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
	s.followEvents(e.Offset)
	s.events.newest, s.events.offset = e.ID, max(s.events.offset, e.Offset)
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

// followEvents makes listeners of those followers who have everything before an offset.
func (s *shard) followEvents(offset uint64) {
	for sub, f := range s.events.followers {
		if f.meets(offset) {
			delete(s.events.followers, sub)
			sub.listen()
		}
	}
}

// resetEvents has everybody go on behind an offset.
func (s *shard) resetEvents(id string, offset uint64, gap *socket.Frame) {
	s.Flush()
	s.events.newest, s.events.offset = id, offset
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
			sub.listener.to[i].After = offset
		}
		if gap != nil {
			sub.Conn.SendFrame(gap)
		}
	}
}
