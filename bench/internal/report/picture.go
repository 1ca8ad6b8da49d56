package report

import (
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// The picture's measures, in its own units.
const (
	pictureWidth = 880
	margin       = 28
	gutter       = 40
	panelWidth   = (pictureWidth - 2*margin - gutter) / 2
	headHeight   = 76 // of the picture
	panelHead    = 46
	rowHeight    = 22
	barHeight    = 12
	nameWidth    = 142 // of a server, before its bar
	figureWidth  = 78  // behind the longest bar
	panelGap     = 30
	curveHeight  = 240
	footHeight   = 44
)

// pictureStyle has two sets of colours; the picture stands on a card of its own, so that it can be read on
// any page.
const pictureStyle = `
svg{--card:#fff;--edge:#d9dee7;--ink:#1c2430;--soft:#5d6878;--bar:#b9c3d1;--grid:#e8ecf2;--own:#0b6bcb}
@media (prefers-color-scheme:dark){svg{--card:#12171f;--edge:#2b3442;--ink:#e8edf4;--soft:#95a1b3;--bar:#4a566a;--grid:#222b38;--own:#5cb0ff}}
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;fill:var(--ink)}
.h1{font-size:19px;font-weight:650}.h2{font-size:14px;font-weight:650}.soft{fill:var(--soft)}.end{text-anchor:end}.mid{text-anchor:middle}
.own{fill:var(--own);font-weight:650}.card{fill:var(--card);stroke:var(--edge)}.track{fill:var(--grid)}.bar{fill:var(--bar)}.bar.own{fill:var(--own)}
.grid{stroke:var(--grid)}.line{fill:none;stroke:var(--bar);stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.line.own{stroke:var(--own);stroke-width:3}.dot{fill:var(--bar)}.dot.own{fill:var(--own)}
`

// ownKey is the server that the picture brings out.
const ownKey = "herald"

// panel is a group of bars.
type panel struct {
	title, note string
	rows        []*Row
	figure      func(Figures) float64
	text        func(*Row) string
}

// WritePicture draws the key figures into a file.
func (r *Results) WritePicture(file string) error {
	return os.WriteFile(file, []byte(r.Picture()), 0o644)
}

// Picture is the key figures as SVG. What has not been measured is left out.
func (r *Results) Picture() string {
	panels := slices.DeleteFunc([]panel{
		{"Deliveries a second", "one channel, 1,000 subscribers; longer is better", r.of(Flood),
			func(f Figures) float64 { return f.Deliveries }, deliveries.text},
		{"Server CPU for a delivery, µs", "the same; shorter is better", r.of(Flood),
			func(f Figures) float64 { return f.CPU }, cpu.text},
		{"Memory of an idle connection, KB", "resident, once garbage is collected; shorter is better", r.of(Idle),
			func(f Figures) float64 { return f.Resident }, resident.text},
		{"Latency at 200 messages a second, ms", "p99, 1,000 subscribers; shorter is better", r.variant(Paced, Pace(200)),
			func(f Figures) float64 { return float64(f.P99) }, p99.text},
	}, func(p panel) bool { return len(p.rows) == 0 })
	var d drawing
	y := headHeight
	for i := 0; i < len(panels); i += 2 {
		height := 0
		for column, p := range panels[i:min(i+2, len(panels))] {
			height = max(height, d.bars(p, margin+column*(panelWidth+gutter), y))
		}
		y += height + panelGap
	}
	if rows := r.of(Curve); len(rows) > 0 {
		d.curve(rows, y)
		y += panelHead + curveHeight + panelGap
	}
	return d.frame(r, y+footHeight-panelGap)
}

func (r *Results) variant(workload, name string) []*Row {
	return slices.DeleteFunc(r.of(workload), func(row *Row) bool { return row.Variant != name })
}

// drawing is the picture as far as it has been drawn.
type drawing struct{ strings.Builder }

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) text(class string, x, y float64, text string) {
	d.add(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, escape(text))
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes everything
	return b.String()
}

// class marks what is the own server's.
func class(name string, row *Row) string {
	if row.Key == ownKey {
		return name + " own"
	}
	return name
}

// bars draws a panel and returns its height.
func (d *drawing) bars(p panel, left, top int) int {
	x, y := float64(left), float64(top)
	d.text("h2", x, y+14, p.title)
	d.text("soft", x, y+32, p.note)
	longest := 0.0
	for _, row := range p.rows {
		longest = max(longest, p.figure(row.Median))
	}
	const room = panelWidth - nameWidth - figureWidth
	for i, row := range p.rows {
		at := y + panelHead + float64(i*rowHeight)
		length := max(room*p.figure(row.Median)/max(longest, math.SmallestNonzeroFloat64), 2)
		d.text(class("", row), x, at+11, row.Server)
		d.add(`<rect class="track" x="%.1f" y="%.1f" width="%d" height="%d" rx="3"/>`, x+nameWidth, at, room, barHeight)
		d.add(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="3"/>`,
			class("bar", row), x+nameWidth, at, length, barHeight)
		d.text(class("end", row), x+panelWidth, at+11, p.text(row))
	}
	return panelHead + len(p.rows)*rowHeight
}

// frame puts the card, the title and the foot around what has been drawn.
func (d *drawing) frame(r *Results, height int) string {
	var whole drawing
	whole.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title">`,
		pictureWidth, height, pictureWidth, height)
	whole.add(`<title id="title">Herald beside its peers: deliveries, CPU, memory and latency</title>`)
	whole.add("<style>%s</style>", pictureStyle)
	whole.add(`<rect class="card" x="0.5" y="0.5" width="%d" height="%d" rx="12"/>`, pictureWidth-1, height-1)
	whole.text("h1", margin, 38, "Herald beside its peers")
	m := r.Machine
	whole.text("soft", margin, 57, fmt.Sprintf(
		"Every server through its own HTTP publish call, %d bytes a message, one machine of %d cores for server, publishers and subscribers.",
		r.Settings.Payload, m.Cores))
	whole.WriteString(d.String())
	foot := fmt.Sprintf("%s · %s · Go %s", m.Date, m.Kernel, m.Go)
	if m.Node != "" {
		foot += " · Node " + m.Node
	}
	whole.text("soft", margin, float64(height-18), foot)
	whole.add("</svg>")
	return whole.String()
}
