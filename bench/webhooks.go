//go:build linux

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/herald-events/herald/bench/internal/chore"
	"github.com/herald-events/herald/bench/internal/report"
)

// receiver is the endpoint of a webhook. It believes everybody, and counts.
type receiver struct {
	web *httptest.Server

	mu      sync.Mutex // guards the fields below
	came    map[string]int
	last    time.Time
	waiting chan<- time.Time // is told when the next one comes; nil: nobody waits
}

func newReceiver() *receiver {
	r := &receiver{came: map[string]int{}}
	r.web = httptest.NewServer(r)
	return r
}

// ServeHTTP implements [http.Handler].
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	now := time.Now()
	_, _ = io.Copy(io.Discard, req.Body) // a connection that breaks off delivers again
	r.note(req.Header.Get("webhook-id"), now)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) note(id string, now time.Time) {
	r.mu.Lock()
	r.came[id]++
	r.last = now
	waiting := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	if waiting != nil {
		waiting <- now // which has room for it
	}
}

// reset counts from nothing.
func (r *receiver) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came = map[string]int{}
}

// next is told when the next one comes.
func (r *receiver) next() <-chan time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	came := make(chan time.Time, 1)
	r.waiting = came
	return came
}

// got is what has come: how many events, how often one of them again, and when the last.
type got struct {
	events, again int
	last          time.Time
}

func (r *receiver) got() got {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := got{events: len(r.came), last: r.last}
	for _, times := range r.came {
		g.again += times - 1
	}
	return g
}

// await waits until so many events have come, or none comes any more.
func (r *receiver) await(ctx context.Context, events int) (got, error) {
	for begun := time.Now(); ; {
		g := r.got()
		if g.events >= events || time.Since(begun) > standstill && time.Since(g.last) > standstill {
			return g, nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return g, err
		}
	}
}

// webhooks measures how fast events are delivered to one endpoint, and how soon one is there when nothing else is to
// be delivered.
func (r *rig) webhooks(ctx context.Context, k *keeper) (report.Figures, error) {
	to := newReceiver()
	defer to.web.Close()
	if _, err := k.server.API(ctx, http.MethodPost, "/webhooks", map[string]string{"url": to.web.URL}); err != nil {
		return report.Figures{}, err
	}
	f, err := r.deliver(ctx, k, to)
	if err != nil {
		return f, err
	}
	to.reset()
	idle, lost, err := r.deliverEach(ctx, k, to)
	f.P50, f.P99, f.Max = idle.Took.Quantile(0.5), idle.Took.Quantile(0.99), idle.Took.Max()
	f.Lost += lost
	f.Twice += to.got().again
	return f, err
}

// deliver publishes events as fast as the call answers, and ends when the last has come.
func (r *rig) deliver(ctx context.Context, k *keeper, to *receiver) (report.Figures, error) {
	plan := chore.Plan{Workers: keptCallers, Most: warmUp}
	if _, err := k.do(ctx, chore.Publish, plan); err != nil {
		return report.Figures{}, err
	}
	if _, err := to.await(ctx, warmUp); err != nil {
		return report.Figures{}, err
	}
	to.reset()
	before, err := k.spent()
	if err != nil {
		return report.Figures{}, err
	}
	plan.Most = r.settings.WebhookEvents
	published, err := k.do(ctx, chore.Publish, plan)
	if err != nil {
		return report.Figures{}, err
	}
	came, err := to.await(ctx, published.Calls)
	if err != nil {
		return report.Figures{}, err
	}
	f := report.Figures{
		Published: published.Calls, Expected: published.Calls, Lost: published.Calls - came.events, Twice: came.again,
		Deliveries: float64(came.events) / came.last.Sub(published.Begun).Seconds(),
	}
	return f, k.charge(&f, before, came.events)
}

// deliverEach publishes one event after the other over the server API, and times each from just before the call until
// it has come.
func (r *rig) deliverEach(ctx context.Context, k *keeper, to *receiver) (idle chore.Result, lost int, err error) {
	event := map[string]any{"type": "user.seen", "payload": json.RawMessage(`{"userId":"u-7"}`)}
	idle, err = chore.Plan{Workers: 1, Most: r.settings.Samples, Idle: true}.Run(ctx, func(ctx context.Context, _ int) error {
		came := to.next()
		if _, err := k.server.API(ctx, http.MethodPost, "/events", event); err != nil {
			return err
		}
		select {
		case <-came:
		case <-time.After(standstill):
			lost++
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	return idle, lost, err
}
