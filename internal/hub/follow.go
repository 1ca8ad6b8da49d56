package hub

import (
	"github.com/herald-events/herald/internal/socket"
)

// Source is a history. Whoever follows it is fed from there as its socket drains, until it has what comes
// before the hub's next delivery. What the hub delivers must be in the source by then.
type Source interface {
	// After is what is at hand of what follows an offset.
	After(offset uint64) Replay
	// Fetch gets what is not, beside the loop. It calls done once, on any goroutine, with a replay that is
	// not away; or never, where the history has ended.
	Fetch(offset uint64, done func(Replay))
}

// Replay is a part of a history, about as much as goes into one write.
type Replay struct {
	Kept []Kept // none: nothing follows yet
	Away bool   // what follows is to be fetched
	Gap  *Gap   // what follows is lost; nil: it is not
}

// Kept is something in a history: a message, or an event.
type Kept struct {
	Offset uint64
	Frame  *socket.Frame
	Except string // the id of a connection that does not get it; may be empty
	Event  *Event // in place of the frame
}

// Gap is where a history goes on behind what is lost, and how its followers are told.
type Gap struct {
	Offset uint64
	Frame  *socket.Frame
}

// follower is a subscriber on its way to what is delivered now. It is owned by its loop.
type follower struct {
	sub    *Subscriber
	source Source
	wants  func(Kept) *socket.Frame // nil: it does not get it
	sent   func()                   // called when a part has been sent; may be nil

	after uint64 // the offset up to which it has everything
	least uint64 // the offset from which on it may be delivered to, 0: any
	busy  bool   // its socket has to drain, or a fetch is under way
	joins bool   // it is a member from the flush on
	turn  int    // counts what it has waited for: what comes after its end is not for it
}

// pull has the follower go on when its socket has drained.
func (f *follower) pull() {
	if !f.busy {
		f.whenDrained(func() { f.take(f.source.After(f.after)) })
	}
}

// whenDrained does something once nothing waits for the peer, of this follower or of another.
func (f *follower) whenDrained(do func()) {
	turn := f.wait()
	f.sub.Conn.WhenDrained(func() {
		switch {
		case !f.goesOn(turn):
		case f.sub.Conn.Busy(): // with what another has sent meanwhile
			f.whenDrained(do)
		default:
			do()
		}
	})
}

// wait marks that it waits for something, and returns by which it knows that again.
func (f *follower) wait() (turn int) {
	f.busy = true
	f.turn++
	return f.turn
}

// goesOn tells whether it still waits for what has come.
func (f *follower) goesOn(turn int) bool {
	if f.turn != turn || f.sub.Conn.Closed() {
		return false
	}
	f.busy = false
	return true
}

// move has it go on from another offset; what it waits for is forgotten.
func (f *follower) move(after uint64) {
	f.end()
	f.after = after
}

// end has it wait for nothing any more.
func (f *follower) end() {
	f.turn++
	f.busy = false
}

// take sends one part, and comes back for the next: others have their turn in between.
func (f *follower) take(r Replay) {
	switch {
	case r.Away:
		f.fetch()
	case r.Gap != nil:
		f.sub.Conn.SendFrame(r.Gap.Frame)
		f.after = r.Gap.Offset
		f.pull()
	case len(r.Kept) > 0:
		f.sub.Conn.Together(func() { f.send(r.Kept) })
		f.pull()
	}
}

func (f *follower) fetch() {
	turn := f.wait()
	loop := f.sub.Conn.Loop()
	f.source.Fetch(f.after, func(r Replay) {
		loop.Post(func() {
			if f.goesOn(turn) {
				f.whenDrained(func() { f.take(r) })
			}
		})
	})
}

func (f *follower) send(part []Kept) {
	c := f.sub.Conn
	var joined []byte
	n := uint64(0)
	for _, k := range part {
		if frame := f.wants(k); frame != nil {
			joined = append(joined, frame.Bytes(c.Dialect())...)
			n++
		}
	}
	c.Send(joined)
	f.sub.shard.hub.delivered[kind(c.Dialect())].Add(n)
	f.after = part[len(part)-1].Offset
	if f.sent != nil {
		f.sent()
	}
}

// meets tells whether it has everything before an offset and may be delivered to from there on. One that
// has not goes on.
func (f *follower) meets(offset uint64) bool {
	switch {
	case offset <= f.after:
		return false
	case offset == f.after+1 && offset >= f.least:
		f.end()
		return true
	}
	f.pull()
	return false
}
