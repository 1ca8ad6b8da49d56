//go:build linux

package main

import (
	"context"
	"errors"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

const (
	// relayPublishers keep a node and Redis busy, since each of them waits for its call.
	relayPublishers = 64
	// hopRate is messages a second, which are far below what two nodes can do.
	hopRate = 1000
)

// relayOf measures how many messages go from one node over Redis to another, where each channel has one subscriber.
func (r *rig) relayOf(channels int, history int) runner {
	return func(ctx context.Context, spec server.Spec) (report.Figures, error) {
		n, err := r.beginNodes(ctx, spec, history)
		if err != nil {
			return report.Figures{}, err
		}
		f, err := r.relay(ctx, n, channels)
		return f, errors.Join(err, n.end())
	}
}

func (r *rig) relay(ctx context.Context, n *nodes, channels int) (report.Figures, error) {
	fleet, _, err := n.open(ctx, n.far, load.Task{Connections: channels, Channels: channels})
	if err != nil {
		return report.Figures{}, err
	}
	plan := publish.Plan{
		Channels: channels, Size: r.settings.RelayPayload, Publishers: relayPublishers,
		Duration: r.settings.Duration, Most: r.settings.MostDeliveries,
	}
	warm := plan
	warm.Most = warmUp + 2*channels // each channel's history has begun by then
	if _, _, err := n.publish(ctx, warm, fleet); err != nil {
		return report.Figures{}, err
	}
	before, err := n.usage()
	if err != nil {
		return report.Figures{}, err
	}
	published, got, err := n.publish(ctx, plan, fleet)
	if err != nil {
		return report.Figures{}, err
	}
	f := counted(published, got[0])
	if got[0].Total > 0 {
		f.Deliveries = float64(got[0].Total) / got[0].Last.Sub(published.Begun).Seconds()
	}
	return f, n.charge(&f, before, published.Messages)
}

// hopOf measures how much later a message is at the other node, with one subscriber at each.
func (r *rig) hopOf(history int) runner {
	return func(ctx context.Context, spec server.Spec) (report.Figures, error) {
		n, err := r.beginNodes(ctx, spec, history)
		if err != nil {
			return report.Figures{}, err
		}
		f, err := r.hop(ctx, n)
		return f, errors.Join(err, n.end())
	}
}

func (r *rig) hop(ctx context.Context, n *nodes) (report.Figures, error) {
	one := load.Task{Connections: 1, Channels: 1}
	near, _, errNear := n.open(ctx, n.near, one)
	far, _, errFar := n.open(ctx, n.far, one)
	if err := errors.Join(errNear, errFar); err != nil {
		return report.Figures{}, err
	}
	plan := publish.Plan{Channels: 1, Size: r.settings.RelayPayload, Rate: hopRate, Duration: r.settings.Duration}
	warm := plan
	warm.Rate, warm.Most = 0, warmUp
	if _, _, err := n.publish(ctx, warm, near, far); err != nil {
		return report.Figures{}, err
	}
	published, got, err := n.publish(ctx, plan, near, far)
	if err != nil {
		return report.Figures{}, err
	}
	f := counted(published, got[1])
	f.NearP50, f.NearP99 = got[0].Latency.Quantile(0.5), got[0].Latency.Quantile(0.99)
	f.P50, f.P99, f.Max = got[1].Latency.Quantile(0.5), got[1].Latency.Quantile(0.99), got[1].Latency.Max()
	return f, nil
}

// counted is what every run counts.
func counted(published publish.Result, got load.Answer) report.Figures {
	return report.Figures{
		Published: published.Messages, Refused: published.Refused,
		Expected: got.Expected, Lost: got.Lost, Extra: got.Extra, Closed: got.Closed,
	}
}

// publish has the near node carry the plan out, and returns when its messages have come to each of the fleets.
func (n *nodes) publish(ctx context.Context, plan publish.Plan, to ...*load.Fleet) (publish.Result, []load.Answer, error) {
	for _, fleet := range to {
		if err := fleet.Reset(plan.Rate > 0); err != nil {
			return publish.Result{}, nil, err
		}
	}
	published, err := publish.Ask(ctx, n.near.Port, plan)
	if err != nil {
		return published, nil, err
	}
	answers := make([]load.Answer, len(to))
	for i, fleet := range to {
		if answers[i], err = await(ctx, fleet, published.Channel); err != nil {
			return published, nil, err
		}
	}
	return published, answers, nil
}
