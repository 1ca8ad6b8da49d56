//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

const (
	// usualPing is the interval of keep-alive to which the CPU time of an idle connection is scaled.
	usualPing = 30 * time.Second
	// pings is how many intervals an idle connection is watched.
	pings = 2
	// early is how many connections come and go first: what they leave behind is not the others' memory.
	early = 200
	// settleTime is how long a server has to notice that connections are gone, and the kernel that memory is.
	settleTime = 250 * time.Millisecond
)

// idle measures what a connection costs that is subscribed to a channel and quiet.
func (r *rig) idle(ctx context.Context, spec server.Spec) (report.Figures, error) {
	s, err := r.begin(ctx, spec, r.settings.IdlePing, load.Task{Connections: early, Channels: 1})
	if err != nil {
		return report.Figures{}, err
	}
	f, err := r.watchIdle(ctx, s)
	return f, errors.Join(err, s.end())
}

func (r *rig) watchIdle(ctx context.Context, s *session) (report.Figures, error) {
	if err := s.fleet.Close(); err != nil {
		return report.Figures{}, err
	}
	before, err := s.resident(ctx)
	if err != nil {
		return report.Figures{}, err
	}
	many := r.settings.IdleConnections
	if err := s.open(ctx, r.launch, load.Task{Connections: many, Channels: 1}); err != nil {
		return report.Figures{}, err
	}
	cpu, err := s.cpuOf(ctx, pings*r.settings.IdlePing)
	if err != nil {
		return report.Figures{}, err
	}
	after, err := s.resident(ctx)
	if err != nil {
		return report.Figures{}, err
	}
	got, err := s.fleet.Total()
	perPing := micros(cpu) / float64(many) / pings
	return report.Figures{
		Resident:    float64(after-before) / 1024 / float64(many),
		IdleCPU:     perPing / usualPing.Seconds(),
		Connections: float64(many) / s.opened.Took.Seconds(),
		Closed:      got.Closed,
	}, err
}

// resident is the server's memory once it has given back what it can. It is asked twice, since what it
// closes the first time is garbage the second.
func (s *session) resident(ctx context.Context) (int64, error) {
	for range 2 {
		if err := pause(ctx, settleTime); err != nil {
			return 0, err
		}
		if err := s.server.Free(ctx); err != nil {
			return 0, err
		}
	}
	return s.server.Resident()
}

// cpuOf is the server's CPU time over the given time.
func (s *session) cpuOf(ctx context.Context, d time.Duration) (time.Duration, error) {
	if err := pause(ctx, settleTime); err != nil {
		return 0, err
	}
	before, err := s.server.CPU()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := s.server.CPU()
	return after - before, err
}
