package plot

import (
	"fmt"
	"html"
	"strings"
)

// Bars is a picture of groups of upright bars, one bar of each series in each.
type Bars struct {
	Title  string   `json:"title"`
	Y      string   `json:"y"`      // the name of the axis, with its unit
	Series []string `json:"series"` // eight at most have a colour of their own
	Groups []Group  `json:"groups"`
}

// Group is the bars that stand together: one value for each series, not negative.
type Group struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// SVG returns the picture. Names of groups are broken at commas.
func (p Bars) SVG() string {
	high := 0.0
	for _, g := range p.Groups {
		for _, v := range g.Values {
			high = max(high, v)
		}
	}
	y := axisOf(0, high, 6)
	var b strings.Builder
	b.WriteString(rows(y))
	room := float64(right-left) / float64(max(1, len(p.Groups)))
	for i, g := range p.Groups {
		b.WriteString(g.draw(left+room*float64(i), room, y))
	}
	for i, name := range p.Series {
		at := top + 2 + 24*i
		fmt.Fprintf(&b, `<rect class="b%d" x="%d" y="%d" width="20" height="14"/><text x="%d" y="%d">%s</text>
`, i%len(inks), legend, at, legend+28, at+12, html.EscapeString(name))
	}
	return frame(p.Title, "", p.Y, b.String())
}

// draw is one group that begins at x, each bar with its number above it.
func (g Group) draw(x, room float64, y axis) string {
	var b strings.Builder
	wide := 0.76 * room / float64(max(1, len(g.Values)))
	for i, v := range g.Values {
		at, high := x+0.12*room+wide*float64(i), y.at(v, bottom, top)
		fmt.Fprintf(&b, `<rect class="b%d" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/><text class="faint" font-size="10" x="%.1f" y="%.1f" text-anchor="middle">%s</text>
`, i%len(inks), at, high, wide-1, bottom-high, at+wide/2, high-3, number(v))
	}
	for i, part := range strings.Split(g.Name, ", ") {
		fmt.Fprintf(&b, `<text class="faint" font-size="11" x="%.1f" y="%d" text-anchor="middle">%s</text>
`, x+room/2, bottom+16+13*i, html.EscapeString(part))
	}
	return b.String()
}
