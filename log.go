package herald

import (
	"sync"
	"time"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/history"
	"github.com/herald-events/herald/internal/hub"
)

const (
	// A node has so much of a stream's history at hand; the rest is read from the broker when it is wanted.
	logEntries = 1000
	logBytes   = 1 << 20
	// pageEntries is how many are read from the broker at once; of large ones it gives fewer.
	pageEntries = 250
	// replayBytes is how much of a history goes into one write.
	replayBytes = 64 << 10
)

// outlet is where a log's entries come out: a channel, or the domain events.
type outlet interface {
	// decode makes of an entry what connections get.
	decode(epoch string, e Entry) hub.Kept
	// deliver posts entries to the loops; those that are not kept have no life.
	deliver(room hub.Room, life *hub.Life, entries []hub.Kept)
	// begin begins the life of a history, and tells the loops where it stands before anything is delivered.
	begin(at Position) hub.Place
	// reset begins another, and tells the loops that the history goes on in it behind a position, with a gap before.
	reset(to Position) hub.Place
	// gap tells one connection so.
	gap(to Position) *hub.Gap
}

// log is what a node has of one stream's history, the newest of it: it sees whether what is delivered follows
// what was, and feeds those who follow.
type log struct {
	// Immutable after it is handed out.
	out   outlet
	keep  Retention
	clock clock.Clock
	fetch func() // reads what the fetches want, beside; must not wait
	tidy  func() // lets go of the page once nobody wants it, beside; must not wait

	// mu guards the fields below. It is held from an entry's appending to its post, so that both have one order.
	// The hub's lock is taken under it. Loops take it: nobody waits while he holds it.
	mu       sync.Mutex
	life     *hub.Life // of which everything below is
	ring     *history.Ring[hub.Kept]
	ids      map[string]uint64 // of the domain events in the ring: their offsets
	page     page
	fetches  []fetch
	fetching bool
}

func newLog(out outlet, keep Retention, at Position, c clock.Clock) *log {
	bounds := history.Bounds{Count: min(keep.Count, logEntries), Age: keep.Age, Bytes: logBytes}
	l := &log{
		out:   out,
		keep:  keep,
		clock: c,
		life:  out.begin(at).Life,
		ring:  history.NewRing[hub.Kept](bounds, at.Offset),
		ids:   map[string]uint64{},
	}
	l.ring.WhenDropped(l.forget)
	return l
}

// forget is told what the ring lets go of; l.mu is held.
func (l *log) forget(item history.Item[hub.Kept]) {
	if e := item.Value.Event; e != nil && l.ids[e.ID] == item.Offset { // else the id has come again since
		delete(l.ids, e.ID)
	}
}

// position is where the log stands.
func (l *log) position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Position{l.life.Epoch, l.ring.Newest()}
}

// place is where the log stands, for who follows from there.
func (l *log) place() hub.Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return hub.Place{Life: l.life, Offset: l.ring.Newest()}
}

// oldest is the position before the oldest that is at hand.
func (l *log) oldest() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.oldestLocked()
}

func (l *log) oldestLocked() Position { return Position{l.life.Epoch, l.ring.Oldest() - 1} }

// locate finds a domain event by its id, if it is at hand.
func (l *log) locate(id string) (Position, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	offset, found := l.ids[id]
	return Position{l.life.Epoch, offset}, found
}

// append takes entries that follow what the log has, and delivers them. It reports false where they do not
// follow; then what is missing is to be read.
func (l *log) append(room hub.Room, epoch string, entries []Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != l.life.Epoch {
		room.Release()
		return false
	}
	entries = behind(entries, l.ring.Newest())
	if len(entries) > 0 && entries[0].Offset != l.ring.Newest()+1 {
		room.Release()
		return false
	}
	l.deliverLocked(room, entries)
	return true
}

// behind are the entries that follow an offset.
func behind(entries []Entry, offset uint64) []Entry {
	for len(entries) > 0 && entries[0].Offset <= offset {
		entries = entries[1:]
	}
	return entries
}

// deliverLocked appends and posts; l.mu must be held.
func (l *log) deliverLocked(room hub.Room, entries []Entry) {
	if len(entries) == 0 {
		room.Release()
		return
	}
	kept := make([]hub.Kept, len(entries))
	for i, e := range entries {
		kept[i] = l.out.decode(l.life.Epoch, e)
		if event := kept[i].Event; event != nil {
			l.ids[event.ID] = e.Offset
		}
		l.ring.Append(e.At, len(e.Body)+frameOverhead, kept[i])
	}
	l.out.deliver(room, l.life, kept)
}

// known is where a log stood when something was asked, and when its newest entry was published; zero: it has none.
type known struct {
	Position
	at time.Time
}

// known is where the log stands.
func (l *log) known() known {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := known{Position: Position{l.life.Epoch, l.ring.Newest()}}
	for item := range l.ring.Backward() {
		k.at = item.At
		break
	}
	return k
}

// missed is the part of the stream that follows, with the newest entry that is known: by it one sees whether
// the stream is still the same.
func (k known) missed() Range {
	r := Range{After: k.Offset, Limit: pageEntries}
	if !k.at.IsZero() {
		r.After--
	}
	return r
}

// isOther tells that a page is of a stream that has lost what is known, and perhaps has others in its place.
func (p Page) isOther(k known) bool {
	if p.Newest.Offset < k.Offset {
		return true
	}
	return !k.at.IsZero() && len(p.Entries) > 0 && p.Entries[0].Offset == k.Offset && !p.Entries[0].At.Equal(k.at)
}

// catchUp takes a page that was read behind what the log had when it was asked for, and delivers what is new in
// it. What cannot be filled is told as a gap. It reports whether the log has then reached where the stream stood.
func (l *log) catchUp(room hub.Room, p Page, asked known) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.Newest.Epoch != l.life.Epoch: // another stream: what was between is lost, and nothing of this one
		l.resetLocked(Position{p.Newest.Epoch, p.Oldest - 1})
	case p.isOther(asked): // its newest were lost, as in a failover
		l.resetLocked(p.Newest)
	case p.Oldest > l.ring.Newest()+1:
		l.resetLocked(Position{l.life.Epoch, p.Oldest - 1})
	}
	entries := behind(p.Entries, l.ring.Newest())
	if len(entries) > 0 && entries[0].Offset != l.ring.Newest()+1 { // it was read behind a place in the former life
		room.Release()
		return false
	}
	l.deliverLocked(room, entries)
	return l.ring.Newest() >= p.Newest.Offset
}

// resetLocked goes on elsewhere, in another life; l.mu must be held. The loops are told before those who asked
// for something of the former one.
func (l *log) resetLocked(to Position) {
	l.life = l.out.reset(to).Life
	l.ring.Reset(to.Offset)
	l.page.ring = nil
	l.overLocked()
}
