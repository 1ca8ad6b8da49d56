//go:build linux

package main

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// overDatabases measures the workload with each server that takes part in it, but for those whose database is not there.
func overDatabases(t *testing.T, workload string, check func(*testing.T, *rig, report.Figures)) {
	t.Parallel()
	r := newRig(t)
	for _, spec := range server.Specs {
		if !takesPart(spec, workload) {
			continue
		}
		t.Run(spec.Key, func(t *testing.T) {
			for _, v := range r.variants(workload, nil) {
				f, err := v.run(t.Context(), spec)
				if errors.Is(err, server.ErrNoPostgres) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatalf("%s: %v", v.name, err)
				}
				checkNothingLost(t, f)
				if f.Published == 0 || f.Expected != f.Published || f.Twice != 0 || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 {
					t.Errorf("%s: got %+v, want each expected once, and times that make sense", v.name, f)
				}
				check(t, r, f)
			}
		})
	}
}

// checkRate wants a rate and what each has cost.
func checkRate(t *testing.T, _ *rig, f report.Figures) {
	t.Helper()
	if f.Deliveries <= 0 || f.CPU <= 0 {
		t.Errorf("got %+v, want a rate and CPU time", f)
	}
}

func TestDurablePublishesAreKept(t *testing.T) { overDatabases(t, report.Durable, checkRate) }

func TestJobsAreDoneOnce(t *testing.T) { overDatabases(t, report.Work, checkRate) }

func TestEventsComeToTheWebhookOnce(t *testing.T) {
	overDatabases(t, report.Webhooks, func(t *testing.T, r *rig, f report.Figures) {
		checkRate(t, r, f)
		if f.Published != r.settings.WebhookEvents {
			t.Errorf("got %d events, want %d", f.Published, r.settings.WebhookEvents)
		}
	})
}

func TestTheAuditLogIsReadAndVerified(t *testing.T) {
	overDatabases(t, report.Audit, func(t *testing.T, r *rig, f report.Figures) {
		if f.Published != r.settings.AuditEntries || f.Written <= 0 || f.Verified <= 0 || f.Filter == "" {
			t.Errorf("got %+v, want %d entries, rates, and a filter", f, r.settings.AuditEntries)
		}
	})
}

// TestTheReceiverCountsEachEventOnce: what comes again is counted apart, and told from what is missing.
func TestTheReceiverCountsEachEventOnce(t *testing.T) {
	r := newReceiver()
	defer r.web.Close()
	next := r.next()
	for _, id := range []string{"evt-1", "evt-2", "evt-1"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.web.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", id)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusNoContent {
			t.Errorf("got %s and %v, want no content", res.Status, err)
		}
	}
	first := <-next
	g, err := r.await(t.Context(), 2)
	if err != nil || g.events != 2 || g.again != 1 || g.last.Before(first) || time.Since(first) < 0 {
		t.Errorf("got %+v and %v, want two events, and one of them again", g, err)
	}
}
