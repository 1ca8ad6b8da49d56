package sqlstore

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/pattern"
)

// durableKept is how long a handler of events is known of which no node has told: that of a node that is away for
// good. Its jobs would only be dead.
const durableKept = 7 * 24 * time.Hour

// durable is a handler of events whose calls are jobs.
type durable struct {
	pattern string
	job     herald.NewJob
}

// registerDurable has the nodes that publish know the node's handlers.
func (s *Store) registerDurable(ctx context.Context, t tx, handlers []herald.DurableHandler) error {
	for _, h := range handlers {
		kept, err := json.Marshal(h.Job)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, "INSERT INTO herald_durable (name, pattern, job, seen_at) VALUES (?, ?, ?, "+s.now()+") "+
			"ON CONFLICT (name) DO UPDATE SET pattern = excluded.pattern, job = excluded.job, seen_at = excluded.seen_at",
			h.Job.Type, h.Pattern, string(kept))
		if err != nil {
			return err
		}
	}
	return nil
}

// jobsOf are the jobs that come with facts: their own, and the calls of the handlers that their events have on any node.
func (s *Store) jobsOf(ctx context.Context, t tx, facts []*fact) (jobs []*job, err error) {
	var handlers []durable
	asked := false
	for _, f := range facts {
		jobs = append(jobs, f.jobs...)
		if f.event == nil {
			continue
		}
		if !asked {
			if handlers, err = s.durable(ctx, t); err != nil {
				return nil, err
			}
			asked = true
		}
		calls, err := callsOf(f.event, handlers)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, calls...)
	}
	return jobs, nil
}

// durable are the handlers of all nodes. Those of this one are registered where they are not yet.
func (s *Store) durable(ctx context.Context, t tx) (handlers []durable, err error) {
	known := map[string]bool{}
	err = t.query(ctx, func(r row) error {
		var (
			h    durable
			kept []byte
		)
		if err := r.Scan(&h.pattern, (*text)(&kept)); err != nil {
			return err
		}
		err := json.Unmarshal(kept, &h.job)
		handlers = append(handlers, h)
		known[h.job.Type+" "+h.pattern] = true
		return err
	}, "SELECT pattern, job FROM herald_durable WHERE seen_at >= "+s.now()+" - ? ORDER BY name", durableKept.Milliseconds())
	if err != nil {
		return nil, err
	}
	fresh := slices.DeleteFunc(slices.Clone(s.own), func(h herald.DurableHandler) bool { return known[h.Job.Type+" "+h.Pattern] })
	for _, h := range fresh {
		handlers = append(handlers, durable{h.Pattern, h.Job})
	}
	return handlers, s.registerDurable(ctx, t, fresh)
}

func callsOf(e *herald.Event, handlers []durable) (calls []*job, err error) {
	var payload []byte
	for _, h := range handlers {
		if !h.matches(e.Type) {
			continue
		}
		if payload == nil {
			if payload, err = json.Marshal(e); err != nil {
				return nil, err
			}
		}
		call := h.job
		call.Payload, call.EventID = payload, e.ID
		calls = append(calls, &job{NewJob: call})
	}
	return calls, nil
}

func (h *durable) matches(eventType string) bool {
	if !strings.Contains(h.pattern, "*") {
		return h.pattern == eventType
	}
	p, err := pattern.Parse(h.pattern)
	return err == nil && p.Match(eventType)
}
