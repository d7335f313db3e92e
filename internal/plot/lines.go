package plot

import (
	"fmt"
	"html"
	"strings"
)

// Lines is a picture of curves over one axis.
type Lines struct {
	Title string  `json:"title"`
	X     string  `json:"x"` // the name of the axis, with its unit
	Y     string  `json:"y"`
	Band  *Band   `json:"band,omitempty"` // a part of the axis that is set apart
	Curve []Curve `json:"curves"`         // eight at most have a colour of their own
}

// Band is a part of the x axis during which something else was so.
type Band struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Name string  `json:"name"`
}

// Curve is one line, from point to point.
type Curve struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"` // x and y, in the order of x
}

// SVG returns the picture. The y axis begins at 0 unless a value is below it.
func (l Lines) SVG() string {
	x, y := l.axes()
	var b strings.Builder
	if l.Band != nil {
		from, to := x.at(l.Band.From, left, right), x.at(l.Band.To, left, right)
		fmt.Fprintf(&b, `<rect class="band" x="%.1f" y="%d" width="%.1f" height="%d"/><text class="faint" x="%.1f" y="%d">%s</text>
`, from, top, to-from, bottom-top, from+4, top+16, html.EscapeString(l.Band.Name))
	}
	b.WriteString(rows(y))
	x.marks(func(v float64) {
		fmt.Fprintf(&b, `<text class="faint" x="%.1f" y="%d" text-anchor="middle">%s</text>
`, x.at(v, left, right), bottom+20, number(v))
	})
	for i, c := range l.Curve {
		b.WriteString(c.draw(i, x, y))
	}
	return frame(l.Title, l.X, l.Y, b.String())
}

// axes are wide enough for all points.
func (l Lines) axes() (x, y axis) {
	var low, high [2]float64
	first := true
	for _, c := range l.Curve {
		for _, p := range c.Points {
			if first {
				low, high, first = [2]float64{p[0], min(0, p[1])}, p, false
			}
			low, high = [2]float64{min(low[0], p[0]), min(low[1], p[1])}, [2]float64{max(high[0], p[0]), max(high[1], p[1])}
		}
	}
	return axisOf(low[0], high[0], 8), axisOf(low[1], high[1], 6)
}

// draw is the curve and its line in the legend.
func (c Curve) draw(i int, x, y axis) string {
	ink := i % len(inks)
	var points strings.Builder
	for _, p := range c.Points {
		fmt.Fprintf(&points, "%.1f,%.1f ", x.at(p[0], left, right), y.at(p[1], bottom, top))
	}
	dash := ""
	if inks[ink].dash != "" {
		dash = fmt.Sprintf(` stroke-dasharray="%s"`, inks[ink].dash)
	}
	at := top + 12 + 24*i
	return fmt.Sprintf(`<polyline class="l%d" fill="none" stroke-width="2"%s points="%s"/>
<line class="l%d" stroke-width="2"%s x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d">%s</text>
`, ink, dash, strings.TrimSpace(points.String()), ink, dash, legend, legend+28, at, at, legend+36, at+4, html.EscapeString(c.Name))
}
