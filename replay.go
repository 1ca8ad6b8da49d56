package herald

import (
	"time"

	"github.com/herald-events/herald/internal/history"
	"github.com/herald-events/herald/internal/hub"
)

// standing is how somebody who wants to resume stands to a log.
type standing uint8

const (
	tooLate standing = iota // what he missed cannot be filled
	atHand                  // it can
	unknown                 // the broker knows
)

// standing tells what is known of what follows a position, and its place. Who was on another node may have heard
// of more than this one.
func (l *log) standing(since Position) (standing, hub.Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := hub.Place{Life: l.life, Offset: since.Offset}
	switch {
	case since.Epoch != l.life.Epoch:
		return tooLate, from
	case since.Offset > l.ring.Newest() || l.replayLocked(since.Offset).Away:
		return unknown, from
	}
	return atHand, from
}

// After implements hub.Source.
func (l *log) After(at hub.Place) hub.Replay {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Life != l.life {
		return hub.Replay{}
	}
	return l.replayLocked(at.Offset)
}

// replayLocked is what is at hand; l.mu must be held.
func (l *log) replayLocked(after uint64) hub.Replay {
	if after >= l.ring.Newest() {
		return hub.Replay{}
	}
	now := l.clock.Now()
	l.ring.Expire(now)
	if kept := partOf(l.ring, after); len(kept) > 0 {
		return hub.Replay{Kept: kept}
	}
	if after+uint64(l.keep.Count) >= l.ring.Newest() { // else the stream has let go of it since it was read
		if kept := l.page.after(after, now); len(kept) > 0 {
			return hub.Replay{Kept: kept}
		}
	}
	return hub.Replay{Away: true}
}

// partOf is what goes into one write of what follows an offset in a ring; nothing, where that is not there.
func partOf(ring *history.Ring[hub.Kept], after uint64) []hub.Kept {
	items, _ := ring.After(after, history.Part{Count: logEntries, Bytes: replayBytes})
	kept := make([]hub.Kept, len(items))
	for i, item := range items {
		kept[i] = item.Value
	}
	return kept
}

// page is a part of the history before the ring, read for those who follow. It is part of its log.
type page struct {
	ring    *history.Ring[hub.Kept] // nil: there is none
	used    bool                    // since it was last looked at
	watched bool                    // somebody looks whether it is still used
}

// after is what the page has behind an offset that is not too old by then.
func (p *page) after(offset uint64, now time.Time) []hub.Kept {
	if p.ring == nil {
		return nil
	}
	p.ring.Expire(now)
	kept := partOf(p.ring, offset)
	p.used = p.used || len(kept) > 0
	return kept
}

// keepPageLocked has a page at hand that was read; l.mu must be held.
func (l *log) keepPageLocked(p Page) {
	if len(p.Entries) == 0 {
		l.page.ring = nil
		return
	}
	bounds := history.Bounds{Count: len(p.Entries), Age: l.keep.Age}
	l.page.ring = history.NewRing[hub.Kept](bounds, p.Entries[0].Offset-1)
	for _, e := range p.Entries {
		l.page.ring.Append(e.At, len(e.Body)+frameOverhead, l.out.decode(l.life.Epoch, e))
	}
	l.page.used = true
	if !l.page.watched {
		l.page.watched = true
		l.tidy()
	}
}

// dropPage lets go of the page if nobody has asked for it since the last call, and reports whether it has.
func (l *log) dropPage() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.page.used {
		l.page.used = false
		return false
	}
	l.page = page{}
	return true
}
