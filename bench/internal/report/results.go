// Package report makes of the benchmarks' figures what people read: tables, a picture and the figures of
// docs/performance.md.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The workloads, by their letters.
const (
	Flood    = "a"
	Paced    = "b"
	Channels = "c"
	Users    = "d"
	Idle     = "e"
	Stopped  = "f"
	Streams  = "g"
	Curve    = "h"
	Relay    = "i"
	Hop      = "j"
	Presence = "k"
	Resume   = "l"
	Durable  = "m"
	Work     = "n"
	Webhooks = "o"
	Audit    = "p"
)

// Figures are what one run has measured, or the medians of several. Zero is what a run does not measure.
type Figures struct {
	Deliveries  float64       `json:"deliveriesPerSecond,omitempty"`
	CPU         float64       `json:"cpuMicrosPerDelivery,omitempty"`
	P50         time.Duration `json:"p50Nanos,omitempty"`
	P99         time.Duration `json:"p99Nanos,omitempty"`
	Max         time.Duration `json:"maxNanos,omitempty"`
	Resident    float64       `json:"residentKBPerConnection,omitempty"`
	IdleCPU     float64       `json:"idleCPUMicrosPerConnectionAndSecond,omitempty"`
	Connections float64       `json:"connectionsPerSecond,omitempty"`

	// Of two nodes that share a Redis; the others are then of the node that is published to, and the times and
	// counts of the subscribers of the other.
	FarCPU        float64       `json:"farCPUMicrosPerMessage,omitempty"`
	RedisCPU      float64       `json:"redisCPUMicrosPerMessage,omitempty"`
	RedisCommands float64       `json:"redisCommandsPerJoin,omitempty"`
	RedisCalls    float64       `json:"redisScriptCallsPerJoin,omitempty"`
	NearP50       time.Duration `json:"nearP50Nanos,omitempty"`
	NearP99       time.Duration `json:"nearP99Nanos,omitempty"`

	// Of a server that keeps things in a database.
	DatabaseCPU float64 `json:"databaseCPUMicrosEach,omitempty"` // of Postgres's own processes
	Written     float64 `json:"entriesWrittenPerSecond,omitempty"`
	Verified    float64 `json:"entriesVerifiedPerSecond,omitempty"`
	Filter      string  `json:"slowestFilter,omitempty"` // of the audit log's pages, whose times these are

	Published int `json:"published"`
	Refused   int `json:"refused"` // publish calls
	Expected  int `json:"expected"`
	Lost      int `json:"lost"`
	Extra     int `json:"extra"`           // messages that nobody expected
	Twice     int `json:"twice,omitempty"` // messages that came again, where that is looked for
	Closed    int `json:"closed"`          // connections, by the server
}

// Row is one server under one workload.
type Row struct {
	Workload string    `json:"workload"`
	Variant  string    `json:"variant,omitempty"` // of the workload: a pace, a size
	Key      string    `json:"key"`
	Server   string    `json:"server"`
	Median   Figures   `json:"median"`
	Runs     []Figures `json:"runs"`
}

// Results are all figures of a run of the benchmarks.
type Results struct {
	Machine  Machine  `json:"machine"`
	Settings Settings `json:"settings"`
	Rows     []*Row   `json:"rows"`
}

// Settings are what the figures depend on.
type Settings struct {
	Quick           bool           `json:"quick,omitempty"`
	Payload         int            `json:"payloadBytes"`
	Subscribers     int            `json:"subscribers"`
	Duration        time.Duration  `json:"durationNanos"`
	MostDeliveries  int            `json:"mostDeliveries"`
	IdleConnections int            `json:"idleConnections"`
	IdlePing        time.Duration  `json:"idlePingNanos"`
	RelayPayload    int            `json:"relayPayloadBytes"`
	Members         []int          `json:"members"`       // who join in workload k
	Samples         int            `json:"samples"`       // calls that are timed one at a time, in workloads n to p
	WebhookEvents   int            `json:"webhookEvents"` // of workload o
	AuditEntries    int            `json:"auditEntries"`  // of workload p
	Rounds          map[string]int `json:"rounds"`
}

// Add takes in the figures of one run.
func (r *Results) Add(workload, variant, key, server string, f Figures) {
	row := r.Row(workload, variant, key)
	if row == nil {
		row = &Row{Workload: workload, Variant: variant, Key: key, Server: server}
		r.Rows = append(r.Rows, row)
	}
	row.Runs = append(row.Runs, f)
	row.Median = median(row.Runs)
}

// Row is the row of a server, or nil.
func (r *Results) Row(workload, variant, key string) *Row {
	i := slices.IndexFunc(r.Rows, func(row *Row) bool {
		return row.Workload == workload && row.Variant == variant && row.Key == key
	})
	if i < 0 {
		return nil
	}
	return r.Rows[i]
}

// of is the rows of a workload.
func (r *Results) of(workload string) []*Row {
	var rows []*Row
	for _, row := range r.Rows {
		if row.Workload == workload {
			rows = append(rows, row)
		}
	}
	return rows
}

// median is the median of each figure by itself. What must not happen is summed up instead: a run in
// which it did is not hidden by others in which it did not.
func median(runs []Figures) Figures {
	var m Figures
	m.Deliveries = medianOf(runs, func(f Figures) float64 { return f.Deliveries })
	m.CPU = medianOf(runs, func(f Figures) float64 { return f.CPU })
	m.P50 = medianOf(runs, func(f Figures) time.Duration { return f.P50 })
	m.P99 = medianOf(runs, func(f Figures) time.Duration { return f.P99 })
	m.Max = medianOf(runs, func(f Figures) time.Duration { return f.Max })
	m.Resident = medianOf(runs, func(f Figures) float64 { return f.Resident })
	m.IdleCPU = medianOf(runs, func(f Figures) float64 { return f.IdleCPU })
	m.Connections = medianOf(runs, func(f Figures) float64 { return f.Connections })
	m.FarCPU = medianOf(runs, func(f Figures) float64 { return f.FarCPU })
	m.RedisCPU = medianOf(runs, func(f Figures) float64 { return f.RedisCPU })
	m.RedisCommands = medianOf(runs, func(f Figures) float64 { return f.RedisCommands })
	m.RedisCalls = medianOf(runs, func(f Figures) float64 { return f.RedisCalls })
	m.NearP50 = medianOf(runs, func(f Figures) time.Duration { return f.NearP50 })
	m.NearP99 = medianOf(runs, func(f Figures) time.Duration { return f.NearP99 })
	m.DatabaseCPU = medianOf(runs, func(f Figures) float64 { return f.DatabaseCPU })
	m.Written = medianOf(runs, func(f Figures) float64 { return f.Written })
	m.Verified = medianOf(runs, func(f Figures) float64 { return f.Verified })
	m.Filter = slices.MaxFunc(runs, func(a, b Figures) int { return cmp.Compare(a.P99, b.P99) }).Filter
	for _, f := range runs {
		m.Published += f.Published
		m.Refused += f.Refused
		m.Expected += f.Expected
		m.Lost += f.Lost
		m.Extra += f.Extra
		m.Twice += f.Twice
		m.Closed += f.Closed
	}
	return m
}

func medianOf[T float64 | time.Duration](runs []Figures, figure func(Figures) T) T {
	values := make([]T, len(runs))
	for i, f := range runs {
		values[i] = figure(f)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

// Save writes the results as JSON.
func (r *Results) Save(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Load reads what Save has written.
func Load(file string) (*Results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return r, nil
}
