package wanted

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// ended is a test that remembers how it ended.
type ended struct {
	testing.TB
	failed, skipped string
}

func (e *ended) Helper() {}

func (e *ended) Fatalf(format string, args ...any) {
	e.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (e *ended) Skip(args ...any) {
	e.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func TestASuiteThatIsMissingIsSkippedUnlessItIsRequired(t *testing.T) {
	for list, fails := range map[string]bool{"": false, "python": false, "nodes": false, "node": true, "curl, node": true} {
		t.Setenv(Variable, list)
		e := &ended{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Missing(e, Node, "no %s", "npm")
		}()
		<-done
		if fails != strings.HasPrefix(e.failed, "no npm") || fails == (e.skipped == "no npm") {
			t.Errorf("%q: failed %q, skipped %q", list, e.failed, e.skipped)
		}
	}
}

// TestRecordingsThatAreMissingAreNotFoundUnlessTheyAreRequired: a test that can do
// without goes on.
func TestRecordingsThatAreMissingAreNotFoundUnlessTheyAreRequired(t *testing.T) {
	t.Setenv("HOLDFAST_FIXTURES", t.TempDir())
	for list, fails := range map[string]bool{"": false, "node": false, "node,fixtures": true} {
		t.Setenv(Variable, list)
		e := &ended{TB: t}
		found, done := true, make(chan struct{})
		go func() {
			defer close(done)
			_, found = Find(e)
		}()
		<-done
		if e.skipped != "" || fails != strings.HasPrefix(e.failed, "no recorded traffic") || !fails && found {
			t.Errorf("%q: found %t, failed %q, skipped %q", list, found, e.failed, e.skipped)
		}
	}
	folder := os.Getenv("HOLDFAST_FIXTURES")
	if err := os.WriteFile(filepath.Join(folder, "index.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if at, found := Find(t); at != folder || !found {
		t.Errorf("%s, %t, want %s", at, found, folder)
	}
}

// TestOnlySuitesThatExistAreRequired: a name that is misspelt requires nothing.
func TestOnlySuitesThatExistAreRequired(t *testing.T) {
	for _, s := range parse(os.Getenv(Variable)) {
		if !slices.Contains(Suites, s) {
			t.Errorf("%s names %q; there are %q", Variable, s, Suites)
		}
	}
	if !slices.IsSorted(Suites) {
		t.Errorf("%q are not in order", Suites)
	}
}
