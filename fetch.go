package herald

import "github.com/herald-events/herald/internal/hub"

// fetch is somebody who waits for what follows a place. He follows, and waits until the broker answers, or he asks
// whether he can go on from there, and is told of the broker's errors too.
type fetch struct {
	after hub.Place
	feed  func(hub.Replay)     // of who follows
	tell  func(verdict, error) // of who asks
	// late says that what he missed cannot be filled: he only asks how much there still is.
	late bool
	// asked says that a page has been asked for since he came: what it says of the stream is for him too.
	asked bool
}

// verdict is what is told to somebody who asks whether he can go on.
type verdict struct {
	whole  bool     // everything that follows is there
	oldest Position // where it is not: the position before the oldest that is
}

// give gives him what follows.
func (f *fetch) give(kept []hub.Kept) {
	if f.feed != nil {
		f.feed(hub.Replay{Kept: kept})
	} else {
		f.tell(verdict{whole: true}, nil)
	}
}

// loseTo tells him that what follows is lost up to a position.
func (f *fetch) loseTo(to Position, out outlet) {
	if f.feed != nil {
		f.feed(hub.Replay{Gap: out.gap(to)})
	} else {
		f.tell(verdict{oldest: to}, nil)
	}
}

// Fetch implements hub.Source.
func (l *log) Fetch(from hub.Place, done func(hub.Replay)) { l.want(fetch{after: from, feed: done}) }

// want has something read, with whatever others want.
func (l *log) want(f fetch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetches = append(l.fetches, f)
	if f.after.Life != l.life {
		l.overLocked()
	}
	if len(l.fetches) > 0 && !l.fetching {
		l.fetching = true
		l.fetch()
	}
}

// overLocked ends the fetches of another life than the log's: of that there is nothing any more. Who follows is
// told by the reset. l.mu must be held.
func (l *log) overLocked() {
	l.serveLocked(func(f *fetch) bool {
		over := f.after.Life != l.life
		if over && f.tell != nil {
			f.tell(verdict{oldest: l.oldestLocked()}, nil)
		}
		return over
	})
}

// serveLocked forgets the fetches that serve has answered; l.mu must be held.
func (l *log) serveLocked(serve func(*fetch) bool) {
	left := l.fetches[:0]
	for _, f := range l.fetches {
		if !serve(&f) {
			left = append(left, f)
		}
	}
	clear(l.fetches[len(left):])
	l.fetches = left
}

// pageRequest is a part of the history that is read for fetches, and how the log stood when it was asked for.
type pageRequest struct {
	Range
	life   *hub.Life
	newest uint64
}

// wanted is the part of the history that the fetches want next, once those are served that can be: the page that
// holds what the first of them wants. It is false when none is left.
func (l *log) wanted() (pageRequest, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := l.ring.Newest()
	l.serveLocked(func(f *fetch) bool {
		if f.late || f.after.Offset > newest {
			return false
		}
		r := l.replayLocked(f.after.Offset)
		if !r.Away {
			f.give(r.Kept)
		}
		return !r.Away
	})
	if len(l.fetches) == 0 {
		l.fetching = false
		return pageRequest{}, false
	}
	from := newest
	for i := range l.fetches {
		f := &l.fetches[i]
		f.asked = true
		if !f.late {
			from = min(from, f.after.Offset)
		}
	}
	return pageRequest{Range{After: from, Limit: pageEntries}, l.life, newest}, true
}

// outcome is what has come of reading a page.
type outcome uint8

const (
	toNoAvail outcome = iota // somebody still waits for what it was to hold
	served
	strayed // it is of another stream than the log has: the log is to catch up, and whoever waits is told then
)

// fetched takes a page that was read. Who has come since, and wants what is before it, waits for the next.
func (l *log) fetched(r pageRequest, p Page) outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.life != l.life:
		return served // who wanted it has been told
	case p.Newest.Epoch != l.life.Epoch || p.Newest.Offset < r.newest:
		return strayed
	}
	l.keepPageLocked(p)
	outcome := served
	l.serveLocked(func(f *fetch) bool {
		done := l.serveFromLocked(f, r, p)
		if !done && f.asked && f.after.Offset == r.After {
			outcome = toNoAvail
		}
		return done
	})
	return outcome
}

// serveFromLocked answers a fetch with a page, as far as that is for it; l.mu must be held.
func (l *log) serveFromLocked(f *fetch, r pageRequest, p Page) bool {
	first, after := p.Oldest, f.after.Offset
	if !f.late && after >= r.After {
		first = max(first, p.first())
	}
	var kept []hub.Kept
	if l.page.ring != nil {
		kept = partOf(l.page.ring, after) // of whatever age: the broker had it just now
	}
	ahead := after > p.Newest.Offset // he has heard of what the stream has lost, unless it was said since
	switch {
	case f.late || ahead && f.asked && f.tell != nil:
		f.loseTo(Position{p.Newest.Epoch, p.Oldest - 1}, l.out)
	case after < first-1:
		f.loseTo(Position{p.Newest.Epoch, first - 1}, l.out)
	case len(kept) > 0 || f.asked && f.tell != nil: // nothing was missed, or it is on another page
		f.give(kept)
	default:
		return false
	}
	return true
}

// first is the offset of the first entry; the one after the newest, where there is none.
func (p Page) first() uint64 {
	if len(p.Entries) == 0 {
		return p.Newest.Offset + 1
	}
	return p.Entries[0].Offset
}

// failed tells those who ask that the broker has not answered.
func (l *log) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serveLocked(func(f *fetch) bool {
		if f.tell != nil {
			f.tell(verdict{}, err)
		}
		return f.tell != nil
	})
}
