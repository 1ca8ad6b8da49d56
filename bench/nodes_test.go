//go:build linux

package main

import (
	"errors"
	"testing"

	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// overNodes runs the test with each server that takes part in the workload.
func overNodes(t *testing.T, workload string, run func(*testing.T, *rig, server.Spec)) {
	t.Parallel()
	r := newRig(t)
	for _, spec := range server.Specs {
		if takesPart(spec, workload) {
			t.Run(spec.Key, func(t *testing.T) { run(t, r, spec) })
		}
	}
}

// measured runs once, and skips the test where there is no Redis.
func measured(t *testing.T, run runner, spec server.Spec) report.Figures {
	t.Helper()
	f, err := run(t.Context(), spec)
	if errors.Is(err, server.ErrNoRedis) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMessagesReachTheOtherNode: each once, with a history and without one, on one channel and on several.
func TestMessagesReachTheOtherNode(t *testing.T) {
	overNodes(t, report.Relay, func(t *testing.T, r *rig, spec server.Spec) {
		for _, channels := range []int{1, 5} {
			for _, history := range []int{0, kept} {
				f := measured(t, r.relayOf(channels, history), spec)
				if f.Published == 0 || f.Expected != f.Published || f.Extra != 0 || f.Closed != 0 || f.Refused != 0 {
					t.Errorf("got %+v, want each message expected once", f)
				}
				if f.Lost != 0 && spec.Key != "centrifuge-redis" { // which drops what its node has no time for
					t.Errorf("%d messages are lost", f.Lost)
				}
				if f.Deliveries <= 0 || f.CPU <= 0 || f.FarCPU <= 0 || f.RedisCPU <= 0 {
					t.Errorf("got %+v, want figures that make sense", f)
				}
			}
		}
	})
}

func TestAHopIsTimedOnBothNodes(t *testing.T) {
	overNodes(t, report.Hop, func(t *testing.T, r *rig, spec server.Spec) {
		f := measured(t, r.hopOf(kept), spec)
		checkNothingLost(t, f)
		if f.Published != 200 || f.NearP50 <= 0 || f.NearP99 < f.NearP50 || f.P50 <= 0 || f.P99 < f.P50 {
			t.Errorf("got %+v, want 200 messages and times on both nodes", f)
		}
	})
}

func TestJoinsAreCounted(t *testing.T) {
	overNodes(t, report.Presence, func(t *testing.T, r *rig, spec server.Spec) {
		f := measured(t, r.presenceOf(40), spec)
		if f.Closed != 0 || f.Connections <= 0 || f.RedisCommands <= 1 || f.RedisCalls <= 0 {
			t.Errorf("got %+v, want a rate and what Redis has done", f)
		}
	})
}

func TestWhoComesBackGetsEverythingOnce(t *testing.T) {
	overNodes(t, report.Resume, func(t *testing.T, r *rig, spec server.Spec) {
		f := measured(t, r.resume, spec)
		checkNothingLost(t, f)
		if f.Twice != 0 || f.Published != 100 || f.Expected != 20*(missed+100) || f.P50 <= 0 || f.Max < f.P50 {
			t.Errorf("got %+v, want 20 clients with %d messages each, once", f, missed+100)
		}
	})
}
