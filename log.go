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
	// pageEntries is how much is read from the broker at once: a page of the largest messages still fits.
	pageEntries = 250
	// replayBytes is how much of a history goes into one write.
	replayBytes = 64 << 10
)

// outlet is where a log's entries come out: a channel, or the domain events.
type outlet interface {
	// decode makes of an entry what connections get.
	decode(epoch string, e Entry) hub.Kept
	// deliver posts entries to the loops.
	deliver(room hub.Room, entries []hub.Kept)
	// begin tells the loops where the history stands before anything is delivered.
	begin(at Position)
	// reset tells the loops that the history goes on behind a position, with a gap before.
	reset(to Position)
	// gap tells one connection so.
	gap(to Position) *hub.Gap
}

// log is what a node has of one stream's history, the newest of it: it sees whether what is delivered follows
// what was, and feeds those who follow.
type log struct {
	// Immutable after newLog.
	out   outlet
	clock clock.Clock
	fetch func() // reads what the fetches want, beside; must not wait

	// mu guards the fields below. It is held from an entry's appending to its post, so that both have one order.
	// The hub's lock is taken under it. Loops take it: nobody waits while he holds it.
	mu       sync.Mutex
	epoch    string
	ring     *history.Ring[hub.Kept]
	page     *history.Ring[hub.Kept] // a part of the history before the ring, read for those who follow
	fetches  []fetch
	fetching bool
}

// fetch is somebody who waits for what follows an offset.
type fetch struct {
	after uint64
	done  func(hub.Replay, error)
	// late says that what he missed cannot be filled: he is told of the gap up to the oldest that is kept.
	late bool
	// patient says that he waits until the broker answers; others are told of its errors.
	patient bool
}

func newLog(out outlet, keep Retention, at Position, c clock.Clock) *log {
	bounds := history.Bounds{Count: min(keep.Count, logEntries), Age: keep.Age, Bytes: logBytes}
	return &log{
		out:   out,
		clock: c,
		epoch: at.Epoch,
		ring:  history.NewRing[hub.Kept](bounds, at.Offset),
		page:  history.NewRing[hub.Kept](history.Bounds{}, 0),
	}
}

// position is where the log stands.
func (l *log) position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Position{l.epoch, l.ring.Newest()}
}

// append takes entries that follow what the log has, and delivers them. It reports false where they do not
// follow; then what is missing is to be read.
func (l *log) append(room hub.Room, epoch string, entries []Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != l.epoch {
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
		kept[i] = l.out.decode(l.epoch, e)
		l.ring.Append(e.At, len(e.Body)+frameOverhead, kept[i])
	}
	l.out.deliver(room, kept)
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
	k := known{Position: Position{l.epoch, l.ring.Newest()}}
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
	case p.Newest.Epoch != l.epoch: // another life of the stream: what was between is lost, and nothing of this one
		l.resetLocked(Position{p.Newest.Epoch, p.Oldest - 1})
	case p.isOther(asked): // its newest were lost, as in a failover
		l.resetLocked(p.Newest)
	case p.Oldest > l.ring.Newest()+1:
		l.resetLocked(Position{l.epoch, p.Oldest - 1})
	}
	entries := behind(p.Entries, l.ring.Newest())
	if len(entries) > 0 && entries[0].Offset != l.ring.Newest()+1 { // it was read behind a place in the former life
		room.Release()
		return false
	}
	l.deliverLocked(room, entries)
	return l.ring.Newest() >= p.Newest.Offset
}

// resetLocked goes on elsewhere; l.mu must be held.
func (l *log) resetLocked(to Position) {
	l.epoch = to.Epoch
	l.ring.Reset(to.Offset)
	l.page.Reset(0)
	l.out.reset(to)
}
