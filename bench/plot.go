package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// A plot is one figure of all systems, the median with a line from the least to
// the most: as bars, or as dots on an axis whose steps are factors of ten, where
// the length of a bar would mean nothing.
type plot struct {
	file   string
	figure string
	log    bool
}

var plots = []plot{
	{file: "cpu-per-request.svg", figure: cpuClosed, log: true},
	{file: "cpu-per-event.svg", figure: cpuEvent},
	{file: "p99-at-500.svg", figure: p99At500, log: true},
	{file: "memory-per-stream.svg", figure: memory1000},
}

const (
	plotWidth = 820
	barLeft   = 150
	barRoom   = 420 // for the longest
	rowHeight = 34
)

// draw returns the plot as SVG. It has a ground of its own, so that it can be
// read on dark pages too.
func (p plot) draw(r *results) string {
	f := figureOf(p.figure)
	var rows []string
	a := p.axis(r)
	for _, system := range names() {
		s, n := r.Samples.spread(system, p.figure)
		if n > 0 {
			rows = append(rows, p.row(system, s, a, f, len(rows)))
		}
	}
	height := 56 + rowHeight*len(rows) + 24
	title := fmt.Sprintf("%s (%s)", f.Title, f.Unit)
	note := "median of the rounds; the line goes from the least to the most"
	if p.log {
		note += "; each upright line is a factor of ten"
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="14">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="bold" fill="#1f2933">%s</text>
%s<text x="16" y="%d" font-size="12" fill="#52606d">%s</text>
</svg>
`, plotWidth, height, plotWidth, height, html.EscapeString(title), html.EscapeString(title), p.grid(a, len(rows))+strings.Join(rows, ""), height-10, note)
}

// axis is where an axis begins and ends.
type axis struct{ low, top float64 }

// axis begins at nothing, or at the power of ten below everything.
func (p plot) axis(r *results) axis {
	a := axis{low: math.Inf(1)}
	for _, system := range names() {
		if s, n := r.Samples.spread(system, p.figure); n > 0 {
			a.low, a.top = min(a.low, s.Min), max(a.top, s.Max)
		}
	}
	switch {
	case !p.log:
		return axis{0, max(a.top, 1)}
	case math.IsInf(a.low, 1): // nobody has this figure
		return axis{1, 10}
	}
	a.low = math.Pow(10, math.Floor(math.Log10(max(a.low, 1))))
	a.top = max(a.top, 2*a.low) // an axis has a length
	return a
}

// at is where a value stands on the axis, from the left.
func (p plot) at(v float64, a axis) float64 {
	if p.log {
		return barLeft + barRoom*math.Log(v/a.low)/math.Log(a.top/a.low)
	}
	return barLeft + barRoom*v/a.top
}

// grid is an upright line at each power of ten of a logarithmic axis.
func (p plot) grid(a axis, rows int) string {
	var lines strings.Builder
	for v := a.low; p.log && v <= a.top; v *= 10 {
		x := p.at(v, a)
		fmt.Fprintf(&lines, `<line x1="%.1f" x2="%.1f" y1="46" y2="%d" stroke="#cbd2d9"/>
<text x="%.1f" y="43" font-size="11" text-anchor="middle" fill="#52606d">%s</text>
`, x, x, 52+rowHeight*rows-8, x, thousands(v, 0))
	}
	return lines.String()
}

// mark is the median: the end of a bar, or a dot.
func (p plot) mark(x float64, y int, colour string) string {
	if p.log {
		return fmt.Sprintf(`<circle cx="%.1f" cy="%d" r="7" fill="%s"/>`, x, y+10, colour)
	}
	return fmt.Sprintf(`<rect x="%d" y="%d" width="%.1f" height="20" fill="%s"/>`, barLeft, y, x-barLeft, colour)
}

// row is one system: its name, its mark, its spread and its numbers.
func (p plot) row(system string, s spread, a axis, f figure, i int) string {
	colour := "#9aa5b1"
	if system == holdfast {
		colour = "#2b6cb0"
	}
	y := 52 + rowHeight*i
	at := func(v float64) float64 { return p.at(v, a) }
	return fmt.Sprintf(`<text x="16" y="%d" fill="#1f2933">%s</text>
%s
<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1f2933" stroke-width="2"/>
<text x="%.1f" y="%d" fill="#1f2933">%s</text>
`, y+15, title(system), p.mark(at(s.Median), y, colour), at(s.Min), at(s.Max), y+10, y+10, at(s.Max)+12, y+15, f.cell(s))
}
