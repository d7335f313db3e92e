// Package wanted decides what becomes of a test that lacks something of this
// machine: a program, a registry, recordings. It skips itself and says why,
// unless HOLDFAST_REQUIRE names its suite: then it fails. CI names all suites of
// `make test`, so that none disappears there unnoticed.
package wanted

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Variable is the environment variable with the required suites, separated by
// commas.
const Variable = "HOLDFAST_REQUIRE"

// Suite is a group of tests that need the same thing.
type Suite string

// The suites.
const (
	Clients    Suite = "clients"    // npm and a registry to fetch agents from; `make clients` only
	Curl       Suite = "curl"       // the program
	Fixtures   Suite = "fixtures"   // recorded provider traffic at HOLDFAST_FIXTURES
	H2spec     Suite = "h2spec"     // a module proxy to fetch it from; `make attack` only
	Names      Suite = "names"      // a name in /etc/hosts that leads to loopback and is not localhost
	Node       Suite = "node"       // node, npm and a registry to fetch clients from
	Prometheus Suite = "prometheus" // prometheus and promtool
	Python     Suite = "python"     // python3 with httpx
)

// Suites are all of them, in alphabetical order.
var Suites = []Suite{Clients, Curl, Fixtures, H2spec, Names, Node, Prometheus, Python}

// Missing ends the test: skipped, with the reason, or failed where the suite is
// required. It must be called from the test's own goroutine.
func Missing(t testing.TB, s Suite, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if required(s, os.Getenv(Variable)) {
		t.Fatalf("%s (%s requires the suite %q)", reason, Variable, s)
	}
	t.Skip(reason)
}

func required(s Suite, list string) bool { return slices.Contains(parse(list), s) }

func parse(list string) (suites []Suite) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			suites = append(suites, Suite(name))
		}
	}
	return suites
}

// Recordings returns the folder of recorded provider traffic, which is not part
// of the repository: HOLDFAST_FIXTURES, or shared/fixtures beside the
// repository. A relative path begins at the repository's root. Where there is
// none, it is Missing.
func Recordings(t testing.TB) string {
	t.Helper()
	folder, err := recordings(t)
	if err != nil {
		Missing(t, Fixtures, "no recorded traffic at HOLDFAST_FIXTURES: %v", err)
	}
	return folder
}

// Find is Recordings for a test that can do without: where there are none and
// nobody requires them, it says false and the test goes on.
func Find(t testing.TB) (folder string, found bool) {
	t.Helper()
	folder, err := recordings(t)
	if err != nil && required(Fixtures, os.Getenv(Variable)) {
		Missing(t, Fixtures, "no recorded traffic at HOLDFAST_FIXTURES: %v", err)
	}
	return folder, err == nil
}

func recordings(t testing.TB) (string, error) {
	t.Helper()
	folder := os.Getenv("HOLDFAST_FIXTURES")
	if folder == "" {
		folder = filepath.Join("..", "shared", "fixtures")
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(Root(t), folder)
	}
	_, err := os.Stat(filepath.Join(folder, "index.json")) //nolint:gosec // the developer's own variable names the folder
	return folder, err
}

// Root returns the folder of the repository, above the test's own.
func Root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.work")); err == nil {
			return folder
		}
		up := filepath.Dir(folder)
		if up == folder {
			t.Fatal("no go.work above the test")
		}
		folder = up
	}
}
