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
	own       bool // it was published on this node
	delivered hub.Delivered
}

func newRecent(c clock.Clock) *recent {
	return &recent{clock: c, records: map[string]*record{}}
}

// addOwn is add for an event that is published on this node.
func (r *recent) addOwn(e Event) (known bool) {
	rec, known := r.add(e)
	if !known {
		r.mu.Lock()
		defer r.mu.Unlock()
		rec.own = true
	}
	return known
}

// isOwn tells whether an event was published on this node, as far as that is remembered.
func (r *recent) isOwn(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[id] != nil && r.records[id].own
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

// forget takes back the event that was added last under this id.
func (r *recent) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.records[id]; rec != nil {
		r.dropBodyLocked(rec)
		delete(r.records, id) // its place in order goes with its age
	}
}

// find returns what is known of an event: the event itself, as long as it is kept whole.
func (r *recent) find(id string) (e Event, d *hub.Delivered, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(r.clock.Now())
	rec := r.records[id]
	if rec == nil || !rec.kept {
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
