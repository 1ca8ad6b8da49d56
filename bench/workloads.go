//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// job is one run of one server under one workload.
type job struct {
	workload string
	variant  string
	spec     server.Spec
	run      runner
}

// runner measures one server once.
type runner func(context.Context, server.Spec) (report.Figures, error)

// variant is a form of a workload.
type variant struct {
	name string
	run  runner
}

// paces are messages a second.
var paces = []float64{100, 200}

// stoppedEvery has one reader in a hundred stop.
const stoppedEvery = 100

// manyChannels are so many that a message seldom finds another one of its channel on its way.
const manyChannels = 1000

// kept is how many messages of a channel are kept where there is a history.
const kept = 1000

// variants are the forms of a workload, in the order of the tables.
func (r *rig) variants(workload string, curve []int) []variant {
	switch workload {
	case report.Flood:
		return []variant{{"", r.floodOf(crowd{1, r.settings.Subscribers})}}
	case report.Paced:
		var all []variant
		for _, rate := range paces {
			all = append(all, variant{report.Pace(rate), func(ctx context.Context, spec server.Spec) (report.Figures, error) {
				return r.paced(ctx, spec, rate)
			}})
		}
		return all
	case report.Channels:
		return []variant{{"", r.floodOf(crowd{1_000, 10})}}
	case report.Users:
		return []variant{{"", r.floodOf(crowd{1_000, 1})}}
	case report.Idle:
		return []variant{{"", r.idle}}
	case report.Stopped:
		return []variant{{report.AllRead, r.stoppedOf(0)}, {report.SomeStopped, r.stoppedOf(stoppedEvery)}}
	case report.Streams:
		return slices.Concat(
			named(report.StreamFlood, r.variants(report.Flood, nil)), r.variants(report.Paced, nil),
			named(report.StreamIdle, r.variants(report.Idle, nil)),
		)
	case report.Curve:
		var all []variant
		for _, subscribers := range curve {
			all = append(all, variant{fmt.Sprint(subscribers), r.shorter().floodOf(crowd{1, subscribers})})
		}
		return all
	case report.Relay:
		return []variant{
			{report.RelayPlain, r.relayOf(1, 0)}, {report.RelayPlainMany, r.relayOf(manyChannels, 0)},
			{report.RelayKept, r.relayOf(1, kept)}, {report.RelayKeptMany, r.relayOf(manyChannels, kept)},
		}
	case report.Hop:
		return []variant{{report.HopPlain, r.hopOf(0)}, {report.HopKept, r.hopOf(kept)}}
	case report.Presence:
		var all []variant
		for _, members := range r.settings.Members {
			all = append(all, variant{fmt.Sprint(members), r.presenceOf(members)})
		}
		return all
	case report.Resume:
		return []variant{{"", r.resume}}
	case report.Durable:
		return []variant{{report.DurableMany, r.durableOf(keptCallers)}, {report.DurableOne, r.durableOf(1)}}
	case report.Work:
		return []variant{{"", r.keeping(r.work)}}
	case report.Webhooks:
		return []variant{{"", r.keeping(r.webhooks)}}
	case report.Audit:
		return []variant{{"", r.keeping(r.audit)}}
	}
	return nil
}

// takesPart reports whether a server is measured under a workload.
func takesPart(spec server.Spec, workload string) bool {
	switch workload {
	case report.Streams:
		return spec.Stream
	case report.Relay, report.Hop:
		return spec.Redis
	case report.Presence:
		return spec.Presence != ""
	case report.Resume:
		return spec.Resume != ""
	case report.Durable, report.Work, report.Webhooks, report.Audit:
		return spec.Store != ""
	}
	return !spec.Stream && !spec.Redis && spec.Store == ""
}

func named(name string, variants []variant) []variant {
	for i := range variants {
		variants[i].name = name
	}
	return variants
}

func (r *rig) floodOf(to crowd) runner {
	return func(ctx context.Context, spec server.Spec) (report.Figures, error) { return r.flood(ctx, spec, to) }
}

func (r *rig) stoppedOf(every int) runner {
	return func(ctx context.Context, spec server.Spec) (report.Figures, error) {
		return r.stopped(ctx, spec, paces[0], every)
	}
}

// shorter is the rig of the curve, which has many runs.
func (r *rig) shorter() *rig {
	short := *r
	short.settings.MostDeliveries /= 4
	return &short
}

// jobs are all runs in their order. Rounds go over all servers and variants before the next begins, so that what
// disturbs the machine for a while disturbs everybody.
func (r *rig) jobs(o options) []job {
	var jobs []job
	for _, workload := range o.workloads {
		variants := r.variants(workload, o.curve)
		for range r.settings.Rounds[workload] {
			for _, v := range variants {
				for _, spec := range o.servers {
					if takesPart(spec, workload) {
						jobs = append(jobs, job{workload, v.name, spec, v.run})
					}
				}
			}
		}
	}
	return jobs
}
