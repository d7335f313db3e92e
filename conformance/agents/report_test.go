package agents

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// page is the result of a whole run; the text around the table is written by hand.
const page = "../../docs/reference/agents.md"

// report writes the table, if it was asked for and everything was run.
func report(t *testing.T, results [][]*result) {
	t.Helper()
	if os.Getenv("HOLDFAST_WRITE_DOCS") == "" {
		return
	}
	var b strings.Builder
	for i, a := range all {
		fmt.Fprintf(&b, "\n## %s %s\n\n", a.name, versions(t)[a.npm])
		b.WriteString("| Provider | Route | Requests | Attempts | At one target in 30 s | Took | In the end |\n| --- | --- | --- | --- | --- | --- | --- |\n")
		for _, r := range results[i] {
			if r == nil {
				t.Fatal("not every scene was run: the page stays as it is")
			}
			b.WriteString(r.row())
		}
	}
	write(t, b.String())
}

func write(t *testing.T, table string) {
	t.Helper()
	const begin, end = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, opened := strings.Cut(string(text), begin)
	_, foot, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s: no lines %q and %q", page, begin, end)
	}
	if err := os.WriteFile(page, []byte(head+begin+table+"\n"+end+foot), 0o644); err != nil {
		t.Fatal(err)
	}
}

// row is the result as a line of the table.
func (r *result) row() string {
	requests := fmt.Sprint(r.requests)
	if r.retried > 0 {
		requests += fmt.Sprintf(" (%d recognised as retries)", r.retried)
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %d | %s | %s |\n", r.scene.provider, r.words(), requests, r.upstream, r.busiest, rounded(r.took), r.outcome())
}

// words are the route's settings as they stand in its file.
func (s scene) words() string {
	if s.direct || s.settings == "" {
		return s.route()
	}
	return "`" + strings.ReplaceAll(s.route(), ", ", "`, `") + "`"
}

func rounded(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// chance is what differs from run to run.
var chance = regexp.MustCompile(`, url: \S+|, request id: \S+|:\d{4,5}\b`)

// outcome is what the user sees.
func (r *result) outcome() string {
	text := chance.ReplaceAllString(r.shown(r.end), "")
	if r.exit == 0 || r.late {
		return text
	}
	const longest = 150
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "..."
	}
	return fmt.Sprintf("exit %d: %s", r.exit, strings.ReplaceAll(text, "|", "\\|"))
}
