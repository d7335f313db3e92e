package wanted

import (
	"fmt"
	"os"
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
