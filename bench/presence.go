//go:build linux

package main

import (
	"context"
	"errors"
	"sync"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// presenceOf has so many members join one presence channel, half of them on each node, and counts what Redis
// does for a join.
func (r *rig) presenceOf(members int) runner {
	return func(ctx context.Context, spec server.Spec) (report.Figures, error) {
		n, err := r.beginNodes(ctx, spec, 0)
		if err != nil {
			return report.Figures{}, err
		}
		f, err := n.join(ctx, members)
		return f, errors.Join(err, n.end())
	}
}

func (n *nodes) join(ctx context.Context, members int) (report.Figures, error) {
	commands, err := n.redis.Commands()
	if err != nil {
		return report.Figures{}, err
	}
	before, err := n.usage()
	if err != nil {
		return report.Figures{}, err
	}
	opened, err := n.openOnBoth(ctx, load.Task{Protocol: n.near.Spec.Presence, Connections: members, Channels: 1})
	if err != nil {
		return report.Figures{}, err
	}
	f := report.Figures{Connections: float64(members) / opened.Took.Seconds(), Closed: opened.Closed}
	if err := n.charge(&f, before, members); err != nil {
		return f, err
	}
	after, err := n.redis.Commands()
	for name, count := range after {
		f.RedisCommands += float64(count-commands[name]) / float64(members)
	}
	f.RedisCalls = float64(after["evalsha"]-commands["evalsha"]) / float64(members)
	return f, err
}

// openOnBoth opens half of the connections on either node, at the same time.
func (n *nodes) openOnBoth(ctx context.Context, task load.Task) (load.Answer, error) {
	var (
		wg      sync.WaitGroup
		answers [2]load.Answer
		errs    [2]error
	)
	half := task.Connections / 2
	halves := [2]load.Task{task, task}
	halves[0].Connections = half
	halves[1].First, halves[1].Connections = half, task.Connections-half
	for i, on := range []*server.Server{n.near, n.far} {
		wg.Go(func() { _, answers[i], errs[i] = n.open(ctx, on, halves[i]) })
	}
	wg.Wait()
	sum := answers[0]
	sum.Open += answers[1].Open
	sum.Closed += answers[1].Closed
	sum.Took = max(sum.Took, answers[1].Took)
	return sum, errors.Join(errs[:]...)
}
