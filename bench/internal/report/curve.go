package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// series is the curve of one server.
type series struct {
	row    *Row // any of its rows
	points []point
	label  float64 // where its name is
}

type point struct{ x, y float64 }

// axes turn figures into places; both are logarithmic.
type axes struct {
	left, top, width, height float64
	leastX, mostX            float64
	leastY, mostY            float64
}

func (a axes) x(v float64) float64 { return a.left + a.width*part(v, a.leastX, a.mostX) }
func (a axes) y(v float64) float64 { return a.top + a.height*(1-part(v, a.leastY, a.mostY)) }

func part(v, least, most float64) float64 {
	if most <= least {
		return 0.5
	}
	return math.Log(v/least) / math.Log(most/least)
}

// labelGap keeps names at the ends of curves apart.
const labelGap = 15

// curve draws the CPU time of a delivery over the number of subscribers.
func (d *drawing) curve(rows []*Row, top int) {
	d.text("h2", margin, float64(top+14), "Server CPU for a delivery, µs, from few subscribers to many")
	d.text("soft", margin, float64(top+32), "one channel; both axes are logarithmic; lower is better")
	all, a := plot(rows)
	a.left, a.top = margin+36, float64(top+panelHead+8)
	a.width, a.height = pictureWidth-2*margin-36-nameWidth-10, curveHeight-40
	d.grid(all, a)
	for i := range all {
		all[i].label = a.y(all[i].points[len(all[i].points)-1].y)
	}
	spread(all, a.top)
	for _, s := range all {
		var path []string
		for _, p := range s.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", a.x(p.x), a.y(p.y)))
		}
		d.add(`<polyline class="%s" points="%s"/>`, class("line", s.row), strings.Join(path, " "))
		for _, p := range s.points {
			d.add(`<circle class="%s" cx="%.1f" cy="%.1f" r="3"/>`, class("dot", s.row), a.x(p.x), a.y(p.y))
		}
		d.text(class("", s.row), a.left+a.width+14, s.label+4, s.row.Server)
	}
}

// plot makes a series of each server, the own one last and so on top, and finds out how far the axes go.
func plot(rows []*Row) ([]series, axes) {
	var all []series
	a := axes{leastX: math.Inf(1), leastY: math.Inf(1)}
	for _, row := range rows {
		x, err := strconv.ParseFloat(row.Variant, 64)
		if err != nil || row.Median.CPU <= 0 {
			continue
		}
		i := slices.IndexFunc(all, func(s series) bool { return s.row.Key == row.Key })
		if i < 0 {
			i = len(all)
			all = append(all, series{row: row})
		}
		all[i].points = append(all[i].points, point{x, row.Median.CPU})
		a.leastX, a.mostX = min(a.leastX, x), max(a.mostX, x)
		a.leastY, a.mostY = min(a.leastY, row.Median.CPU), max(a.mostY, row.Median.CPU)
	}
	slices.SortStableFunc(all, func(s, t series) int { return cmp.Compare(order(s), order(t)) })
	return all, a
}

func order(s series) int {
	if s.row.Key == ownKey {
		return 1
	}
	return 0
}

// spread moves names apart, from the top down.
func spread(all []series, top float64) {
	down := make([]*series, 0, len(all))
	for i := range all {
		down = append(down, &all[i])
	}
	slices.SortFunc(down, func(s, t *series) int { return cmp.Compare(s.label, t.label) })
	least := top
	for _, s := range down {
		s.label = max(s.label, least)
		least = s.label + labelGap
	}
}

// grid draws the axes: a line for 1, 2 and 5 of each power of ten, and the numbers of subscribers.
func (d *drawing) grid(all []series, a axes) {
	for power := math.Pow(10, math.Floor(math.Log10(a.leastY))); power <= a.mostY; power *= 10 {
		for _, v := range []float64{power, 2 * power, 5 * power} {
			if v < a.leastY || v > a.mostY {
				continue
			}
			d.add(`<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, a.left, a.left+a.width, a.y(v), a.y(v))
			d.text("soft end", a.left-8, a.y(v)+4, strconv.FormatFloat(v, 'g', 3, 64))
		}
	}
	marked := map[float64]bool{}
	for _, s := range all {
		for _, p := range s.points {
			if !marked[p.x] {
				d.text("soft mid", a.x(p.x), a.top+a.height+24, grouped(int64(p.x)))
			}
			marked[p.x] = true
		}
	}
}
