package report

import (
	"fmt"
	"slices"
	"strings"
)

// The names of variants of durable publishes.
const (
	DurableMany = "64 publishers"
	DurableOne  = "1 publisher"
)

var (
	publishes   = column{"publishes/s", deliveries.text}
	jobs        = column{"jobs/s", deliveries.text}
	databaseCPU = column{"database, CPU µs", func(r *Row) string { return digits(r.Median.DatabaseCPU) }}
	startP50    = column{"start, p50 ms", p50.text}
	startP99    = column{"start, p99 ms", p99.text}
	startMost   = column{"start, max ms", most.text}
	idleP50     = column{"idle, p50 ms", p50.text}
	idleP99     = column{"idle, p99 ms", p99.text}
	idleMost    = column{"idle, max ms", most.text}
	written     = column{"written/s", func(r *Row) string { return thousands(r.Median.Written) }}
	verified    = column{"verified/s", func(r *Row) string { return thousands(r.Median.Verified) }}
	filter      = column{"slowest filter", func(r *Row) string { return r.Median.Filter }}
	pageP50     = column{"page, p50 ms", p50.text}
	pageP99     = column{"page, p99 ms", p99.text}
	pageMost    = column{"page, max ms", most.text}
)

// keptSections are the workloads of servers that keep things in a database.
var keptSections = []section{
	{Durable, func(Settings) string { return "(m) Durable publishes, as fast as the call answers" },
		[]column{variantColumn, serverColumn, publishes, cpu, databaseCPU, p50, p99, most, lost}},
	{Work, func(Settings) string { return "(n) Jobs that do nothing; how soon one starts when the queue is idle" },
		[]column{serverColumn, jobs, cpu, databaseCPU, startP50, startP99, startMost, lost, twice}},
	{Webhooks, func(s Settings) string {
		return fmt.Sprintf("(o) %s events to one webhook on loopback; how soon one comes when nothing else does", grouped(int64(s.WebhookEvents)))
	}, []column{serverColumn, deliveries, cpu, databaseCPU, idleP50, idleP99, idleMost, lost, twice}},
	{Audit, func(s Settings) string {
		return fmt.Sprintf("(p) An audit log of %s entries: a page of 100, and its verification", grouped(int64(s.AuditEntries)))
	}, []column{serverColumn, filter, pageP50, pageP99, pageMost, verified, written, lost}},
}

// ownSections are the workloads whose figures are not those of the others.
func ownSections() []section { return slices.Concat(nodeSections, keptSections) }

func hasOwnTable(workload string) bool {
	return slices.ContainsFunc(ownSections(), func(s section) bool { return s.workload == workload })
}

// ownTables are the tables of those workloads, each under its heading.
func (r *Results) ownTables() string {
	var b strings.Builder
	for _, s := range ownSections() {
		if rows := r.of(s.workload); len(rows) > 0 {
			fmt.Fprintf(&b, "\n### %s\n\n%s", s.heading(r.Settings), table(sorted(rows, s.columns[0]), s.columns))
		}
	}
	return b.String()
}
