//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

const (
	// noPing is an interval of keep-alive that no run outlasts.
	noPing = 10 * time.Minute
	// standstill is how long nothing may come before what is missing is lost.
	standstill = 3 * time.Second
	// drainTime is how long a backlog may take in any case.
	drainTime = time.Minute
	// warmUp is how many messages go first, untimed: they fill pools and have code compiled.
	warmUp = 100
)

// rig measures one server after the other.
type rig struct {
	builder  *server.Builder
	launch   load.Launch
	settings report.Settings
}

// session is a server with its subscribers.
type session struct {
	server *server.Server
	fleet  *load.Fleet
	opened load.Answer
}

// begin starts a server and opens connections to it.
func (r *rig) begin(ctx context.Context, spec server.Spec, ping time.Duration, task load.Task) (*session, error) {
	srv, err := r.builder.Start(ctx, spec, server.Setup{Ping: ping})
	if err != nil {
		return nil, err
	}
	s := &session{server: srv}
	if err := s.open(ctx, r.launch, task); err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

func (s *session) open(ctx context.Context, launch load.Launch, task load.Task) error {
	on := s.server.Task()
	task.Protocol, task.Port = on.Protocol, on.Port
	var err error
	s.fleet, s.opened, err = load.Open(ctx, launch, task)
	if err == nil && s.opened.Open != task.Connections {
		err = fmt.Errorf("%d of %d connections are open", s.opened.Open, task.Connections)
	}
	return err
}

// end stops the server first: its end is seen by nobody.
func (s *session) end() error {
	err := s.server.Stop()
	if s.fleet != nil {
		err = errors.Join(err, s.fleet.Close())
	}
	return err
}

// crowd is who listens: so many subscribers to each of so many channels.
type crowd struct{ channels, subscribers int }

func (c crowd) task() load.Task {
	return load.Task{Connections: c.channels * c.subscribers, Channels: c.channels}
}

// flood publishes as fast as the publish call answers.
func (r *rig) flood(ctx context.Context, spec server.Spec, to crowd) (report.Figures, error) {
	s, err := r.begin(ctx, spec, noPing, to.task())
	if err != nil {
		return report.Figures{}, err
	}
	plan := publish.Plan{
		Channels: to.channels, Size: r.settings.Payload, Duration: r.settings.Duration,
		Most: max(r.settings.MostDeliveries/to.subscribers, 1),
	}
	f, err := s.measure(ctx, plan)
	return f, errors.Join(err, s.end())
}

// paced publishes so many messages a second on one channel, which a server at rest does with ease.
func (r *rig) paced(ctx context.Context, spec server.Spec, rate float64) (report.Figures, error) {
	s, err := r.begin(ctx, spec, noPing, crowd{1, r.settings.Subscribers}.task())
	if err != nil {
		return report.Figures{}, err
	}
	f, err := s.measure(ctx, r.pace(rate))
	f.Deliveries = 0 // it is what it was told to be
	return f, errors.Join(err, s.end())
}

func (r *rig) pace(rate float64) publish.Plan {
	return publish.Plan{Channels: 1, Size: r.settings.Payload, Rate: rate, Duration: r.settings.Duration}
}

// stopped is paced with one reader in a hundred that has stopped; every is 0 for none.
func (r *rig) stopped(ctx context.Context, spec server.Spec, rate float64, every int) (report.Figures, error) {
	task := crowd{1, r.settings.Subscribers}.task()
	task.StopEvery = every
	s, err := r.begin(ctx, spec, noPing, task)
	if err != nil {
		return report.Figures{}, err
	}
	// First what fills the kernel's buffers of those who do not read: from then on the server holds what
	// is theirs. It is far less than what a server holds before it closes a connection.
	fill := publish.Plan{Channels: 1, Size: 16 << 10, Duration: r.settings.Duration, Most: 16}
	_, err = s.measure(ctx, fill)
	var f report.Figures
	if err == nil {
		f, err = s.measure(ctx, r.pace(rate))
	}
	f.Deliveries = 0
	return f, errors.Join(err, s.end())
}

// measure warms up, publishes, and waits until all has come or nothing comes any more.
func (s *session) measure(ctx context.Context, plan publish.Plan) (report.Figures, error) {
	warm := plan
	warm.Rate, warm.Most = 0, min(warmUp, max(plan.Most/4, 1))
	if plan.Rate > 0 {
		warm.Most = warmUp
	}
	if _, _, err := s.publish(ctx, warm); err != nil {
		return report.Figures{}, err
	}
	before, err := s.server.CPU()
	if err != nil {
		return report.Figures{}, err
	}
	published, got, err := s.publish(ctx, plan)
	if err != nil {
		return report.Figures{}, err
	}
	after, err := s.server.CPU()
	if err != nil {
		return report.Figures{}, err
	}
	f := report.Figures{
		P50: got.Latency.Quantile(0.5), P99: got.Latency.Quantile(0.99), Max: got.Latency.Max(),
		Published: published.Messages, Refused: published.Refused,
		Expected: got.Expected, Lost: got.Lost, Extra: got.Extra, Closed: got.Closed,
	}
	if got.Total > 0 {
		f.Deliveries = float64(got.Total) / got.Last.Sub(published.Begun).Seconds()
		f.CPU = micros(after-before) / float64(got.Total)
	}
	return f, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// publish carries the plan out and returns when its messages have come. It counts from nothing, or what
// came before would stand for what is still under way.
func (s *session) publish(ctx context.Context, plan publish.Plan) (publish.Result, load.Answer, error) {
	if err := s.fleet.Reset(plan.Rate > 0); err != nil {
		return publish.Result{}, load.Answer{}, err
	}
	published, err := publish.Run(ctx, s.server.Target(), plan)
	if err != nil {
		return published, load.Answer{}, fmt.Errorf("%s: %w", s.server.Spec.Name, err)
	}
	got, err := await(ctx, s.fleet, published.Channel)
	return published, got, err
}

// await waits until so many messages of each channel have come, or nothing comes any more.
func await(ctx context.Context, fleet *load.Fleet, expected []int) (load.Answer, error) {
	got, err := fleet.Stats(expected)
	for begun := time.Now(); err == nil && got.Lost > 0 && !isOver(begun, got); {
		if err = pause(ctx, 5*time.Millisecond); err != nil {
			break
		}
		total, errTotal := fleet.Total()
		if err = errTotal; err == nil && (total.Total >= got.Expected || isOver(begun, total)) {
			got, err = fleet.Stats(expected)
		}
	}
	return got, err
}

// isOver reports whether what has not come will not come.
func isOver(begun time.Time, last load.Answer) bool {
	return time.Since(begun) > drainTime || time.Since(begun) > standstill && time.Since(last.Last) > standstill
}

// pause waits, in a place where a server is given time to do something.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
