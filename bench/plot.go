package main

import (
	"fmt"
	"html"
	"strings"
)

// A plot is one figure of all systems as horizontal bars, the median with a
// line from the least to the most.
type plot struct {
	file   string
	figure string
	log    bool // whether a step of the axis is a factor of ten
}

var plots = []plot{
	{file: "cpu-per-request.svg", figure: cpuClosed, log: true},
	{file: "cpu-per-event.svg", figure: cpuEvent},
	{file: "p99-at-500.svg", figure: p99At500, log: true},
	{file: "memory-per-stream.svg", figure: memory1000},
}

const (
	plotWidth = 760
	barLeft   = 150
	barRoom   = 420 // for the longest
	rowHeight = 34
)

// draw returns the plot as SVG. It has a ground of its own, so that it can be
// read on dark pages too.
func (p plot) draw(r *results) string {
	f := figureOf(p.figure)
	var rows []string
	top := p.most(r)
	for _, system := range names() {
		s, n := r.Samples.spread(system, p.figure)
		if n > 0 {
			rows = append(rows, p.row(system, s, top, f, len(rows)))
		}
	}
	height := 50 + rowHeight*len(rows) + 24
	title := fmt.Sprintf("%s (%s)", f.Title, f.Unit)
	note := "median of the rounds; the line goes from the least to the most"
	if p.log {
		note += "; logarithmic"
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="14">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="16" y="28" font-size="16" font-weight="bold" fill="#1f2933">%s</text>
%s<text x="16" y="%d" font-size="12" fill="#52606d">%s</text>
</svg>
`, plotWidth, height, plotWidth, height, html.EscapeString(title), html.EscapeString(title), strings.Join(rows, ""), height-10, note)
}

// row is one system: its name, its bar, its spread and its numbers.
func (p plot) row(system string, s spread, top float64, f figure, i int) string {
	colour := "#9aa5b1"
	if system == holdfast {
		colour = "#2b6cb0"
	}
	y := 46 + rowHeight*i
	at := func(v float64) float64 { return barLeft + barRoom*p.share(v, top) }
	return fmt.Sprintf(`<text x="16" y="%d" fill="#1f2933">%s</text>
<rect x="%d" y="%d" width="%.1f" height="20" fill="%s"/>
<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1f2933" stroke-width="2"/>
<text x="%.1f" y="%d" fill="#1f2933">%s</text>
`, y+15, title(system), barLeft, y, at(s.Median)-barLeft, colour, at(s.Min), at(s.Max), y+10, y+10, at(s.Max)+8, y+15, f.cell(s))
}

// share is where a value stands between the axis's ends.
func (p plot) share(v, top float64) float64 {
	if !p.log {
		return v / top
	}
	return logShare(v, top)
}

func (p plot) most(r *results) float64 {
	most := 1.0
	for _, system := range names() {
		if s, n := r.Samples.spread(system, p.figure); n > 0 {
			most = max(most, s.Max)
		}
	}
	return most
}
