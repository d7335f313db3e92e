package holdfast_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/holdfast-gateway/holdfast"

// layer says what the packages of one folder may import of ours. Folders are
// relative to the repository root, whose own package is ".". A "*" stands for
// one path element, a trailing "/..." for the folder and everything below it.
// A more exact folder wins over a pattern. A package and its own external test
// may always import each other.
type layer struct {
	folder  string
	imports []string // by its code, and by its tests
	tests   []string // by its tests, besides testImports
}

var (
	vocabulary   = []string{"call"}
	nothing      = []string(nil)
	whole        = []string{"..."}
	testImports  = []string{"sim", "fault", "internal/pipenet", "internal/process", "internal/wanted", "internal/experiment", "internal/plot", "stream"}
	frontDoorFor = []string{
		"http1", "call", "dialect/*", "stream", "provider", "provider/*", "fault", "chaos",
		"ratelimit", "cache", "admission", "timeout", "dispatch", "retry", "breaker", "concurrency", "quota", "target",
		"safety", "capture", "slo", "spend", "incident", "probe", "gameday",
	}
)

// layers is the house of the design, one row per room. A new folder needs a
// row. A row whose folder does not exist yet is a room that is planned.
var layers = []layer{
	// The front door is the only place that knows the order, so it knows every
	// room; never the simulated provider (a product does not ship its fakes) and
	// never the gateway, which stands on it.
	{folder: ".", imports: frontDoorFor, tests: whole},

	// The ground floor.
	{folder: "call", imports: nothing},
	{folder: "fault", imports: nothing},
	{folder: "http1", imports: nothing}, // the wire to the providers knows nothing of calls

	// Policies know the vocabulary and not each other: what one needs from
	// another is a function field that the root fills.
	{folder: "ratelimit", imports: vocabulary},
	{folder: "spend", imports: vocabulary},
	{folder: "admission", imports: vocabulary},
	{folder: "cache", imports: vocabulary},
	{folder: "timeout", imports: vocabulary},
	{folder: "dispatch", imports: vocabulary},
	{folder: "retry", imports: vocabulary},
	{folder: "breaker", imports: vocabulary},
	{folder: "concurrency", imports: vocabulary},
	{folder: "quota", imports: vocabulary},
	{folder: "target", imports: vocabulary},
	{folder: "safety", imports: vocabulary},
	{folder: "capture", imports: vocabulary},

	// Wire formats, and what carries them.
	{folder: "dialect/*", imports: vocabulary},
	{folder: "stream", imports: []string{"call", "timeout"}, tests: []string{"dialect/*"}},

	// Vendors know the formats and never each other.
	{folder: "provider", imports: []string{"call", "dialect/*"}},
	{folder: "provider/all", imports: []string{"provider", "provider/*"}, tests: []string{"call", "dialect/*"}},
	{folder: "provider/providertest", imports: []string{"call", "dialect/*", "internal/wanted", "provider"}},
	{folder: "provider/*", imports: []string{"call", "dialect/*", "provider"}, tests: []string{"provider/providertest"}},

	// Listeners and drivers around the flow, and faults inside it.
	{folder: "chaos", imports: []string{"call", "fault"}},
	{folder: "gameday", imports: []string{"call", "chaos", "fault", "probe", "slo"}},
	{folder: "incident", imports: vocabulary},
	{folder: "probe", imports: []string{"call", "dialect/*"}},
	{folder: "slo", imports: vocabulary},

	// Made for tests and demonstrations.
	{folder: "sim", imports: []string{"fault", "call", "dialect/*"}},
	{folder: "experiments", imports: nothing, tests: whole}, // simulations of what the rooms do together
	{folder: "internal/experiment", imports: []string{"internal/plot"}},
	{folder: "internal/pipenet", imports: nothing},
	{folder: "internal/plot", imports: nothing},
	{folder: "internal/process", imports: nothing},
	{folder: "internal/testtool", imports: nothing},
	{folder: "internal/wanted", imports: nothing},
	{folder: "examples/...", imports: whole},
}

// suites are packages that only tests may import: they import testing.
var suites = []string{"provider/providertest"}

// strangers are the modules that may have third-party dependencies, and the
// only ones that may import the gateway.
var strangers = []string{"gateway", "conformance", "bench"}

func TestEveryFolderImportsOnlyWhatItsRowAllows(t *testing.T) {
	for _, problem := range checkLayers(t, os.DirFS(".")) {
		t.Error(problem)
	}
}

func TestTheLayerCheckReportsWhatBreaksTheHouse(t *testing.T) {
	const ours = modulePath + "/"
	cases := []struct {
		name, file, imports string
		want                string // part of the one problem; "" for none
	}{
		{"a policy on the vocabulary is fine", "breaker/breaker.go", ours + "call", ""},
		{"a policy on another policy", "breaker/breaker.go", ours + "retry", "breaker/breaker.go: may not import retry"},
		{"the vocabulary on a policy", "call/call.go", ours + "quota", "call/call.go: may not import quota"},
		{"a policy on the front door", "retry/retry.go", modulePath, "retry/retry.go: may not import ."},
		{"a vendor on another vendor", "provider/openai/openai.go", ours + "provider/anthropic", "may not import provider/anthropic"},
		{"the list on every vendor is fine", "provider/all/all.go", ours + "provider/openai", ""},
		{"the list's code on the vendors' test suite", "provider/all/all.go", ours + "provider/providertest", "may not import provider/providertest"},
		{"the list's tests on it are fine", "provider/all/all_test.go", ours + "provider/providertest", ""},
		{"the front door on the simulated provider", "holdfast.go", ours + "sim", "holdfast.go: may not import sim"},
		{"the front door's tests on it are fine", "holdfast_test.go", ours + "sim", ""},
		{"a room's tests on the simulated provider are fine", "retry/retry_test.go", ours + "sim", ""},
		{"a room's tests on another policy", "retry/retry_test.go", ours + "breaker", "may not import breaker"},
		{"a room's external test on its own room is fine", "retry/retry_test.go", ours + "retry", ""},
		{"a folder without a row", "util/util.go", "fmt", "util: no row in layers_test.go"},
		{"a third-party import", "call/call.go", "gopkg.in/yaml.v3", "call/call.go: third-party import gopkg.in/yaml.v3"},
		{"a third-party import in a test", "call/call_test.go", "gopkg.in/yaml.v3", "third-party import gopkg.in/yaml.v3"},
		{"a module that only begins like ours", "call/call.go", modulePath + "-fork/x", "third-party import"},
		{"cgo", "call/call.go", "C", "call/call.go: third-party import C"},
		{"the gateway from the front door's tests", "holdfast_test.go", ours + "gateway/edge", "may not import gateway/edge"},
		{"the gateway from the gateway is fine", "gateway/edge/edge.go", ours + "gateway/config", ""},
		{"the gateway on a third party is fine", "gateway/edge/edge.go", "gopkg.in/yaml.v3", ""},
		{"the gateway on the simulated provider is fine", "gateway/demo.go", ours + "sim", ""},
		{"test data is no code of ours", "call/testdata/x.go", "gopkg.in/yaml.v3", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			writeFile(t, root, c.file, fmt.Sprintf("package x\n\nimport _ %q\n", c.imports))
			problems := checkLayers(t, os.DirFS(root))
			switch {
			case c.want == "" && len(problems) > 0:
				t.Fatalf("got %q, want no problem", problems)
			case c.want != "" && len(problems) != 1:
				t.Fatalf("got %q, want one problem with %q", problems, c.want)
			case c.want != "" && !strings.Contains(problems[0], c.want):
				t.Fatalf("got %q, want %q in it", problems[0], c.want)
			}
		})
	}
}

// checkLayers reads the import lines of every Go file below root and returns
// what breaks the table, in the order of the files. It parses and never asks
// the go command, so build constraints hide nothing.
func checkLayers(t *testing.T, root fs.FS) []string {
	t.Helper()
	var problems []string
	unknown := map[string]bool{}
	for _, file := range goFiles(t, root) {
		folder := path.Dir(file)
		stranger := slices.Contains(strangers, strings.Split(file, "/")[0])
		if stranger {
			continue // may import everything
		}
		row, ok := layerOf(folder)
		if !ok {
			if !unknown[folder] {
				problems = append(problems, folder+": no row in layers_test.go says what it may import")
			}
			unknown[folder] = true
			continue
		}
		for _, imported := range importsOf(t, root, file) {
			if problem := row.judge(file, imported); problem != "" {
				problems = append(problems, file+": "+problem)
			}
		}
	}
	return problems
}

// judge says what is wrong with one import of one file; "" if nothing is.
func (l layer) judge(file, imported string) string {
	ours, ok := inModule(imported)
	if !ok {
		if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") || imported == "C" {
			return "third-party import " + imported
		}
		return ""
	}
	allowed := l.imports
	if strings.HasSuffix(file, "_test.go") {
		if ours == path.Dir(file) {
			return ""
		}
		allowed = slices.Concat(allowed, testImports, l.tests)
	}
	stranger := slices.Contains(strangers, strings.Split(ours, "/")[0])
	onlyTests := slices.Contains(suites, ours) && !strings.HasSuffix(file, "_test.go")
	if stranger || onlyTests || !matchesAny(allowed, ours) {
		return "may not import " + ours
	}
	return ""
}

// layerOf returns the row of a folder: the exact one, else the first pattern.
func layerOf(folder string) (layer, bool) {
	for _, l := range layers {
		if l.folder == folder {
			return l, true
		}
	}
	for _, l := range layers {
		if matchesAny([]string{l.folder}, folder) {
			return l, true
		}
	}
	return layer{}, false
}

func matchesAny(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
			return strings.HasPrefix(folder+"/", prefix)
		}
		matched, _ := path.Match(pattern, folder) // the patterns are ours and well formed
		return matched
	})
}

// inModule returns the folder of an import path of this repository.
func inModule(imported string) (string, bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

func importsOf(t *testing.T, root fs.FS, file string) []string {
	t.Helper()
	source, err := fs.ReadFile(root, file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var imports []string
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: import %s: %v", file, spec.Path.Value, err)
		}
		imports = append(imports, imported)
	}
	return imports
}

// goFiles lists the Go files below root that the go command would look at.
func goFiles(t *testing.T, root fs.FS) []string {
	t.Helper()
	files := sourceFiles(t, root)
	return slices.DeleteFunc(files, func(file string) bool {
		return path.Ext(file) != ".go" || slices.Contains(strings.Split(file, "/"), "testdata")
	})
}

// sourceFiles lists the files below root that people write: not what git keeps
// for itself, what `make build` makes or what a package manager downloads.
func sourceFiles(t *testing.T, root fs.FS) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".cache", "bin", "dist", "node_modules"}, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func writeFile(t *testing.T, root, name, content string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
