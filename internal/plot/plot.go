// Package plot draws small pictures of numbers as SVG: curves (Lines), groups of
// bars (Bars) and medians with their spreads (Spreads). The same numbers give the same bytes, so that a picture can be
// committed and compared. A picture has a ground of its own and follows the
// reader's choice of light or dark; it has no scripts and fetches nothing.
package plot

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The sizes of a picture, in pixels. The legend stands to the right of the field.
const (
	width, height = 860, 380
	left, right   = 64, 570
	top, bottom   = 64, 326
	legend        = right + 24
)

// inks are the colours of the series on a light and on a dark ground; dashes keep
// them apart for those who do not see colours.
var inks = []struct{ light, dark, dash string }{
	{"#0b61a4", "#6cb6ff", ""},
	{"#c2410c", "#ff9d5c", "7 3"},
	{"#0f7b5f", "#56d4a5", "2 3"},
	{"#a21c6c", "#f492c8", "10 3 2 3"},
	{"#7a5c00", "#e3c04f", ""},
	{"#52606d", "#aab7c4", "4 4"},
	{"#5b3fa8", "#b9a2ff", "12 4"},
	{"#8c1c13", "#ff8a80", "2 5"},
}

// axis is a scale from 0 or below to the first round number that is not passed.
type axis struct{ low, high, step float64 }

// steps are how far apart the marks of an axis may be, times a power of ten.
var steps = []float64{1, 2, 2.5, 5, 10}

// axisOf returns the scale for values from low to high, with at most most marks.
func axisOf(low, high float64, most int) axis {
	if high <= low {
		high = low + 1
	}
	unit := math.Pow(10, math.Floor(math.Log10((high-low)/float64(most))))
	for _, s := range steps {
		if a := (axis{math.Floor(low/(s*unit)) * s * unit, math.Ceil(high/(s*unit)-1e-9) * s * unit, s * unit}); a.count() <= most {
			return a
		}
	}
	return axis{low, high, high - low}
}

func (a axis) count() int { return int(math.Round((a.high - a.low) / a.step)) }

// at is where v stands between two pixels.
func (a axis) at(v, from, to float64) float64 {
	return from + (to-from)*(min(max(v, a.low), a.high)-a.low)/(a.high-a.low)
}

// marks calls f for each mark of the axis.
func (a axis) marks(f func(v float64)) {
	for i := range a.count() + 1 {
		f(a.low + float64(i)*a.step)
	}
}

// number writes v with no more digits than it has, six at most.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// sheet puts a title and a ground around a drawing.
func sheet(wide, high int, title, drawing string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="13">
<title>%s</title>
<style>%s</style>
<rect class="ground" width="100%%" height="100%%"/>
<text x="16" y="26" font-size="16" font-weight="bold">%s</text>
%s</svg>
`, wide, high, wide, high, html.EscapeString(title), style(), html.EscapeString(title), drawing)
}

// frame is a sheet for a field with two axes.
func frame(title, x, y, drawing string) string {
	return sheet(width, height, title, drawing+fmt.Sprintf(`<text class="faint" x="%d" y="%d" text-anchor="middle">%s</text>
<text class="faint" x="%d" y="%d">%s</text>
`, (left+right)/2, height-14, html.EscapeString(x), 16, top-18, html.EscapeString(y)))
}

// style is the colours, for either ground.
func style() string {
	var light, dark strings.Builder
	for i, ink := range inks {
		fmt.Fprintf(&light, ".l%d{stroke:%s}.b%d{fill:%s}", i, ink.light, i, ink.light)
		fmt.Fprintf(&dark, ".l%d{stroke:%s}.b%d{fill:%s}", i, ink.dark, i, ink.dark)
	}
	return ".ground{fill:#fff}text{fill:#1f2933}.faint{fill:#52606d}.grid{stroke:#dde3e9}.band{fill:#eef1f4}.line{stroke:#1f2933}.plain{fill:#9aa5b1}" + light.String() +
		"@media (prefers-color-scheme:dark){.ground{fill:#14181d}text{fill:#e4e9ee}.faint{fill:#aab7c4}.grid{stroke:#323a43}.band{fill:#222932}.line{stroke:#e4e9ee}.plain{fill:#7b8794}" + dark.String() + "}"
}

// rows draws the horizontal lines of the field and their numbers.
func rows(a axis) string {
	var b strings.Builder
	a.marks(func(v float64) {
		y := a.at(v, bottom, top)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="faint" x="%d" y="%.1f" text-anchor="end">%s</text>
`, left, right, y, y, left-8, y+4, number(v))
	})
	return b.String()
}
