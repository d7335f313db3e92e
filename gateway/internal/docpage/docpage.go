// Package docpage keeps pages of the reference equal to what the code says.
package docpage

import (
	"os"
	"strings"
	"testing"
)

const (
	begin = "<!-- generated: begin -->\n"
	end   = "<!-- generated: end -->\n"
)

// Check compares the generated part of a page with want. It rewrites the page
// instead when HOLDFAST_WRITE_DOCS is set (`make docs`).
func Check(t testing.TB, page, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, opened := strings.Cut(string(text), begin)
	table, foot, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s: no lines %q and %q", page, begin, end)
	}
	want = "\n" + strings.TrimSpace(want) + "\n\n"
	if table == want {
		return
	}
	if os.Getenv("HOLDFAST_WRITE_DOCS") == "" {
		t.Fatalf("%s is not what the code says; `make docs` writes it. Want\n%s", page, want)
	}
	if err := os.WriteFile(page, []byte(head+begin+want+end+foot), 0o644); err != nil {
		t.Fatal(err)
	}
}
