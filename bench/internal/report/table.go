package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The names of variants.
const (
	AllRead     = "all read"
	SomeStopped = "1 % stopped"
	StreamFlood = "flood"
	StreamIdle  = "idle"
)

// Pace names a pace.
func Pace(rate float64) string { return fmt.Sprintf("%g/s", rate) }

// column is a figure in a table; text is empty where a row has no such figure.
type column struct {
	name string
	text func(*Row) string
}

var (
	deliveries  = column{"deliveries/s", func(r *Row) string { return thousands(r.Median.Deliveries) }}
	cpu         = column{"CPU µs each", func(r *Row) string { return digits(r.Median.CPU) }}
	p50         = column{"p50 ms", func(r *Row) string { return millis(r.Median.P50) }}
	p99         = column{"p99 ms", func(r *Row) string { return millis(r.Median.P99) }}
	most        = column{"max ms", func(r *Row) string { return millis(r.Median.Max) }}
	resident    = column{"KB/connection", func(r *Row) string { return digits(r.Median.Resident) }}
	idleCPU     = column{"idle µs/s", func(r *Row) string { return digits(r.Median.IdleCPU) }}
	connections = column{"opened/s", func(r *Row) string { return thousands(r.Median.Connections) }}
	lost        = column{"lost", func(r *Row) string { return count(r, r.Median.Lost) }}
	closed      = column{"closed", func(r *Row) string { return strconv.Itoa(r.Median.Closed) }}
)

// Table is all figures in Markdown: one table, and one for each workload whose figures are others.
func (r *Results) Table() string {
	columns := []column{
		{"workload", func(r *Row) string { return strings.TrimSpace(r.Workload + " " + r.Variant) }},
		{"server", func(r *Row) string { return r.Server }},
		deliveries, cpu, p50, p99, most, resident, idleCPU, connections, lost, closed,
	}
	var text string
	one := slices.DeleteFunc(slices.Clone(r.Rows), func(row *Row) bool { return hasOwnTable(row.Workload) })
	if len(one) > 0 {
		text = table(one, columns)
	}
	return strings.TrimPrefix(text+r.ownTables(), "\n")
}

// table writes rows with the first columns to the left and figures to the right.
func table(rows []*Row, columns []column) string {
	lines := make([][]string, 0, len(rows)+1)
	var head []string
	for _, c := range columns {
		head = append(head, c.name)
	}
	lines = append(lines, head)
	for _, row := range rows {
		var line []string
		for _, c := range columns {
			line = append(line, c.text(row))
		}
		lines = append(lines, line)
	}
	return markdown(lines, func(column int) bool { return isText(columns[column].name) })
}

func isText(name string) bool {
	return name == "workload" || name == "server" || name == "variant" || name == "slowest filter"
}

// markdown aligns cells; the first line is the head.
func markdown(lines [][]string, toTheLeft func(column int) bool) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if toTheLeft(i) {
				b.WriteString("| " + cell + space + " ")
			} else {
				b.WriteString("| " + space + cell + " ")
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths {
			if toTheLeft(i) {
				b.WriteString("|" + strings.Repeat("-", width+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", width+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// thousands writes a large figure with three digits that count: 1,830,000.
func thousands(x float64) string {
	if x <= 0 {
		return ""
	}
	unit := 1.0
	for x/unit >= 1000 {
		unit *= 10
	}
	return grouped(int64(x/unit+0.5) * int64(unit))
}

func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// digits writes a small figure with two or three digits that count.
func digits(x float64) string {
	switch {
	case x == 0:
		return ""
	case x < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return grouped(int64(x + 0.5))
}

func millis(d time.Duration) string { return digits(float64(d) / float64(time.Millisecond)) }

// count writes what may be none of something; a row that expects nothing has none either.
func count(r *Row, n int) string {
	if r.Median.Expected == 0 {
		return ""
	}
	return grouped(int64(n))
}
