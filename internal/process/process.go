// Package process is what tests and benchmarks ask of processes that they
// started: what one says, how much memory it holds and how much processor time it
// has used. Serve starts a gateway and waits until it serves.
//
// The figures are read below /proc. Where a process is gone they are errors, on
// Linux as elsewhere: a test must not take a process that died for a system that
// cannot say.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Text is an io.Writer that may be read while others write to it. The zero value
// is ready; it is safe for concurrent use and must not be copied.
type Text struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// Write adds to the text; it never fails.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.Write(p)
}

// String returns everything that was written.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.String()
}

// Memory returns the resident memory of a process, in bytes.
func Memory(pid int) (int64, error) {
	text, err := read(pid, "statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return 0, errors.New("process: a short statm")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("process: statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// Time returns the processor time, user and system, that a process has used, to
// 10 ms.
func Time(pid int) (time.Duration, error) {
	text, err := read(pid, "stat")
	if err != nil {
		return 0, err
	}
	const tick = 10 * time.Millisecond
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // a name may hold anything
	if len(fields) < 13 {
		return 0, errors.New("process: a short stat")
	}
	var sum int64
	for _, field := range fields[11:13] { // utime and stime, see proc(5)
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process: stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// Arguments returns the arguments of a process, as everybody on the machine can
// read them.
func Arguments(pid int) ([]string, error) {
	text, err := read(pid, "cmdline")
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(text, "\x00"), "\x00"), nil
}

func read(pid int, what string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, what))
	return string(text), err
}
