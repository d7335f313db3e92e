package config

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// The migration guide promises a home to every option of other libraries. What
// it names must be there.
func TestEveryHomeInTheMigrationGuideExists(t *testing.T) {
	page := repositoryPage(t, "docs/how-to/migrate.md")
	homes := homesIn(page)
	if len(homes) < 60 {
		t.Errorf("found %d homes in the second columns: the tables have changed", len(homes))
	}
	for _, home := range homes {
		if problem := checkHome(t, home); problem != "" {
			t.Errorf("docs/how-to/migrate.md: `%s`: %s", home, problem)
		}
	}
}

func TestAHomeThatDoesNotExistIsReported(t *testing.T) {
	for home, good := range map[string]bool{
		"retry.max_attempts": true, "retry.jitter: p-retry": true, "queue.max: off": true, "limits.NAME.burst: 1": true,
		"routes.NAME.targets[].name": true, "holdfast_queue_waiting": true, "holdfast queue pause": true, "WithNoRetry": true,
		"GET /api/v1/queues": true, "x-holdfast-reason": true, "event queued": true, "class client_error": true,
		"retry.max": false, "retries.base": false, "routes.NAME.targets[].names": false, "holdfast_queue_size": false, "WithRetry": false,
		"holdfast queue clear": false, "GET /api/v1/queue": false, "x-holdfast-why": false, "event enqueued": false, "class error": false,
		"retry.jitter: p-queue": false,
	} {
		if problem := checkHome(t, home); (problem == "") != good {
			t.Errorf("%s: %q, want good %t", home, problem, good)
		}
	}
}

var (
	homeSpan = regexp.MustCompile("(event |class |reason )?`([^`]+)`")
	keyPath  = regexp.MustCompile(`^[a-z_]+(\.([a-z_]+|NAME)(\[\])?)*(: \S+)?$`)
	goName   = regexp.MustCompile(`^([A-Z]\w*\.)?[A-Z]\w*$`)
)

// homesIn returns what the tables' second columns name, with the word before an
// event, class or reason.
func homesIn(page string) []string {
	var homes []string
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.TrimSpace(cells[2]) == "Here" {
			continue
		}
		for _, span := range homeSpan.FindAllStringSubmatch(cells[2], -1) {
			homes = append(homes, span[1]+span[2])
		}
	}
	return homes
}

// checkHome says what is wrong with one; "" if it exists.
func checkHome(t *testing.T, home string) string {
	t.Helper()
	kind, name, _ := strings.Cut(home, " ")
	mentioned := func(page, text string) string {
		if !strings.Contains(repositoryPage(t, page), text) {
			return "not in " + page
		}
		return ""
	}
	switch {
	case kind == "class":
		if _, err := call.ParseClass(name); err != nil {
			return err.Error()
		}
		return ""
	case kind == "event":
		for k := call.CallStarted; k <= call.Limited; k++ {
			if k.String() == name {
				return ""
			}
		}
		return "no such event"
	case kind == "reason":
		return mentioned("call/target.go", name)
	case kind == "holdfast":
		return mentioned("docs/reference/cli.md", "## "+home+"\n")
	case kind == "GET" || kind == "POST":
		return mentioned("docs/reference/admin-api.md", "## `"+home+"`\n")
	case strings.HasPrefix(home, "holdfast_"):
		return mentioned("docs/reference/metrics.md", "`"+home+"`")
	case strings.HasPrefix(home, "x-"):
		return mentioned("docs/reference/headers.md", "`"+home+"`")
	case goName.MatchString(home):
		return checkGoName(t, home)
	case home == "RateLimit":
		return ""
	case keyPath.MatchString(home):
		return checkKey(home)
	}
	return "what is this?"
}

// checkKey follows a key through the schema, and loads its value if it has one.
func checkKey(home string) string {
	key, value, hasValue := strings.Cut(home, ": ")
	schema := Schema()
	definitions, _ := schema["$defs"].(map[string]any)
	at := []map[string]any{schema}
	for step := range strings.SplitSeq(strings.ReplaceAll(key, "[]", ".[]"), ".") {
		if at = descend(at, step, definitions); len(at) == 0 {
			return fmt.Sprintf("the schema has no %q there", step)
		}
	}
	if !hasValue {
		return ""
	}
	file := nested(strings.Split(key, "."), value)
	if _, errs := decode(newSource("home", []byte(file)), []byte(file), anySecrets(), &File{}); len(errs) > 0 {
		return errs.Error()
	}
	return ""
}

// nested writes a.b: c as a file would.
func nested(steps []string, value string) string {
	var b strings.Builder
	for i, step := range steps {
		fmt.Fprintf(&b, "%s%s:", strings.Repeat("  ", i), strings.ToLower(step))
		if i == len(steps)-1 {
			b.WriteString(" " + value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// descend returns the schemas of a member of any of these: of a key, of a NAME of
// the user's choice or of an item.
func descend(from []map[string]any, step string, definitions map[string]any) (to []map[string]any) {
	for _, schema := range unfold(from, definitions) {
		var next any
		switch step {
		case "NAME":
			next = schema["additionalProperties"]
		case "[]":
			next = schema["items"]
		default:
			properties, _ := schema["properties"].(map[string]any)
			next = properties[step]
		}
		if found, ok := next.(map[string]any); ok {
			to = append(to, found)
		}
	}
	return to
}

// unfold replaces references and alternatives by what they stand for.
func unfold(schemas []map[string]any, definitions map[string]any) (all []map[string]any) {
	for _, schema := range schemas {
		all = append(all, schema)
		if reference, ok := schema["$ref"].(string); ok {
			definition, _ := definitions[path.Base(reference)].(map[string]any)
			all = append(all, unfold([]map[string]any{definition}, definitions)...)
		}
		if alternatives, ok := schema["anyOf"].([]map[string]any); ok {
			all = append(all, unfold(alternatives, definitions)...)
		}
	}
	return all
}

// checkGoName looks for an exported function or method of the library.
func checkGoName(t *testing.T, name string) string {
	t.Helper()
	declaration := "func " + name + "("
	if room, method, is := strings.Cut(name, "."); is {
		declaration = fmt.Sprintf("func (t *%s) %s(", room, method)
	}
	sources := []string{"context.go", "transport.go", "queues.go"}
	if !slices.ContainsFunc(sources, func(file string) bool { return strings.Contains(repositoryPage(t, file), declaration) }) {
		return "not declared"
	}
	return ""
}

func repositoryPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
