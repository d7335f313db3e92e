package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func curves() Lines {
	return Lines{
		Title: "Answered & <refused>", X: "seconds", Y: "calls", Band: &Band{From: 1, To: 2, Name: "stall"},
		Curve: []Curve{{Name: "with", Points: [][2]float64{{0, 0}, {1, 50}, {3, 97}}}, {Name: "without", Points: [][2]float64{{0, 3}, {3, 1}}}},
	}
}

func bars() Bars {
	return Bars{Title: "Refused", Y: "%", Series: []string{"a", "b"}, Groups: []Group{{Name: "x, y", Values: []float64{3, 40}}, {Name: "z", Values: []float64{0, 1}}}}
}

func spreads(log bool) Spreads {
	return Spreads{Title: "Cost", Note: "medians", Log: log, Rows: []Spread{
		{Name: "ours & theirs", Text: "50 (40-60)", Min: 40, Median: 50, Max: 60, Strong: true}, {Name: "other", Text: "5,000", Min: 5000, Median: 5000, Max: 5000}}}
}

// elements parses a picture and returns all its elements.
func elements(t *testing.T, picture string) (found []xml.StartElement) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
		if e, ok := token.(xml.StartElement); ok {
			found = append(found, e)
		}
	}
}

func TestAPictureIsWellFormedAndFetchesAndRunsNothing(t *testing.T) {
	for _, picture := range []string{
		curves().SVG(), bars().SVG(), spreads(true).SVG(), spreads(false).SVG(),
		Lines{}.SVG(), Bars{}.SVG(), Spreads{}.SVG(), Spreads{Log: true}.SVG(),
	} {
		for _, e := range elements(t, picture) {
			if e.Name.Local == "script" || e.Name.Local == "image" {
				t.Errorf("a %s in a picture", e.Name.Local)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("%s of %s", a.Name.Local, e.Name.Local)
				}
			}
		}
	}
}

func TestAPictureHasAGroundForLightAndForDark(t *testing.T) {
	picture := curves().SVG()
	for _, want := range []string{`class="ground"`, ".ground{fill:#fff}", "@media (prefers-color-scheme:dark){.ground{fill:#14181d}"} {
		if !strings.Contains(picture, want) {
			t.Errorf("no %s in a picture", want)
		}
	}
}

func TestTheSameNumbersGiveTheSameBytes(t *testing.T) {
	lines, columns := curves().SVG(), bars().SVG()
	for range 20 {
		if curves().SVG() != lines || bars().SVG() != columns {
			t.Fatal("two drawings of the same differ")
		}
	}
}

func TestEveryCurveHasItsPointsInTheFieldAndItsNameInTheLegend(t *testing.T) {
	drawn := 0
	for _, e := range elements(t, curves().SVG()) {
		if e.Name.Local != "polyline" {
			continue
		}
		for _, a := range e.Attr {
			if a.Name.Local == "points" {
				drawn += inField(t, a.Value)
			}
		}
	}
	if drawn != 5 {
		t.Errorf("%d points are drawn, want 5", drawn)
	}
	for _, name := range []string{">with<", ">without<", ">stall<", "Answered &amp; &lt;refused&gt;"} {
		if !strings.Contains(curves().SVG(), name) {
			t.Errorf("no %s in the picture", name)
		}
	}
}

func inField(t *testing.T, points string) (n int) {
	t.Helper()
	for _, p := range strings.Fields(points) {
		sx, sy, _ := strings.Cut(p, ",")
		x, errX := strconv.ParseFloat(sx, 64)
		y, errY := strconv.ParseFloat(sy, 64)
		if errX != nil || errY != nil || x < left || x > right || y < top || y > bottom {
			t.Errorf("a point at %s", p)
		}
		n++
	}
	return n
}

func TestABarIsAsHighAsItsValue(t *testing.T) {
	heights := map[string]string{}
	for _, e := range elements(t, bars().SVG()) {
		var class, height string
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "class":
				class = a.Value
			case "height":
				height = a.Value
			}
		}
		if e.Name.Local == "rect" && strings.HasPrefix(class, "b") && heights[class] == "" {
			heights[class] = height // of the first group
		}
	}
	if heights["b1"] != "262.0" || heights["b0"] != "19.6" { // 40 is the top of the axis, 3 is 3/40 of it
		t.Errorf("bars of 3 and 40 are %s and %s high, want 19.6 and 262.0", heights["b0"], heights["b1"])
	}
}

func TestAnAxisHoldsItsValuesWithFewRoundMarks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		low := (r.Float64() - 0.5) * 1000
		high := low + r.ExpFloat64()*100
		a := axisOf(low, high, 6)
		if a.low > low || a.high < high-1e-6*(high-low) || a.count() < 1 || a.count() > 6 {
			t.Fatalf("the axis of %g to %g is %+v", low, high, a)
		}
	}
}

func TestOnALogarithmicAxisAFactorOfTenIsTheSameLengthEverywhere(t *testing.T) {
	s := spreads(true)
	low, high := s.ends()
	if low != 10 || high != 5000 {
		t.Errorf("the axis goes from %g to %g, want 10 to 5000", low, high)
	}
	first, second := s.at(100, low, high)-s.at(10, low, high), s.at(1000, low, high)-s.at(100, low, high)
	if first-second > 0.01 || second-first > 0.01 || s.at(high, low, high) != rowLeft+rowRoom {
		t.Errorf("from 10 to 100 it is %g long, from 100 to 1000 %g, and the last value stands at %g", first, second, s.at(high, low, high))
	}
}
