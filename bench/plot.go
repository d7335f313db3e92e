package main

import (
	"fmt"

	draw "github.com/holdfast-gateway/holdfast/internal/plot"
)

// A plot is one figure of all systems, the median with a line from the least to
// the most: as bars, or as dots on an axis whose steps are factors of ten.
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

// draw returns the plot as SVG.
func (p plot) draw(r *results) string {
	f := figureOf(p.figure)
	s := draw.Spreads{
		Title: fmt.Sprintf("%s (%s)", f.Title, f.Unit), Log: p.log,
		Note: "median of the rounds; the line goes from the least to the most",
	}
	if p.log {
		s.Note += "; each upright line is a factor of ten"
	}
	for _, system := range names() {
		if v, n := r.Samples.spread(system, p.figure); n > 0 {
			s.Rows = append(s.Rows, draw.Spread{Name: title(system), Text: f.cell(v), Min: v.Min, Median: v.Median, Max: v.Max, Strong: system == holdfast})
		}
	}
	return s.SVG()
}
