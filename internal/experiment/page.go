package experiment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// folder holds the data and the pictures, below the pages that show them.
const folder = "experiments"

// overview is the page that shows every experiment; others may show some.
const overview = "experiments.md"

// place is where a page shows a result.
var place = regexp.MustCompile(`(?s)<!-- experiment: ([a-z0-9-]+) -->\n(.*?)<!-- end -->`)

// Check compares what the pages show with the data beside them, and the pictures
// with what the data draws. It writes both instead when HOLDFAST_WRITE_DOCS is
// set. Every result needs a place on the overview, and every place a result.
func Check(t testing.TB) {
	t.Helper()
	docs := docs(t)
	results := load(t, filepath.Join(docs, folder))
	for name, r := range results {
		same(t, filepath.Join(docs, folder, name+".svg"), r.picture())
	}
	pages, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text := read(t, page)
		filled, problems := fill(text, results)
		for _, p := range problems {
			t.Errorf("%s: %s", filepath.Base(page), p)
		}
		same(t, page, filled)
		if filepath.Base(page) == overview {
			for name := range results {
				if !strings.Contains(text, "<!-- experiment: "+name+" -->") {
					t.Errorf("%s has no place for %s", overview, name)
				}
			}
		}
	}
}

// fill returns a page with every place filled.
func fill(page string, results map[string]Result) (filled string, problems []string) {
	filled = place.ReplaceAllStringFunc(page, func(found string) string {
		name := place.FindStringSubmatch(found)[1]
		r, known := results[name]
		if !known {
			problems = append(problems, fmt.Sprintf("a place for %s, of which there is no data", name))
			return found
		}
		return "<!-- experiment: " + name + " -->\n" + r.markdown() + "<!-- end -->"
	})
	return filled, problems
}

// load reads all results of a folder.
func load(t testing.TB, dir string) map[string]Result {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]Result{}
	for _, file := range files {
		var r Result
		if err := json.Unmarshal([]byte(read(t, file)), &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); r.Name != name {
			t.Errorf("%s holds the result %q", file, r.Name)
		}
		results[r.Name] = r
	}
	return results
}

// same checks that a file has this content, or gives it to it.
func same(t testing.TB, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err == nil && string(got) == want { //nolint:gosec // a page of this repository
		return
	}
	if os.Getenv("HOLDFAST_WRITE_DOCS") == "" {
		t.Errorf("%s is not what its data says; `make docs` writes it", file)
		return
	}
	write(t, file, want)
}

// docs finds the folder of the pages from wherever in the repository a test runs.
func docs(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	for err == nil && dir != filepath.Dir(dir) {
		if pages := filepath.Join(dir, "docs", "explanation"); isDir(pages) {
			return pages
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("no docs/explanation above this package (%v)", err)
	return ""
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // a page of this repository
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
