//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/herald-events/herald/bench/internal/chore"
	"github.com/herald-events/herald/bench/internal/report"
)

const (
	// auditWriters are many, since all that wait at a time are written at once.
	auditWriters = 256
	// usualPage is what the server API takes where nothing is said; longestPage has a walk take few calls.
	usualPage, longestPage = 100, 1000
)

// auditFilter is a kind of page of the audit log.
type auditFilter struct {
	name  string
	query func(log auditLog, n int) url.Values // of the n-th page
}

// auditLog is how many entries there are, and how many pages are read with each filter.
type auditLog struct{ entries, pages int }

// between is the part of the log that begins with an entry and has so many.
func (l auditLog) between(first, entries int) url.Values {
	at := func(n int) string {
		return chore.AuditBegins.Add(time.Duration(n) * chore.AuditStep).Format(time.RFC3339Nano)
	}
	return url.Values{"from": {at(first)}, "to": {at(first + entries)}}
}

// part is a part of the log somewhere in it.
func (l auditLog) part(entries int) url.Values {
	return l.between(rand.N(l.entries-entries+1), entries)
}

// with adds filters.
func with(values url.Values, pairs ...string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// auditFilters are the filters of GET /api/v1/audit and what they make together, each of what is often found, seldom,
// and never.
var auditFilters = []auditFilter{
	{"none", func(auditLog, int) url.Values { return url.Values{} }},
	{"actor", func(_ auditLog, n int) url.Values { return with(url.Values{}, "actor", chore.User(n)) }},
	{"unknown actor", func(_ auditLog, n int) url.Values { return with(url.Values{}, "actor", "nobody-"+strconv.Itoa(n)) }},
	{"action", func(auditLog, int) url.Values { return with(url.Values{}, "action", chore.UsualAction) }},
	{"rare action", func(auditLog, int) url.Values { return with(url.Values{}, "action", chore.RareAction) }},
	{"actor, action", func(_ auditLog, n int) url.Values {
		return with(url.Values{}, "actor", chore.User(n), "action", chore.UsualAction)
	}},
	{"actor, rare action", func(_ auditLog, n int) url.Values {
		return with(url.Values{}, "actor", chore.User(n), "action", chore.RareAction)
	}},
	{"time", func(l auditLog, _ int) url.Values { return l.part(l.entries / 100) }},
	{"actor, time", func(l auditLog, n int) url.Values { return with(l.part(l.entries/4), "actor", chore.User(n)) }},
	{"rare action, time", func(l auditLog, _ int) url.Values { return with(l.part(l.entries/4), "action", chore.RareAction) }},
	{"actor, action, time", func(l auditLog, n int) url.Values {
		return with(l.part(l.entries/4), "actor", chore.User(n), "action", chore.UsualAction)
	}},
}

// deepFilters are of pages in the middle of what they find, each got to from the one before.
var deepFilters = []auditFilter{
	{"none, deep", func(auditLog, int) url.Values { return url.Values{} }},
	{"time, deep", func(l auditLog, _ int) url.Values { return l.between(0, l.entries) }},
}

// audit fills an audit log, and measures what it takes to read a page of it, and to verify it.
func (r *rig) audit(ctx context.Context, k *keeper) (report.Figures, error) {
	written, err := k.do(ctx, chore.Fill, chore.Plan{Workers: auditWriters, Most: r.settings.AuditEntries})
	if err != nil {
		return report.Figures{}, err
	}
	f := report.Figures{Published: written.Calls, Expected: written.Calls, Written: written.Rate()}
	if err := k.slowestPage(ctx, auditLog{written.Calls, r.settings.Samples}, &f); err != nil {
		return f, err
	}
	verified, err := k.do(ctx, chore.Verify, chore.Plan{})
	f.Verified, f.Lost = verified.Rate(), written.Calls-verified.Calls
	return f, err
}

// slowestPage notes the times of the filter with the longest p99.
func (k *keeper) slowestPage(ctx context.Context, log auditLog, f *report.Figures) error {
	note := func(name string, read chore.Result) {
		if p99 := read.Took.Quantile(0.99); f.Filter == "" || p99 > f.P99 {
			f.Filter, f.P50, f.P99, f.Max = name, read.Took.Quantile(0.5), p99, read.Took.Max()
		}
	}
	for _, filter := range auditFilters {
		read, err := chore.Plan{Workers: 1, Most: log.pages}.Run(ctx, func(ctx context.Context, n int) error {
			_, err := k.server.API(ctx, http.MethodGet, "/audit?"+filter.query(log, n).Encode(), nil)
			return err
		})
		if err != nil {
			return fmt.Errorf("a page by %s: %w", filter.name, err)
		}
		note(filter.name, read)
	}
	for _, filter := range deepFilters {
		read, err := k.deepPages(ctx, log, filter.query(log, 0))
		if err != nil {
			return fmt.Errorf("a page by %s: %w", filter.name, err)
		}
		note(filter.name, read)
	}
	return nil
}

// deepPages walks to the middle of the log, and times pages from there on.
func (k *keeper) deepPages(ctx context.Context, log auditLog, query url.Values) (chore.Result, error) {
	next := func(limit int) error {
		query.Set("limit", strconv.Itoa(limit))
		text, err := k.server.API(ctx, http.MethodGet, "/audit?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		var page struct{ NextCursor string }
		err = json.Unmarshal(text, &page)
		query.Set("cursor", page.NextCursor) // at the end it begins anew
		return err
	}
	for range max(log.entries/2/longestPage, 1) {
		if err := next(longestPage); err != nil {
			return chore.Result{}, err
		}
	}
	return chore.Plan{Workers: 1, Most: log.pages}.Run(ctx, func(context.Context, int) error { return next(usualPage) })
}
