package herald

import (
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
	author authorship
	passed bool // its delivery has come by
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

// publish remembers an event that this node is about to publish. A known one need not be; again says that it was tried
// before, and that nobody knows what became of it.
func (r *recent) publish(e Event) (known, again bool) {
	rec, known := r.add(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	again = rec.author == unanswered
	if known && !again {
		return true, false
	}
	rec.author = publishing
	return false, again
}

// published notes that an event was accepted, of which everybody is to be told.
func (r *recent) published(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.records[id]; rec != nil {
		rec.author = ofOurs
	}
}

// duplicate notes that another has published an event first, and says who is to be told of it by now.
func (r *recent) duplicate(id string, again bool) hearers {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[id]
	switch {
	case rec == nil || rec.author != publishing:
		return nobody
	case again: // it is what was tried before
		rec.author = ofOurs
		return everybody
	}
	rec.author = ofAnother
	if rec.passed {
		return ofAllNodes
	}
	return nobody
}

// failed notes that it is not known whether an event was accepted. It was, where its delivery has come by.
func (r *recent) failed(id string) (accepted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[id]
	if rec == nil || rec.author != publishing {
		return false
	}
	if rec.passed {
		rec.author = ofOurs
		return true
	}
	rec.author = unanswered
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
