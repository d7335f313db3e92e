package soak

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// report is what a scenario found.
type report struct {
	t *testing.T

	Name    string   `json:"name"`  // the scenario's, and of its file
	Title   string   `json:"title"` // what it did, in a sentence
	At      string   `json:"at"`    // when it began, UTC
	Seconds float64  `json:"seconds"`
	Machine string   `json:"machine"`
	Full    bool     `json:"full_size"`
	Figures []figure `json:"figures"`

	began time.Time
}

// figure is one thing that was measured.
type figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	Bar   string  `json:"bar,omitempty"` // what it has to be; "" for what is only told
	Held  bool    `json:"held"`
}

// reportOf begins a report, which is told when the test ends.
func reportOf(t *testing.T, name, format string, args ...any) *report {
	r := &report{
		t: t, Name: name, Title: fmt.Sprintf(format, args...), began: time.Now(), At: time.Now().UTC().Format("2006-01-02 15:04"),
		Machine: fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()), Full: soaking(),
	}
	say("\n%s: %s", name, r.Title)
	t.Cleanup(r.tell)
	return r
}

// note tells a figure that has no bar.
func (r *report) note(what string, value float64, unit string) {
	r.Figures = append(r.Figures, figure{What: what, Value: rounded(value), Unit: unit, Held: true})
}

// atMost tells a figure that must not be above its bar.
func (r *report) atMost(what string, value float64, unit string, bar float64) {
	r.judge(what, value, unit, "<=", bar, value <= bar)
}

// atLeast tells a figure that must not be below its bar.
func (r *report) atLeast(what string, value float64, unit string, bar float64) {
	r.judge(what, value, unit, ">=", bar, value >= bar)
}

func (r *report) judge(what string, value float64, unit, sense string, bar float64, held bool) {
	held = held && !math.IsNaN(value)
	r.Figures = append(r.Figures, figure{What: what, Value: rounded(value), Unit: unit, Bar: fmt.Sprintf("%s %g", sense, bar), Held: held})
	if !held {
		r.t.Errorf("%s: %g %s, want %s %g", what, rounded(value), unit, sense, bar)
	}
}

// timely is whether small figures of time and memory mean something here: under the
// race detector and in a run of a second they do not.
func (r *report) timely() bool { return soaking() && !withRace }

// either is a bar, or a wide one where the run is not timely: what waits for a clock
// of seconds or grows with every call misses that too.
func (r *report) either(bar, wide float64) float64 {
	if r.timely() {
		return bar
	}
	return wide
}

func rounded(v float64) float64 {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return -1
	case math.Abs(v) >= 100:
		return math.Round(v)
	}
	return math.Round(v*100) / 100
}

// tell prints the table and writes it as JSON, where the environment says so.
func (r *report) tell() {
	r.Seconds = rounded(time.Since(r.began).Seconds())
	if soaking() {
		fmt.Print(r.table(false))
	}
	dir := os.Getenv(outDir)
	if dir == "" {
		return
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, r.Name+".json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		r.t.Error(err)
	}
}

// table is the figures for a terminal, or for a page.
func (r *report) table(markdown bool) string {
	rows := [][]string{{"what", "value", "bar", ""}}
	for _, f := range r.Figures {
		verdict := ""
		switch {
		case !f.Held:
			verdict = "missed"
		case f.Bar != "":
			verdict = "held"
		}
		rows = append(rows, []string{f.What, strings.TrimSpace(fmt.Sprintf("%s %s", plain(f.Value), f.Unit)), f.Bar, verdict})
	}
	widths := make([]int, 4)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		if markdown {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				b.WriteString("| --- | --- | --- | --- |\n")
			}
			continue
		}
		fmt.Fprintf(&b, "  %-*s  %*s  %-*s  %s\n", widths[0], row[0], widths[1], row[1], widths[2], row[2], row[3])
	}
	return b.String()
}

func plain(v float64) string {
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%g", v)
}

// quantile returns the q-th quantile of times, in milliseconds.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(times))
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) / 1e6
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

const mega = 1 << 20
