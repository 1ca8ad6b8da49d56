package herald

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/hub"
)

// What is remembered of published events without a store: enough ids to recognise a publisher that
// tries again, and as many whole events as fit.
const (
	recentIDs   = 100_000
	recentAge   = time.Hour
	recentBytes = 32 << 20
)

// recent remembers the last domain events, to recognise an id that comes again and to tell what
// became of an event.
type recent struct {
	clock clock.Clock

	mu      sync.Mutex // guards the fields below
	records map[string]*record
	order   []*record // oldest first, from first on
	first   int       // the oldest in order
	whole   int       // the oldest in order whose event is kept
	bytes   int       // of the payloads kept
}

// record is one event. What delivered counts goes on while the loops deliver.
type record struct {
	event     Event // without payload once it is too old to be kept whole
	kept      bool
	at        time.Time
	delivered hub.Delivered

	// Whom this node's handlers are told by: publish tells all of them, a delivery those who want the events of all
	// nodes. Each event is told to each handler once, whatever order publishing and delivery come to an end in.
	author  authorship
	passed  bool          // its delivery has come by
	settled chan struct{} // closed when it is published no more; nil: nobody waits for that
}

// authorship is whose an event is, as far as this node knows.
type authorship uint8

const (
	ofAnother  authorship = iota // another node has published it
	publishing                   // this one does
	unanswered                   // this one has tried: whether it was accepted is not known
	ofOurs                       // this one has
)

// hearers are the handlers that are to be told of an event.
type hearers uint8

const (
	nobody hearers = iota
	ofAllNodes
	everybody
)

func newRecent(c clock.Clock) *recent {
	return &recent{clock: c, records: map[string]*record{}}
}

// publish remembers an event that this node is about to publish. A known one need not be, and has no record here; again
// says that it was tried before, and that nobody knows what became of it. Where one of the same id is being published
// it waits for the end of that, until ctx ends: which of them is the first is known then.
func (r *recent) publish(ctx context.Context, e Event) (rec *record, again bool, err error) {
	for {
		rec, again, settled := r.claim(e)
		if settled == nil {
			return rec, again, nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, false, &Error{Code: CodeUnavailable, Message: "the same event is being published, and may not be accepted", Err: ctx.Err()}
		}
	}
}

// claim is publish, but for the wait: it returns what to wait for.
func (r *recent) claim(e Event) (rec *record, again bool, settled <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, known := r.addLocked(e)
	switch {
	case known && rec.author == publishing:
		if rec.settled == nil {
			rec.settled = make(chan struct{})
		}
		return nil, false, rec.settled
	case known && rec.author != unanswered:
		return nil, false, nil
	}
	rec.author = publishing
	return rec, known, nil
}

// settleLocked notes whose an event is, and has those go on who wait for that; r.mu must be held.
func (r *recent) settleLocked(rec *record, author authorship) {
	rec.author = author
	if rec.settled != nil {
		close(rec.settled)
		rec.settled = nil
	}
}

// published notes that an event was accepted, of which everybody is to be told.
func (r *recent) published(rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settleLocked(rec, ofOurs)
}

// recorded notes that an event was accepted that an application has published with a transaction of its own, and
// reports whether everybody is to be told of it. Whoever publishes the same meanwhile learns that it is known.
func (r *recent) recorded(e Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, known := r.addLocked(e)
	if known && rec.author != publishing && rec.author != unanswered {
		return false
	}
	r.settleLocked(rec, ofOurs)
	return true
}

// duplicate notes that another has published an event first, and says who is to be told of it by now.
func (r *recent) duplicate(rec *record, again bool) hearers {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case rec.author != publishing:
		return nobody
	case again: // it is what was tried before
		r.settleLocked(rec, ofOurs)
		return everybody
	}
	r.settleLocked(rec, ofAnother)
	if rec.passed {
		return ofAllNodes
	}
	return nobody
}

// failed notes that it is not known whether an event was accepted. It was, where its delivery has come by.
func (r *recent) failed(rec *record) (accepted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case rec.author != publishing:
		return false
	case rec.passed:
		r.settleLocked(rec, ofOurs)
		return true
	}
	r.settleLocked(rec, unanswered)
	return false
}

// pass notes that an event's delivery comes by, and says who is to be told of it.
func (r *recent) pass(id string) hearers {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[id]
	if rec == nil || rec.passed {
		return nobody
	}
	rec.passed = true
	switch rec.author {
	case ofAnother:
		return ofAllNodes
	case unanswered:
		rec.author = ofOurs
		return everybody
	}
	return nobody
}

// hasPassed tells whether an event's delivery has come by.
func (r *recent) hasPassed(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[id] != nil && r.records[id].passed
}

// add remembers an event, unless its id is known.
func (r *recent) add(e Event) (rec *record, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addLocked(e)
}

// addLocked is add; r.mu must be held.
func (r *recent) addLocked(e Event) (rec *record, known bool) {
	now := r.clock.Now()
	r.expireLocked(now)
	if rec := r.records[e.ID]; rec != nil {
		return rec, true
	}
	rec = &record{event: e, kept: true, at: now}
	r.records[e.ID] = rec
	r.order = append(r.order, rec)
	r.bytes += eventSize(e)
	r.shrinkLocked()
	return rec, false
}

// find returns what is known of an event: the event itself, as long as it is kept whole.
func (r *recent) find(id string) (e Event, d *hub.Delivered, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(r.clock.Now())
	rec := r.records[id]
	if rec == nil || !rec.kept || rec.author == unanswered {
		return Event{}, nil, false
	}
	return rec.event, &rec.delivered, true
}

// expireLocked forgets what is too old or too much; r.mu must be held.
func (r *recent) expireLocked(now time.Time) {
	for r.first < len(r.order) {
		oldest := r.order[r.first]
		if now.Sub(oldest.at) < recentAge && len(r.order)-r.first < recentIDs {
			break
		}
		r.dropBodyLocked(oldest)
		if r.records[oldest.event.ID] == oldest {
			delete(r.records, oldest.event.ID)
		}
		r.order[r.first] = nil
		r.first++
	}
	r.whole = max(r.whole, r.first)
	if r.first > len(r.order)/2 {
		r.order = append([]*record(nil), r.order[r.first:]...)
		r.whole -= r.first
		r.first = 0
	}
}

// shrinkLocked lets go of the oldest payloads until the rest fits; r.mu must be held.
func (r *recent) shrinkLocked() {
	for r.bytes > recentBytes && r.whole < len(r.order) {
		r.dropBodyLocked(r.order[r.whole])
		r.whole++
	}
}

func (r *recent) dropBodyLocked(rec *record) {
	if rec.kept {
		r.bytes -= eventSize(rec.event)
		rec.kept = false
		rec.event = Event{ID: rec.event.ID}
	}
}

func eventSize(e Event) int {
	raw, _ := e.Payload.(json.RawMessage)
	return len(raw) + len(e.UserID) + len(e.Type) + frameOverhead
}
