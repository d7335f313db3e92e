package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tell feeds lines of `go test -json` to a fresh summary and returns what it
// printed and its exit code.
func tell(t *testing.T, lines ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	s := newSummary(&out)
	if err := s.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatalf("read: %v", err)
	}
	s.skips()
	code := s.finish()
	return out.String(), code
}

// lastLine is what programs read.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestTestsAndSubtestsThatEndedAreCounted(t *testing.T) {
	out, code := tell(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"run","Package":"p","Test":"TestA/x"}`,
		`{"Action":"pass","Package":"p","Test":"TestA/x"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Elapsed":1.5}`,
	)
	if got, want := lastLine(out), "2 passed, 0 failed, 0 skipped"; got != want || code != 0 {
		t.Fatalf("last line %q and code %d, want %q and 0", got, code, want)
	}
	if !strings.Contains(out, "ok   p") || !strings.Contains(out, "1.5s") {
		t.Fatalf("no progress line with the time in\n%s", out)
	}
}

func TestAFailingTestPrintsItsOutputAndAPassingOneDoesNot(t *testing.T) {
	out, code := tell(t,
		`{"Action":"run","Package":"p","Test":"TestGood"}`,
		`{"Action":"output","Package":"p","Test":"TestGood","Output":"all is well\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestGood"}`,
		`{"Action":"run","Package":"p","Test":"TestBad"}`,
		`{"Action":"output","Package":"p","Test":"TestBad","Output":"got 1, want 2\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestBad"}`,
		`{"Action":"fail","Package":"p"}`,
	)
	if got, want := lastLine(out), "1 passed, 1 failed, 0 skipped"; got != want || code == 0 {
		t.Fatalf("last line %q and code %d, want %q and not 0", got, code, want)
	}
	if !strings.Contains(out, "got 1, want 2") || strings.Contains(out, "all is well") {
		t.Fatalf("wrong test's output in\n%s", out)
	}
}

func TestASkippedTestPrintsItsReason(t *testing.T) {
	out, _ := tell(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: no fixtures here\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}`,
		`{"Action":"skip","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p"}`,
	)
	if want := "skip p TestA: a_test.go:7: no fixtures here\n"; !strings.Contains(out, want) {
		t.Fatalf("no %q in\n%s", want, out)
	}
}

func TestAPackageThatDoesNotBuildCountsAsFailedAndPrintsTheCompiler(t *testing.T) {
	out, code := tell(t,
		`{"ImportPath":"p [p.test]","Action":"build-output","Output":"p_test.go:3: undefined: x\n"}`,
		`{"ImportPath":"p [p.test]","Action":"build-fail"}`,
		`{"Action":"start","Package":"p"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`,
		`{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
	)
	if got, want := lastLine(out), "0 passed, 1 failed, 0 skipped"; got != want || code == 0 {
		t.Fatalf("last line %q and code %d, want %q and not 0", got, code, want)
	}
	if !strings.Contains(out, "undefined: x") {
		t.Fatalf("no compiler output in\n%s", out)
	}
}

func TestATestThatNeverEndedCountsAsFailed(t *testing.T) {
	out, code := tell(t,
		`{"Action":"run","Package":"p","Test":"TestHangs"}`,
		`{"Action":"output","Package":"p","Test":"TestHangs","Output":"panic: test timed out\n"}`,
		`{"Action":"fail","Package":"p"}`,
	)
	if got, want := lastLine(out), "0 passed, 1 failed, 0 skipped"; got != want || code == 0 {
		t.Fatalf("last line %q and code %d, want %q and not 0", got, code, want)
	}
	if !strings.Contains(out, "panic: test timed out") || !strings.Contains(out, "DID NOT END: TestHangs") {
		t.Fatalf("the hanging test is not named in\n%s", out)
	}
}

func TestAPackageThatVanishesCountsAsFailed(t *testing.T) {
	out, code := tell(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
	)
	if got, want := lastLine(out), "1 passed, 1 failed, 0 skipped"; got != want || code == 0 {
		t.Fatalf("last line %q and code %d, want %q and not 0", got, code, want)
	}
}

func TestNoTestAtAllIsAFailure(t *testing.T) {
	out, code := tell(t, `{"Action":"skip","Package":"p"}`)
	if got, want := lastLine(out), "0 passed, 0 failed, 0 skipped"; got != want || code == 0 {
		t.Fatalf("last line %q and code %d, want %q and not 0", got, code, want)
	}
}

func TestALineThatIsNotAnEventIsPrintedAndNotCounted(t *testing.T) {
	out, code := tell(t, `hello from a test`, `{"Action":"pass","Package":"p","Test":"TestA"}`, `{"Action":"pass","Package":"p"}`)
	if !strings.Contains(out, "hello from a test") || code != 0 {
		t.Fatalf("code %d and\n%s", code, out)
	}
}

func TestABrokenModuleCountsAsFailed(t *testing.T) {
	var out bytes.Buffer
	s := newSummary(&out)
	s.broken("gateway", errors.New("exit status 1"), "go.mod:3: bad\n")
	if code := s.finish(); code == 0 || !strings.Contains(out.String(), "go.mod:3: bad") {
		t.Fatalf("code %d and\n%s", code, out.String())
	}
}

// The go command itself is the oracle: its real events for a module with one
// passing, one skipped and one failing test.
func TestTheEventsOfTheGoCommandAreUnderstood(t *testing.T) {
	module := t.TempDir()
	write(t, module, "go.mod", "module example.invalid/small\n\ngo 1.26\n")
	write(t, module, "small_test.go", `package small

import "testing"

func TestPasses(t *testing.T) { t.Run("inside", func(*testing.T) {}) }
func TestSkips(t *testing.T)  { t.Skip("not on this machine") }
func TestFails(t *testing.T)  { t.Error("seven is not eight") }
`)
	write(t, module, "broken/broken_test.go", "package broken\n\nvar x int = \"text\"\n")
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "-buildvcs=false")

	var out bytes.Buffer
	code := run(context.Background(), []string{module}, &out)
	if got, want := lastLine(out.String()), "2 passed, 2 failed, 1 skipped"; got != want || code != 1 {
		t.Fatalf("last line %q and code %d, want %q and 1:\n%s", got, code, want, out.String())
	}
	for _, want := range []string{"seven is not eight", "not on this machine", "cannot use"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestAModuleWithABrokenGoModIsAFailure(t *testing.T) {
	module := t.TempDir()
	write(t, module, "go.mod", "this is not a module file\n")
	t.Setenv("GOWORK", "off")

	var out bytes.Buffer
	if code := run(context.Background(), []string{module}, &out); code != 1 {
		t.Fatalf("code %d, want 1:\n%s", code, out.String())
	}
	if got, want := lastLine(out.String()), "0 passed, 1 failed, 0 skipped"; got != want {
		t.Fatalf("last line %q, want %q", got, want)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
