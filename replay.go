package herald

import (
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

// standing tells what is known of what follows a position.
func (l *log) standing(since Position) standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case since.Epoch != l.epoch || since.Offset > l.ring.Newest():
		return tooLate
	case l.replayLocked(since.Offset).Away:
		return unknown
	}
	return atHand
}

// After implements hub.Source.
func (l *log) After(offset uint64) hub.Replay {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.replayLocked(offset)
}

// replayLocked is what is at hand; l.mu must be held.
func (l *log) replayLocked(after uint64) hub.Replay {
	if after >= l.ring.Newest() {
		return hub.Replay{}
	}
	l.ring.Expire(l.clock.Now())
	for _, ring := range []*history.Ring[hub.Kept]{l.ring, l.page} {
		items, whole := ring.After(after, history.Part{Count: logEntries, Bytes: replayBytes})
		if !whole || len(items) == 0 {
			continue
		}
		kept := make([]hub.Kept, len(items))
		for i, item := range items {
			kept[i] = item.Value
		}
		return hub.Replay{Kept: kept}
	}
	return hub.Replay{Away: true}
}

// Fetch implements hub.Source.
func (l *log) Fetch(offset uint64, done func(hub.Replay)) {
	l.want(fetch{after: offset, patient: true, done: func(r hub.Replay, _ error) { done(r) }})
}

// want has something read, with whatever others want.
func (l *log) want(f fetch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetches = append(l.fetches, f)
	if !l.fetching {
		l.fetching = true
		l.fetch()
	}
}

// wanted is the part of the history that the fetches want next, once those are served that can be: one page
// before the ring for all of them, if it holds what they want. It is false when none is left.
func (l *log) wanted() (Range, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serveLocked(func(f fetch) (hub.Replay, bool) {
		if f.late {
			return hub.Replay{}, false
		}
		r := l.replayLocked(f.after)
		return r, !r.Away
	})
	if len(l.fetches) == 0 {
		l.fetching = false
		return Range{}, false
	}
	from := l.ring.Oldest() - 1
	from -= min(from, pageEntries)
	for _, f := range l.fetches {
		if !f.late {
			from = min(from, f.after)
		}
	}
	return Range{After: from, Limit: pageEntries}, true
}

// serveLocked answers the fetches for which there is an answer; l.mu must be held.
func (l *log) serveLocked(answer func(fetch) (hub.Replay, bool)) {
	left := l.fetches[:0]
	for _, f := range l.fetches {
		if r, ok := answer(f); ok {
			f.done(r, nil)
		} else {
			left = append(left, f)
		}
	}
	clear(l.fetches[len(left):])
	l.fetches = left
}

// fetched takes a page that was wanted, from an offset on. Who has come since, and wants what is before it, waits
// for the next.
func (l *log) fetched(from uint64, p Page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p.Entries) > 0 && p.Newest.Epoch == l.epoch {
		l.page = history.NewRing[hub.Kept](history.Bounds{Count: len(p.Entries)}, p.Entries[0].Offset-1)
		for _, e := range p.Entries {
			l.page.Append(e.At, len(e.Body)+frameOverhead, l.out.decode(l.epoch, e))
		}
	}
	l.serveLocked(func(f fetch) (hub.Replay, bool) {
		first := p.Oldest
		if !f.late && f.after >= from && len(p.Entries) > 0 {
			first = max(first, p.Entries[0].Offset)
		}
		lost := f.late || f.after+1 < first
		if p.Newest.Epoch != l.epoch { // of another life: nothing of what he wants is left
			first, lost = p.Newest.Offset+1, true
		}
		return hub.Replay{Gap: l.out.gap(Position{p.Newest.Epoch, first - 1})}, lost
	})
}

// failed tells those who do not wait that the broker has not answered.
func (l *log) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.fetches[:0]
	for _, f := range l.fetches {
		if f.patient {
			left = append(left, f)
		} else {
			f.done(hub.Replay{}, err)
		}
	}
	clear(l.fetches[len(left):])
	l.fetches = left
}
