//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/publish"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// within is a load process that is none: its connections are this process's own.
func within(context.Context) (io.WriteCloser, io.Reader, func() error, error) {
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := load.Run(inRead, outWrite)
		_ = outWrite.Close() // of a pipe in memory, it cannot fail
		ended <- err
	}()
	return inWrite, outRead, func() error { return <-ended }, nil
}

// servers builds for all tests, each server once.
var servers = &server.Builder{Dir: ".", Offline: true}

func TestMain(m *testing.M) {
	bin, err := os.MkdirTemp("", "herald-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	servers.Bin = bin
	code := m.Run()
	_ = os.RemoveAll(bin) // in the system's own directory for what is temporary
	os.Exit(code)
}

// newRig measures little, and quickly.
func newRig(t *testing.T) *rig {
	t.Helper()
	return &rig{
		builder: servers,
		launch:  within,
		settings: report.Settings{
			Payload: 128, RelayPayload: 256, Subscribers: 20, Duration: 200 * time.Millisecond, MostDeliveries: 2000,
			IdleConnections: 300, IdlePing: time.Second, // who is silent for two of them is closed: also on a busy machine that is enough
			Samples: 20, WebhookEvents: 200, AuditEntries: 3000,
		},
	}
}

// TestEveryServerDelivers: each server is started, subscribed to in its own protocol on several channels,
// and delivers every message once to who is meant.
func TestEveryServerDelivers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, spec := range server.Specs {
		if !takesPart(spec, report.Flood) && !spec.Stream {
			continue // it is several, or for what is kept: those have tests of their own
		}
		t.Run(spec.Key, func(t *testing.T) {
			f, err := r.flood(t.Context(), spec, crowd{channels: 3, subscribers: 5})
			if errors.Is(err, server.ErrNoNode) || errors.Is(err, server.ErrNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Published == 0 || f.Expected != 5*f.Published {
				t.Errorf("published %d messages, of which %d are expected with 5 subscribers each", f.Published, f.Expected)
			}
			checkNothingLost(t, f)
			if f.Deliveries <= 0 || f.CPU <= 0 || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 {
				t.Errorf("got %+v, want figures that make sense", f)
			}
		})
	}
}

func checkNothingLost(t *testing.T, f report.Figures) {
	t.Helper()
	if f.Lost != 0 || f.Extra != 0 || f.Closed != 0 || f.Refused != 0 {
		t.Errorf("got %+v, want nothing lost, extra, closed or refused", f)
	}
}

func TestAPacedRunTimesEveryMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f, err := r.paced(t.Context(), server.Specs[0], 100)
	if err != nil {
		t.Fatal(err)
	}
	checkNothingLost(t, f)
	if f.Published != 20 || f.Expected != 20*20 || f.P99 <= 0 || f.Deliveries != 0 {
		t.Errorf("got %+v, want 20 messages to 20 subscribers each, and no rate", f)
	}
}

// TestStoppedReadersAreNotWaitedFor: what they do not read is not lost, and the others get theirs.
func TestStoppedReadersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f, err := r.stopped(t.Context(), server.Specs[0], 100, 5)
	if err != nil {
		t.Fatal(err)
	}
	checkNothingLost(t, f)
	if f.Expected != 16*f.Published {
		t.Errorf("%d deliveries are expected of %d messages, want those to the 16 of 20 that read", f.Expected, f.Published)
	}
}

// TestIdleConnectionsAreKeptAlive: pings are answered, or the server would close.
func TestIdleConnectionsAreKeptAlive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f, err := r.idle(t.Context(), server.Specs[0])
	if err != nil {
		t.Fatal(err)
	}
	if f.Closed != 0 || f.Connections <= 0 || f.IdleCPU <= 0 {
		t.Errorf("got %+v, want none closed, a rate and the CPU time of pings", f)
	}
}

// TestSeveralProcessesCountAsOne: so many connections that one process could not have them.
func TestSeveralProcessesCountAsOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	task := load.Task{Connections: 10, Channels: 4, PerProcess: 3}
	s, err := r.begin(t.Context(), server.Specs[0], noPing, task)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.measure(t.Context(), publish.Plan{Channels: 4, Size: 64, Duration: time.Minute, Most: 40})
	if err := errors.Join(err, s.end()); err != nil {
		t.Fatal(err)
	}
	checkNothingLost(t, f)
	if f.Published != 40 || f.Expected != 100 {
		t.Errorf("got %+v, want 40 messages: 10 to each of 3, 3, 2 and 2 subscribers", f)
	}
}

func TestRoundsGoOverAllServers(t *testing.T) {
	o, err := parseOptions([]string{"-workloads", "b,g", "-servers", "herald,gws,herald-sse", "-rounds", "2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, j := range (&rig{settings: o.settings}).jobs(o) {
		got = append(got, strings.Join([]string{j.workload, j.variant, j.spec.Key}, " "))
	}
	want := slices.Concat(
		slices.Repeat([]string{"b 100/s herald", "b 100/s gws", "b 200/s herald", "b 200/s gws"}, 2),
		slices.Repeat([]string{"g flood herald-sse", "g 100/s herald-sse", "g 200/s herald-sse", "g idle herald-sse"}, 2),
	)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryWorkloadHasItsVariantsAndRounds(t *testing.T) {
	o := defaults()
	for _, workload := range allWorkloads {
		if n := len((&rig{settings: o.settings}).variants(workload, o.curve)); n == 0 || o.settings.Rounds[workload] == 0 {
			t.Errorf("%s: got %d variants and %d rounds", workload, n, o.settings.Rounds[workload])
		}
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	for _, args := range [][]string{{"-workloads", "z"}, {"-servers", "nobody"}, {"more"}, {"-rounds", "x"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}

// TestFiguresAreShownAgain: what a run has saved can be looked at later.
func TestFiguresAreShownAgain(t *testing.T) {
	results := &report.Results{}
	results.Add(report.Flood, "", "herald", "Herald", report.Figures{Deliveries: 1000, Expected: 1})
	file := filepath.Join(t.TempDir(), "results.json")
	if err := results.Save(file); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-from", file}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if out.String() != results.Table() {
		t.Errorf("got %s, want %s", out.String(), results.Table())
	}
}
