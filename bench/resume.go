//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

const (
	// missed is how many messages each client misses before it begins to come back.
	missed = 100
	// resumeHistory is more messages than are published until the slowest is back.
	resumeHistory = 100_000
	// resumeRate is messages a second while they come back.
	resumeRate = 500
)

// resume has many clients on one channel lose their connections, miss messages, and come back at once.
func (r *rig) resume(ctx context.Context, spec server.Spec) (report.Figures, error) {
	n, err := r.beginNodes(ctx, spec, resumeHistory)
	if err != nil {
		return report.Figures{}, err
	}
	f, err := r.comeBack(ctx, n)
	return f, errors.Join(err, n.end())
}

func (r *rig) comeBack(ctx context.Context, n *nodes) (report.Figures, error) {
	clients := load.Task{Connections: r.settings.Subscribers, Channels: 1}
	fleet, _, err := n.open(ctx, n.far, clients)
	if err != nil {
		return report.Figures{}, err
	}
	plan := publish.Plan{Channels: 1, Size: r.settings.Payload, Duration: r.settings.Duration, Publishers: 1, Most: warmUp}
	if _, got, err := n.publish(ctx, plan, fleet); err != nil || got[0].Lost > 0 {
		return report.Figures{}, errors.Join(err, lostBefore(got))
	}
	// All have got the same, so all of them are where the channel is.
	clients.Since, err = n.far.Position(ctx, load.Channel(0))
	if err != nil {
		return report.Figures{}, err
	}
	if err := fleet.Close(); err != nil {
		return report.Figures{}, err
	}
	plan.Most = missed
	before, err := publish.Ask(ctx, n.near.Port, plan)
	if err != nil {
		return report.Figures{}, err
	}
	clients.Protocol, clients.Parallel = n.far.Spec.Resume, clients.Connections
	plan.Most, plan.Rate = 0, resumeRate
	back, published, err := n.openWhilePublishing(ctx, clients, plan)
	if err != nil {
		return report.Figures{}, err
	}
	got, err := await(ctx, back, []int{before.Messages + published.Messages})
	if err != nil {
		return report.Figures{}, err
	}
	f := counted(published, got)
	f.P50, f.P99, f.Max = got.Resumed.Quantile(0.5), got.Resumed.Quantile(0.99), got.Resumed.Max()
	f.Twice = got.Twice
	if late := clients.Connections - int(got.Resumed.Count()); late > 0 {
		err = fmt.Errorf("%d of %d clients have not caught up while messages were published", late, clients.Connections)
	}
	return f, err
}

func lostBefore(got []load.Answer) error {
	if len(got) > 0 && got[0].Lost > 0 {
		return fmt.Errorf("%d messages are lost before anybody was cut", got[0].Lost)
	}
	return nil
}

// openWhilePublishing opens connections as soon as the plan is being carried out, and returns when it has been.
func (n *nodes) openWhilePublishing(ctx context.Context, task load.Task, plan publish.Plan) (*load.Fleet, publish.Result, error) {
	type outcome struct {
		published publish.Result
		err       error
	}
	done := make(chan outcome, 1)
	go func() {
		published, err := publish.Ask(ctx, n.near.Port, plan)
		done <- outcome{published, err}
	}()
	fleet, _, err := n.open(ctx, n.far, task)
	o := <-done
	return fleet, o.published, errors.Join(err, o.err)
}
