package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	watch "github.com/holdfast-gateway/holdfast/internal/process"
)

// process is a child in a process group of its own, so that stop ends it with
// everything it started.
type process struct {
	cmd  *exec.Cmd
	once sync.Once
	gone chan struct{}
}

// startProcess runs cmd with its output in the file log. It must be called by
// the main thread: the kernel ends the child when the thread that started it
// ends, and that one lives as long as the benchmark.
func startProcess(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the child has its own
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, gone: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

// stop ends the process group and waits for its leader. It may be called twice,
// and on nil.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.once.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.gone
	})
}

func (p *process) exited() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// family is the process and what it started, and what those started.
func (p *process) family() []int {
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		pid := strconv.Itoa(all[i])
		lists, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, child := range strings.Fields(string(text)) {
				if n, err := strconv.Atoi(child); err == nil {
					all = append(all, n)
				}
			}
		}
	}
	return all
}

// cpu is the CPU time, user and system, that the process and its children have
// used so far.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.family() {
		used, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// cpuOf asks the process's CPU clock, which counts what /proc/PID/stat counts
// in nanoseconds instead of ticks of 10 ms; where there is none, the ticks.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED of the kernel: user and system
	clock := int32(^pid<<3 | scheduled)
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err == nil {
		return time.Duration(ts.Nano()), nil
	}
	return watch.Time(pid)
}

// rss is the resident memory of the process and its children, in bytes.
func (p *process) rss() (int64, error) {
	var sum int64
	for _, pid := range p.family() {
		n, err := watch.Memory(pid)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		sum += n
	}
	return sum, nil
}
