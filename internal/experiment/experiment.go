// Package experiment keeps what simulations found: a Result is a table and a
// picture, written to docs/explanation/experiments as data and as SVG, and shown
// by the pages of docs/explanation that have a place for it:
//
//	<!-- experiment: NAME -->
//	<!-- end -->
//
// Simulations run in every test, with few seeds and short, and check directions
// and bounds. In full, with the seeds that HOLDFAST_SEEDS says, they also write
// when HOLDFAST_WRITE_DOCS is set (`make experiments`).
package experiment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/plot"
)

// Result is what one experiment found. It has Lines or Bars.
type Result struct {
	Name    string      `json:"name"`  // of its files: lower case and hyphens
	Seeds   uint64      `json:"seeds"` // that it was run with
	Note    string      `json:"note"`  // below the table: what the numbers are of
	Columns []string    `json:"columns"`
	Rows    [][]string  `json:"rows"`
	Lines   *plot.Lines `json:"lines,omitempty"`
	Bars    *plot.Bars  `json:"bars,omitempty"`
}

// Seeds returns how many seeds a simulation runs with, 0 to n-1, and whether it
// runs in full: as many as HOLDFAST_SEEDS says, else few and shorter.
func Seeds(t testing.TB, few uint64) (n uint64, full bool) {
	t.Helper()
	text := os.Getenv("HOLDFAST_SEEDS")
	if text == "" {
		return few, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		t.Fatalf("HOLDFAST_SEEDS is %q, want a number of seeds", text)
	}
	return n, true
}

// Save writes the data and the picture of an experiment that ran in full, if the
// documentation is to be written and nothing failed.
func (r Result) Save(t testing.TB) {
	t.Helper()
	if os.Getenv("HOLDFAST_WRITE_DOCS") == "" || t.Failed() {
		return
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(docs(t), folder, r.Name)
	write(t, base+".json", string(data)+"\n")
	write(t, base+".svg", r.picture())
}

// picture is the result's plot.
func (r Result) picture() string {
	switch {
	case r.Lines != nil:
		return r.Lines.SVG()
	case r.Bars != nil:
		return r.Bars.SVG()
	}
	return ""
}

func (r Result) title() string {
	switch {
	case r.Lines != nil:
		return r.Lines.Title
	case r.Bars != nil:
		return r.Bars.Title
	}
	return r.Name
}

// markdown is what a page shows.
func (r Result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n![%s](%s/%s.svg)\n\n", r.title(), folder, r.Name)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(r.Columns, " | "), strings.Repeat(" --- |", len(r.Columns)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	seeds := fmt.Sprintf("%d seeds", r.Seeds)
	if r.Seeds == 1 {
		seeds = "One seed"
	}
	fmt.Fprintf(&b, "\n%s. %s. Data: [%s.json](%s/%s.json).\n\n", seeds, r.Note, r.Name, folder, r.Name)
	return b.String()
}
