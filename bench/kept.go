//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/herald-events/herald/bench/internal/chore"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// keptCallers keep a database busy, since each of them waits for its call.
const keptCallers = 64

// keeper is a server that keeps things in a new database.
type keeper struct {
	server   *server.Server
	postgres *server.Postgres // nil: it is a file
	dir      string           // of the file; empty: it is a Postgres
}

func (r *rig) beginKeeper(ctx context.Context, spec server.Spec) (*keeper, error) {
	k := &keeper{}
	storeURL, err := k.database(ctx, spec.Store)
	if err == nil {
		k.server, err = r.builder.Start(ctx, spec, server.Setup{Ping: noPing, Store: storeURL})
	}
	if err != nil {
		return nil, errors.Join(err, k.end())
	}
	return k, nil
}

// database makes a database and returns its URL.
func (k *keeper) database(ctx context.Context, kind string) (storeURL string, err error) {
	if kind == server.PostgreSQL {
		if k.postgres, err = server.StartPostgres(ctx); err != nil {
			return "", err
		}
		return k.postgres.URL, nil
	}
	k.dir, err = os.MkdirTemp("", "bench-sqlite-")
	return "sqlite:" + filepath.Join(k.dir, "herald.db"), err
}

// end stops the server first, which does not see its database end.
func (k *keeper) end() error {
	var errs []error
	if k.server != nil {
		errs = append(errs, k.server.Stop())
	}
	if k.postgres != nil {
		errs = append(errs, k.postgres.Stop())
	}
	if k.dir != "" {
		errs = append(errs, os.RemoveAll(k.dir))
	}
	return errors.Join(errs...)
}

// keeping measures with a new server.
func (r *rig) keeping(measure func(context.Context, *keeper) (report.Figures, error)) runner {
	return func(ctx context.Context, spec server.Spec) (report.Figures, error) {
		k, err := r.beginKeeper(ctx, spec)
		if err != nil {
			return report.Figures{}, err
		}
		f, err := measure(ctx, k)
		return f, errors.Join(err, k.end())
	}
}

// do has the server do a chore by itself.
func (k *keeper) do(ctx context.Context, path string, plan chore.Plan) (r chore.Result, err error) {
	err = chore.Ask(ctx, k.server.Port, path, plan, &r)
	return r, err
}

// spent is CPU time.
type spent struct{ server, database time.Duration }

func (k *keeper) spent() (s spent, err error) {
	if s.server, err = k.server.CPU(); err != nil || k.postgres == nil {
		return s, err
	}
	s.database, err = k.postgres.CPU()
	return s, err
}

// charge notes what each of so many has cost since before.
func (k *keeper) charge(f *report.Figures, before spent, n int) error {
	after, err := k.spent()
	if err != nil || n == 0 {
		return err
	}
	f.CPU = micros(after.server-before.server) / float64(n)
	f.DatabaseCPU = micros(after.database-before.database) / float64(n)
	return nil
}

// durableOf measures how fast domain events are published that outlive the process.
func (r *rig) durableOf(publishers int) runner {
	return r.keeping(func(ctx context.Context, k *keeper) (report.Figures, error) {
		warm, err := k.do(ctx, chore.Publish, chore.Plan{Workers: publishers, Most: warmUp})
		if err != nil {
			return report.Figures{}, err
		}
		before, err := k.spent()
		if err != nil {
			return report.Figures{}, err
		}
		published, err := k.do(ctx, chore.Publish, chore.Plan{Workers: publishers, Duration: r.settings.Duration})
		if err != nil {
			return report.Figures{}, err
		}
		f := report.Figures{
			Deliveries: published.Rate(), Published: published.Calls, Expected: published.Calls,
			P50: published.Took.Quantile(0.5), P99: published.Took.Quantile(0.99), Max: published.Took.Max(),
		}
		if err := k.charge(&f, before, published.Calls); err != nil {
			return f, err
		}
		// Each event has an entry in the audit log, or it is lost.
		verified, err := k.do(ctx, chore.Verify, chore.Plan{})
		f.Lost = warm.Calls + published.Calls - verified.Calls
		return f, err
	})
}

// work measures how fast jobs are done, and how soon one starts when the queue is idle.
func (r *rig) work(ctx context.Context, k *keeper) (report.Figures, error) {
	if _, err := k.do(ctx, chore.Jobs, chore.Plan{Workers: keptCallers, Most: warmUp}); err != nil {
		return report.Figures{}, err
	}
	before, err := k.spent()
	if err != nil {
		return report.Figures{}, err
	}
	done, err := k.do(ctx, chore.Jobs, chore.Plan{Workers: keptCallers, Duration: r.settings.Duration})
	if err != nil {
		return report.Figures{}, err
	}
	f := report.Figures{
		Deliveries: done.Rate(), Published: done.Calls, Expected: done.Calls, Lost: done.Lost, Twice: done.Twice,
	}
	if err := k.charge(&f, before, done.Calls); err != nil {
		return f, err
	}
	started, err := k.do(ctx, chore.Starts, chore.Plan{Workers: 1, Most: r.settings.Samples, Idle: true})
	f.P50, f.P99, f.Max = started.Took.Quantile(0.5), started.Took.Quantile(0.99), started.Took.Max()
	f.Lost += started.Lost
	f.Twice += started.Twice
	return f, err
}
