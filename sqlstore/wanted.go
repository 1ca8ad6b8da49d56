package sqlstore

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/pattern"
)

// wanted is what is remembered of the endpoints: which types each of them wants.
type wanted struct {
	mu        sync.Mutex // guards the fields below
	version   int64      // of the changes; 0: nothing is remembered
	endpoints []endpoint // those that are enabled
}

type endpoint struct {
	id       string
	patterns []pattern.Pattern // none: all
}

func (e *endpoint) wants(eventType string) bool {
	for _, p := range e.patterns {
		if p.Match(eventType) {
			return true
		}
	}
	return len(e.patterns) == 0
}

// endpointsNow are the enabled endpoints as a transaction sees them.
func (s *Store) endpointsNow(ctx context.Context, t tx) ([]endpoint, error) {
	s.wanted.mu.Lock()
	defer s.wanted.mu.Unlock()
	// Who changes an endpoint waits for those who record events for it as it was, and finds what they have recorded.
	lock := ""
	if s.dialect == postgres {
		lock = " FOR SHARE"
	}
	var version int64
	if err := t.query(ctx, func(r row) error { return r.Scan(&version) }, "SELECT n FROM herald_webhook_changes"+lock); err != nil {
		return nil, err
	}
	if version == s.wanted.version {
		return s.wanted.endpoints, nil
	}
	var endpoints []endpoint
	err := t.query(ctx, func(r row) error {
		e, err := scanEndpoint(r)
		endpoints = append(endpoints, e)
		return err
	}, "SELECT id, events FROM herald_webhooks WHERE enabled = 1 ORDER BY id")
	if err == nil {
		s.wanted.version, s.wanted.endpoints = version, endpoints
	}
	return endpoints, err
}

func scanEndpoint(r row) (e endpoint, err error) {
	var (
		raw   text
		texts []string
	)
	if err := r.Scan(&e.id, &raw); err != nil {
		return e, err
	}
	if err := json.Unmarshal(raw, &texts); err != nil {
		return e, err
	}
	for _, text := range texts {
		p, err := pattern.Parse(text)
		if err != nil {
			return e, err
		}
		e.patterns = append(e.patterns, p)
	}
	return e, nil
}

const deliveryColumns = "webhook, event, seq, state, tries, next_at, created_at, job"

// delivery is an event that is to be delivered to an endpoint, and the job of that.
type delivery struct {
	key       herald.DeliveryKey
	seq       uint64
	createdAt time.Time
	job       *job
}

// jobOf is the job of a delivery.
func (s *Store) jobOf(key herald.DeliveryKey) *job {
	j := &job{NewJob: s.deliveryJob(key.WebhookID)}
	j.Payload, j.EventID = key.Payload(), key.EventID
	return j
}

// deliveriesOf are the deliveries of facts to the endpoints that want their events.
func (s *Store) deliveriesOf(ctx context.Context, t tx, facts []*fact) (all []*delivery, err error) {
	if !slices.ContainsFunc(facts, func(f *fact) bool { return f.event != nil }) {
		return nil, nil
	}
	endpoints, err := s.endpointsNow(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, f := range facts {
		for i := range endpoints {
			if e := &endpoints[i]; f.isFor(e) {
				key := herald.DeliveryKey{WebhookID: e.id, EventID: f.event.ID}
				all = append(all, &delivery{key, f.entry.Seq, f.entry.RecordedAt, s.jobOf(key)})
			}
		}
	}
	return all, nil
}

// addDeliveries keeps deliveries whose jobs are inserted.
func addDeliveries(ctx context.Context, t tx, all []*delivery) error {
	var rows [][]any
	for _, d := range all {
		rows = append(rows, []any{
			d.key.WebhookID, d.key.EventID, int64(d.seq), string(herald.DeliveryWaiting), 0, 0, d.createdAt.UnixMilli(), d.job.row.ID,
		})
	}
	return insert(ctx, t, "herald_webhook_deliveries", deliveryColumns, rows, deliveryAnew)
}

// deliveryAnew has a delivery begin anew whose event was removed with its entry: the id was used again.
const deliveryAnew = " ON CONFLICT (webhook, event) DO UPDATE SET seq = excluded.seq, state = excluded.state, tries = excluded.tries, " +
	"next_at = excluded.next_at, created_at = excluded.created_at, job = excluded.job"

func (f *fact) isFor(e *endpoint) bool {
	if f.event == nil {
		return false
	}
	if f.to != "" {
		return f.to == e.id
	}
	return e.wants(f.event.Type)
}
