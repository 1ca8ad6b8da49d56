//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// options are what the command line says.
type options struct {
	workloads []string
	servers   []server.Spec
	curve     []int // subscribers of workload h
	settings  report.Settings

	out     string // the results, as JSON
	from    string // show these results instead of measuring
	docs    bool   // write the figures of the documentation
	verbose bool
}

var allWorkloads = []string{
	report.Flood, report.Paced, report.Channels, report.Users, report.Idle, report.Stopped, report.Streams, report.Curve,
	report.Relay, report.Hop, report.Presence, report.Resume,
	report.Durable, report.Work, report.Webhooks, report.Audit,
}

func defaults() options {
	return options{
		curve: []int{100, 1_000, 5_000, 10_000, 15_000},
		settings: report.Settings{
			Payload: 128, Subscribers: 1_000,
			Duration: 3 * time.Second, MostDeliveries: 4_000_000,
			RelayPayload: 256, Members: []int{1_000, 10_000},
			IdleConnections: 10_000, IdlePing: 5 * time.Second,
			Samples: 200, WebhookEvents: 10_000, AuditEntries: 1_000_000,
			Rounds: map[string]int{
				report.Flood: 3, report.Paced: 3, report.Channels: 1, report.Users: 1,
				report.Idle: 1, report.Stopped: 7, report.Streams: 1, report.Curve: 1,
				report.Relay: 3, report.Hop: 3, report.Presence: 1, report.Resume: 3,
				report.Durable: 3, report.Work: 3, report.Webhooks: 3, report.Audit: 1,
			},
		},
	}
}

// quick makes everything short: the figures say whether all works, and little more.
func (o *options) quick() {
	o.settings.Quick = true
	o.settings.Duration, o.settings.MostDeliveries = 500*time.Millisecond, 200_000
	o.settings.IdleConnections, o.settings.IdlePing = 1_000, time.Second
	o.curve = []int{100, 1_000}
	o.settings.Members = []int{100, 1_000}
	o.settings.Samples, o.settings.WebhookEvents, o.settings.AuditEntries = 50, 1_000, 20_000
	for workload := range o.settings.Rounds {
		o.settings.Rounds[workload] = 1
	}
}

func parseOptions(args []string, usage io.Writer) (options, error) {
	o := defaults()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	workloads := flags.String("workloads", strings.Join(allWorkloads, ","), "which workloads, by `letters`; docs/performance.md explains them")
	servers := flags.String("servers", "", "which servers, comma-separated `names`; empty: all of "+strings.Join(keys(), ", "))
	quick := flags.Bool("quick", false, "everything once and short, in about five minutes")
	rounds := flags.Int("rounds", 0, "rounds of every workload; 0: as many as each needs")
	duration := flags.Duration("duration", 0, "how long each run publishes; 0: 3s")
	flags.StringVar(&o.out, "o", "results/latest.json", "the `file` for all figures")
	flags.StringVar(&o.from, "from", "", "show the figures of this `file` instead of measuring")
	flags.BoolVar(&o.docs, "docs", false, "write the figures into docs/performance.md and docs/performance.svg")
	flags.BoolVar(&o.verbose, "v", false, "print the figures of each run")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	if *quick {
		o.quick()
	}
	if *rounds > 0 {
		for workload := range o.settings.Rounds {
			o.settings.Rounds[workload] = *rounds
		}
	}
	if *duration > 0 {
		o.settings.Duration = *duration
	}
	return o, o.choose(*workloads, *servers)
}

func (o *options) choose(workloads, servers string) error {
	for name := range strings.SplitSeq(workloads, ",") {
		if !slices.Contains(allWorkloads, name) {
			return fmt.Errorf("no workload is called %q; there are %s", name, strings.Join(allWorkloads, ", "))
		}
		o.workloads = append(o.workloads, name)
	}
	if servers == "" {
		o.servers = server.Specs
		return nil
	}
	for name := range strings.SplitSeq(servers, ",") {
		spec, ok := server.Find(name)
		if !ok {
			return fmt.Errorf("no server is called %q; there are %s", name, strings.Join(keys(), ", "))
		}
		o.servers = append(o.servers, spec)
	}
	return nil
}

func keys() []string {
	var all []string
	for _, s := range server.Specs {
		all = append(all, s.Key)
	}
	return all
}
