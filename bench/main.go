//go:build linux

// Command bench measures Herald beside its peers: each server is a process of its own, its subscribers
// are another, and the publishers are here. docs/performance.md says what is measured and how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// loadArgument has this program be the subscribers.
const loadArgument = "load"

// Where things are, seen from the directory of this module, in which the program is run.
const (
	docsPage = "../docs/performance.md"
	picture  = "../docs/performance.svg"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out, log io.Writer) error {
	if len(args) == 1 && args[0] == loadArgument {
		return load.Run(in, out)
	}
	o, err := parseOptions(args, log)
	if err != nil {
		return err
	}
	results, err := o.results(ctx, log)
	if results != nil {
		fmt.Fprint(out, results.Table()) // what there is, even where something has failed
	}
	if err != nil || !o.docs {
		return err
	}
	return errors.Join(results.WriteDocs(docsPage, configurations()), results.WritePicture(picture))
}

func (o options) results(ctx context.Context, log io.Writer) (*report.Results, error) {
	if o.from != "" {
		return report.Load(o.from) // nil with an error
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	r := &rig{
		builder:  &server.Builder{Dir: ".", Bin: bin},
		launch:   load.Self(loadArgument),
		settings: o.settings,
	}
	results := &report.Results{Machine: report.ThisMachine(time.Now()), Settings: o.settings}
	return results, errors.Join(r.runAll(ctx, o, results, log), results.Save(o.out))
}

// runAll runs every job. A server that is not there is left out; one that fails a run is reported, and the
// others go on.
func (r *rig) runAll(ctx context.Context, o options, results *report.Results, log io.Writer) error {
	jobs := r.jobs(o)
	missing := map[string]bool{}
	var failed []error
	for i, j := range jobs {
		if missing[j.spec.Key] {
			continue
		}
		fmt.Fprintf(log, "%3d/%d  %s %-8s %s\n", i+1, len(jobs), j.workload, j.variant, j.spec.Name)
		f, err := j.run(ctx, j.spec)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, server.ErrNoNode), errors.Is(err, server.ErrNoRedis), errors.Is(err, server.ErrNoPostgres):
			missing[j.spec.Key] = true
			fmt.Fprintf(log, "%s is left out: %v\n", j.spec.Name, err)
		case err != nil:
			failed = append(failed, fmt.Errorf("%s %s of %s: %w", j.workload, j.variant, j.spec.Name, err))
		default:
			results.Add(j.workload, j.variant, j.spec.Key, j.spec.Name, f)
			if o.verbose {
				fmt.Fprintf(log, "         %+v\n", f)
			}
		}
	}
	return errors.Join(failed...)
}

func configurations() []report.Configuration {
	var all []report.Configuration
	for _, s := range server.Specs {
		all = append(all, report.Configuration{Server: s.Name, Text: s.Configuration})
	}
	return all
}
