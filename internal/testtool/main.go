// Command testtool runs the tests of the modules named on its command line and
// says what happened: one line per package while they run, the output of every
// failing test, the reason of every skipped one, and a last line that programs
// may read:
//
//	12 passed, 0 failed, 1 skipped
//
// It counts every test, subtest, example and fuzz seed that ended. A package
// that does not build, a process that dies and a test that never ended count as
// failed, so that nothing disappears from the count by breaking hard enough.
// The exit code is 0 only if something passed and nothing failed.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// bar is how long all tests together may take on two cores. Slower machines
// exist, so crossing it is said and not failed.
const bar = 15 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

// run tests the modules one after the other and returns the exit code.
func run(ctx context.Context, modules []string, out io.Writer) int {
	if len(modules) == 0 {
		fmt.Fprintln(out, "usage: testtool MODULE...")
		return 2
	}
	start := time.Now()
	s := newSummary(out)
	for _, module := range modules {
		testModule(ctx, module, s)
	}
	s.skips()
	took := time.Since(start).Round(time.Second)
	fmt.Fprintf(out, "\nall modules: %s\n", took)
	if took > bar {
		fmt.Fprintf(out, "slow: over the bar of %s\n", bar)
	}
	return s.finish()
}

// testModule runs one module's tests and feeds their events to s.
func testModule(ctx context.Context, module string, s *summary) {
	cmd := exec.CommandContext(ctx, "go", "test", "-race", "-timeout=20m", "-json", "./...")
	cmd.Dir = module
	// Interrupt before kill: the go command then stops the tests it started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stderr := &tail{limit: 64 << 10}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.broken(module, err, "")
		return
	}
	failedBefore := s.failed
	readErr := s.read(stdout)
	err = cmd.Wait()
	switch {
	case readErr != nil:
		s.broken(module, readErr, stderr.String())
	case err != nil && strings.Contains(stderr.String(), "no packages to test"):
		fmt.Fprintf(s.out, "none %s has no packages\n", module)
	case err != nil && s.failed == failedBefore:
		// The go command failed and no test did: a broken go.mod, for example.
		s.broken(module, err, stderr.String())
	}
}

// tail keeps the last bytes written to it, so that a chatty process cannot
// fill the memory.
type tail struct {
	limit int
	buf   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }
