package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64 // seconds
	Output      string
	ImportPath  string // of build-output and build-fail
	FailedBuild string // of a package's fail: the ImportPath that did not build
}

// summary turns events into counts and a readable story. It is used by one
// goroutine.
type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	packages                map[string]*pack
	builds                  map[string]*strings.Builder // compiler output by ImportPath
	reasons                 []string                    // of skipped tests
}

// pack is what is known of one package while its tests run.
type pack struct {
	passed, failed, skipped int
	cached                  bool
	output                  map[string]*strings.Builder // by test that has not ended; "" is the package's own
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, packages: map[string]*pack{}, builds: map[string]*strings.Builder{}}
}

// read consumes events until r ends. A line that is not an event is printed:
// it is most likely a test that writes to the process's standard output.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r) // not a Scanner: an output line has no maximum
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		fmt.Fprintf(s.out, "%s\n", strings.TrimRight(string(line), "\n"))
		return
	}
	s.add(e)
}

// add takes one event.
func (s *summary) add(e event) {
	switch e.Action {
	case "build-output":
		text(s.builds, e.ImportPath).WriteString(e.Output)
	case "run":
		text(s.pack(e.Package).output, e.Test)
	case "output":
		s.output(e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.packageEnded(e)
		} else {
			s.testEnded(e)
		}
	}
}

func (s *summary) output(e event) {
	p := s.pack(e.Package)
	if e.Test == "" && strings.HasSuffix(e.Output, "(cached)\n") {
		p.cached = true
	}
	text(p.output, e.Test).WriteString(e.Output)
}

func (s *summary) testEnded(e event) {
	p := s.pack(e.Package)
	said := text(p.output, e.Test).String()
	delete(p.output, e.Test)
	switch e.Action {
	case "pass":
		p.passed++
	case "fail":
		p.failed++
		fmt.Fprintf(s.out, "\n%s", said)
	case "skip":
		p.skipped++
		s.reasons = append(s.reasons, fmt.Sprintf("skip %s %s: %s", e.Package, e.Test, reason(said)))
	}
}

// packageEnded closes a package: its tests that never ended have failed, and a
// failed package without a failed test counts as one.
func (s *summary) packageEnded(e event) {
	p := s.pack(e.Package)
	own := text(p.output, "").String()
	delete(p.output, "")
	if e.FailedBuild != "" {
		fmt.Fprintf(s.out, "\n%s", text(s.builds, e.FailedBuild))
	}
	for _, test := range slices.Sorted(maps.Keys(p.output)) {
		p.failed++
		fmt.Fprintf(s.out, "\n%s--- DID NOT END: %s\n", p.output[test], test)
	}
	if e.Action == "fail" && (p.failed == 0 || e.FailedBuild != "") {
		p.failed = max(p.failed, 1)
		fmt.Fprintf(s.out, "\n%s", own)
	}
	s.count(p)
	s.progress(e, p)
	delete(s.packages, e.Package)
}

func (s *summary) count(p *pack) {
	s.passed += p.passed
	s.failed += p.failed
	s.skipped += p.skipped
}

// progress prints the package's line; packages without tests have none.
func (s *summary) progress(e event, p *pack) {
	if p.passed+p.failed+p.skipped == 0 {
		return
	}
	verdict := "ok  "
	if p.failed > 0 {
		verdict = "FAIL"
	}
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond).String()
	if p.cached {
		took = "cached"
	}
	fmt.Fprintf(s.out, "%s %-60s %8s  %s\n", verdict, e.Package, took, counts(p.passed, p.failed, p.skipped))
}

// broken counts a failure that no event told of.
func (s *summary) broken(module string, err error, stderr string) {
	s.failed++
	fmt.Fprintf(s.out, "\n%sFAIL module %s: %v\n", stderr, module, err)
}

// skips prints why tests were skipped: a skip that nobody reads is a test that
// nobody has.
func (s *summary) skips() {
	if len(s.reasons) > 0 {
		fmt.Fprintf(s.out, "\n%s\n", strings.Join(s.reasons, "\n"))
	}
}

// finish counts packages that were never heard of again, prints the last line
// and returns the exit code.
func (s *summary) finish() int {
	for _, name := range slices.Sorted(maps.Keys(s.packages)) {
		s.packageEnded(event{Action: "fail", Package: name})
	}
	if s.passed+s.failed == 0 {
		fmt.Fprintln(s.out, "no test ran")
	}
	fmt.Fprintln(s.out, counts(s.passed, s.failed, s.skipped))
	if s.failed > 0 || s.passed == 0 {
		return 1
	}
	return 0
}

func counts(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}

func (s *summary) pack(name string) *pack {
	p := s.packages[name]
	if p == nil {
		p = &pack{output: map[string]*strings.Builder{}}
		s.packages[name] = p
	}
	return p
}

// text returns the builder of key, made on first use.
func text(m map[string]*strings.Builder, key string) *strings.Builder {
	b := m[key]
	if b == nil {
		b = &strings.Builder{}
		m[key] = b
	}
	return b
}

// reason is what a skipped test said, in one line, without the frame that the
// testing package puts around it.
func reason(said string) string {
	var words []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		words = append(words, line)
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}
