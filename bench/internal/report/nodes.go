package report

import (
	"fmt"
	"strconv"
	"time"
)

// The names of variants of the workloads of several nodes.
const (
	RelayPlain     = "1 channel"
	RelayPlainMany = "1,000 channels"
	RelayKept      = "1 channel, history"
	RelayKeptMany  = "1,000 channels, history"
	HopPlain       = "no history"
	HopKept        = "history"
)

var (
	messages      = column{"messages/s", func(r *Row) string { return thousands(r.Median.Deliveries) }}
	nearCPU       = column{"A, CPU µs", func(r *Row) string { return digits(r.Median.CPU) }}
	farCPU        = column{"B, CPU µs", func(r *Row) string { return digits(r.Median.FarCPU) }}
	redisCPU      = column{"Redis, CPU µs", func(r *Row) string { return digits(r.Median.RedisCPU) }}
	nearP50       = column{"A, p50 ms", func(r *Row) string { return millis(r.Median.NearP50) }}
	nearP99       = column{"A, p99 ms", func(r *Row) string { return millis(r.Median.NearP99) }}
	farP50        = column{"B, p50 ms", p50.text}
	farP99        = column{"B, p99 ms", p99.text}
	addedP50      = column{"added, p50 ms", func(r *Row) string { return difference(r.Median.P50, r.Median.NearP50) }}
	addedP99      = column{"added, p99 ms", func(r *Row) string { return difference(r.Median.P99, r.Median.NearP99) }}
	members       = column{"members", func(r *Row) string { return readable(r.Variant) }}
	joins         = column{"joins/s", connections.text}
	redisCommands = column{"Redis commands", func(r *Row) string { return digits(r.Median.RedisCommands) }}
	redisCalls    = column{"script calls", func(r *Row) string { return digits(r.Median.RedisCalls) }}
	twice         = column{"twice", func(r *Row) string { return count(r, r.Median.Twice) }}
)

// nodeSections are the workloads whose figures are of several processes, and not those of the others.
var nodeSections = []section{
	{Relay, func(s Settings) string {
		return fmt.Sprintf("(i) From one node over Redis to another, %d bytes, one subscriber a channel; CPU for a message", s.RelayPayload)
	}, []column{variantColumn, serverColumn, messages, nearCPU, farCPU, redisCPU, lost, closed}},
	{Hop, func(Settings) string { return "(j) The latency of that way, at 1,000 messages a second" },
		[]column{variantColumn, serverColumn, nearP50, nearP99, farP50, farP99, addedP50, addedP99, lost, closed}},
	{Presence, func(Settings) string { return "(k) Joins of one presence channel over two nodes; what each join costs" },
		[]column{members, serverColumn, joins, redisCommands, redisCalls, redisCPU, nearCPU, farCPU, closed}},
	{Resume, func(s Settings) string {
		return fmt.Sprintf("(l) %s clients resume at once, 100 messages and more each, at 500 a second", grouped(int64(s.Subscribers)))
	}, []column{serverColumn, p50, p99, most, lost, twice, closed}},
}

// difference writes by how much longer a time is, which may be less than nothing.
func difference(long, short time.Duration) string {
	switch d := long - short; {
	case long == 0:
		return ""
	case d < 0:
		return "-" + millis(-d)
	default:
		return millis(d)
	}
}

// readable groups the digits of a number that a variant is named by.
func readable(variant string) string {
	n, err := strconv.ParseInt(variant, 10, 64)
	if err != nil {
		return variant
	}
	return grouped(n)
}
