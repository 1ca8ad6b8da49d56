package hub

import (
	"github.com/herald-events/herald/internal/socket"
)

// Life is one life of a history. Whenever a history goes on elsewhere, with a gap before, that is another life:
// an offset says nothing in any but its own.
type Life struct {
	Epoch  string // as clients are told it; the next life may have the same
	number uint64 // grows from life to life
}

// NewLife is a life of a history, later than all that there have been.
func (h *Hub) NewLife(epoch string) *Life { return &Life{epoch, h.lives.Add(1)} }

// Place is a place in a history; the zero value is in none.
type Place struct {
	Life   *Life
	Offset uint64
}

// Source is a history. Whoever follows it is fed from there as its socket drains, until it has what comes
// before the hub's next delivery. What the hub delivers must be in the source by then.
type Source interface {
	// After is what is at hand of what follows a place: nothing, where its life is over, for then a reset is on
	// its way to the loop.
	After(Place) Replay
	// Fetch gets what is not, beside the loop. It calls done once, on any goroutine, with a replay that is
	// not away; or never, where the place's life ends.
	Fetch(from Place, done func(Replay))
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

	at    Place  // up to which it has everything
	least uint64 // the offset from which on it may be delivered to, 0: any
	busy  bool   // its socket has to drain, or a fetch is under way
	joins bool   // it is a member from the flush on
	turn  int    // counts what it has waited for: what comes after its end is not for it
}

// pull has the follower go on when its socket has drained.
func (f *follower) pull() {
	if !f.busy {
		f.whenDrained(func() { f.take(f.source.After(f.at)) })
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

// move has it go on from another place; what it waits for is forgotten.
func (f *follower) move(to Place) {
	f.end()
	f.at = to
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
		f.at.Offset = r.Gap.Offset
		f.pull()
	case len(r.Kept) > 0:
		f.sub.Conn.Together(func() { f.send(r.Kept) })
		f.pull()
	}
}

func (f *follower) fetch() {
	turn := f.wait()
	loop := f.sub.Conn.Loop()
	f.source.Fetch(f.at, func(r Replay) {
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
	f.at.Offset = part[len(part)-1].Offset
	if f.sent != nil {
		f.sent()
	}
}

// meets tells whether it has everything before a place and may be delivered to from there on. One that
// has not goes on.
func (f *follower) meets(at Place) bool {
	switch {
	case at.Life != f.at.Life || at.Offset <= f.at.Offset:
		return false
	case at.Offset == f.at.Offset+1 && at.Offset >= f.least:
		f.end()
		return true
	}
	f.pull()
	return false
}
