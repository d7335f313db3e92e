package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Spreads is a picture of one figure of several things, one below the other: the
// median with a line from the least to the most. As bars; or, where Log is set, as
// dots on an axis whose steps are factors of ten, where the length of a bar would
// mean nothing.
type Spreads struct {
	Title string
	Note  string // below the picture
	Log   bool
	Rows  []Spread
}

// Spread is one row: values of 0 or more, above 0 where the axis is logarithmic.
type Spread struct {
	Name             string
	Text             string // the numbers, behind the line
	Min, Median, Max float64
	Strong           bool // it stands out
}

const (
	spreadsWide = 820
	rowLeft     = 150
	rowRoom     = 420 // for the longest
	rowHigh     = 34
	rowTop      = 58
)

// SVG returns the picture.
func (s Spreads) SVG() string {
	low, high := s.ends()
	var b strings.Builder
	for v := low; s.Log && v <= high; v *= 10 {
		x := s.at(v, low, high)
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="52" y2="%d"/><text class="faint" font-size="11" x="%.1f" y="48" text-anchor="middle">%s</text>
`, x, x, rowTop+rowHigh*len(s.Rows)-8, x, number(v))
	}
	for i, r := range s.Rows {
		b.WriteString(s.row(r, rowTop+rowHigh*i, low, high))
	}
	tall := rowTop + rowHigh*len(s.Rows) + 24
	fmt.Fprintf(&b, `<text class="faint" font-size="12" x="16" y="%d">%s</text>
`, tall-10, html.EscapeString(s.Note))
	return sheet(spreadsWide, tall, s.Title, b.String())
}

// ends are those of the axis, which begins at nothing, or at the power of ten
// below everything.
func (s Spreads) ends() (low, high float64) {
	low = math.Inf(1)
	for _, r := range s.Rows {
		low, high = min(low, r.Min), max(high, r.Max)
	}
	switch {
	case !s.Log:
		return 0, max(high, 1)
	case len(s.Rows) == 0:
		return 1, 10
	}
	low = math.Pow(10, math.Floor(math.Log10(max(low, 1))))
	return low, max(high, 2*low) // an axis has a length
}

// at is where a value stands, from the left.
func (s Spreads) at(v, low, high float64) float64 {
	if s.Log {
		return rowLeft + rowRoom*math.Log(v/low)/math.Log(high/low)
	}
	return rowLeft + rowRoom*v/high
}

// row is the name, the mark, the line and the numbers.
func (s Spreads) row(r Spread, y int, low, high float64) string {
	class := "plain"
	if r.Strong {
		class = "b0"
	}
	from, median, to := s.at(r.Min, low, high), s.at(r.Median, low, high), s.at(r.Max, low, high)
	mark := fmt.Sprintf(`<rect class="%s" x="%d" y="%d" width="%.1f" height="20"/>`, class, rowLeft, y, median-rowLeft)
	if s.Log {
		mark = fmt.Sprintf(`<circle class="%s" cx="%.1f" cy="%d" r="7"/>`, class, median, y+10)
	}
	return fmt.Sprintf(`<text x="16" y="%d">%s</text>
%s
<line class="line" stroke-width="2" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d">%s</text>
`, y+15, html.EscapeString(r.Name), mark, from, to, y+10, y+10, to+12, y+15, html.EscapeString(r.Text))
}
