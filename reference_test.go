package holdfast_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// generated is what the pages of the reference take from the code.
var generated = []struct {
	page  string
	table func(*testing.T) string
}{
	{"docs/reference/classes.md", func(*testing.T) string { return classTable() }},
	{"docs/reference/errors.md", refusalTable},
}

// It rewrites the pages when HOLDFAST_WRITE_DOCS is set (`make docs`), and
// otherwise compares them.
func TestTheReferenceSaysWhatTheCodeSays(t *testing.T) {
	const begin, end = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"
	for _, g := range generated {
		text := string(read(t, os.DirFS("."), g.page))
		head, rest, opened := strings.Cut(text, begin)
		table, foot, closed := strings.Cut(rest, end)
		if !opened || !closed {
			t.Fatalf("%s: no lines %q and %q", g.page, begin, end)
		}
		want := "\n" + g.table(t) + "\n"
		if table == want {
			continue
		}
		if os.Getenv("HOLDFAST_WRITE_DOCS") == "" {
			t.Errorf("%s is not what the code says; `make docs` writes it. Want\n%s", g.page, want)
			continue
		}
		if err := os.WriteFile(g.page, []byte(head+begin+want+end+foot), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// refusalTable is the table of reasons in Markdown. What a reason means stands
// beside its constant and nowhere else.
func refusalTable(t *testing.T) string {
	meanings := constantComments(t, "call/problem.go")
	var b strings.Builder
	b.WriteString("| Reason | Meaning | OpenAI dialects | Anthropic dialect |\n| --- | --- | --- | --- |\n")
	for _, r := range call.Refusals {
		if meanings[r.Reason] == "" {
			t.Errorf("call/problem.go: no comment says what %q means", r.Reason)
		}
		openai := fmt.Sprintf("%d `%s` / `%s`", r.Status, r.Type, r.Code)
		anthropic := fmt.Sprintf("%d `%s`", r.AnthropicStatus, r.AnthropicType)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Reason, meanings[r.Reason], openai, anthropic)
	}
	return b.String()
}

// constantComments returns the line comments of a file's string constants, by
// the constants' values.
func constantComments(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, _ := strconv.Unquote(lit.Value) // the parser has accepted it
			comments[value] = strings.TrimSpace(spec.Comment.Text())
		}
		return true
	})
	return comments
}

// classTable is the error matrix in Markdown.
func classTable() string {
	var b strings.Builder
	b.WriteString("| Class | Same target | Other key | Other target | Breaker | Key | SLO | Capture | Escalate | Billed |\n")
	b.WriteString("|" + strings.Repeat(" --- |", 10) + "\n")
	for _, class := range call.Classes() {
		row := class.Row()
		cells := []string{
			"`" + class.String() + "`", row.Same.String(), yes(row.OtherKey, "at once"), otherTarget(row),
			row.Breaker.String(), keyCell(row), row.SLO.String(), yes(row.Capture, "yes"), yes(row.Escalate, "once"), row.Billed.String(),
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

func yes(set bool, word string) string {
	if set {
		return word
	}
	return "no"
}

func otherTarget(row call.Consequence) string {
	switch {
	case row.LargerOnly:
		return "with a larger context only"
	case row.OtherTarget && row.EjectTarget:
		return "at once; this one is ejected"
	case row.OtherTarget && row.OtherFirst:
		return "at once, preferred"
	}
	return yes(row.OtherTarget, "at once")
}

func keyCell(row call.Consequence) string {
	switch {
	case row.EjectKey:
		return "ejected"
	case row.PauseKey:
		return "paused"
	}
	return "-"
}
