package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	watch "github.com/holdfast-gateway/holdfast/internal/process"
)

func TestTheCPUAndMemoryOfChildrenCount(t *testing.T) {
	// The shell's child works, the shell itself waits.
	p := started(t, `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exec sleep 60' & wait`)
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		used, err := p.cpu()
		if err != nil {
			t.Fatal(err)
		}
		if used > 50*time.Millisecond && len(p.family()) == 2 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%s of CPU in %d processes, want more than 50 ms in 2", used, len(p.family()))
		}
	}
	if rss, err := p.rss(); err != nil || rss < 100_000 {
		t.Errorf("%d bytes of memory and %v", rss, err)
	}
}

func TestBothWaysOfReadingCPUTimeAgree(t *testing.T) {
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; { // so that there is something to read
	}
	clock, clockErr := cpuOf(os.Getpid())
	stat, statErr := watch.Time(os.Getpid())
	if clockErr != nil || statErr != nil {
		t.Fatal(clockErr, statErr)
	}
	if gap := (clock - stat).Abs(); gap > 100*time.Millisecond {
		t.Errorf("the clock says %s, the file %s", clock, stat)
	}
}

func TestStoppingEndsWhatTheProcessStarted(t *testing.T) {
	p := started(t, `sleep 60 & sleep 60 & echo ready; wait`)
	var family []int
	for len(family) < 3 {
		family = p.family()
	}
	p.stop()
	p.stop() // a second time is nothing
	for _, pid := range family {
		for until := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("process %d still runs", pid)
			}
		}
	}
}

// alive is false for a process that ended, also if nobody has asked how.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func started(t *testing.T, script string) *process {
	t.Helper()
	p, err := startProcess(exec.Command("sh", "-c", script), filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

func TestEveryTemplateOfAPeerIsFilledIn(t *testing.T) {
	s := settings{Listen: "127.0.0.1:1", Upstream: "127.0.0.1:2", Admin: "127.0.0.1:3", Dir: t.TempDir(), Threads: 2, Files: 1000, HAProxyConns: 400, KeyDigest: "ab"}
	for _, p := range peers() {
		if p.command == nil {
			continue
		}
		if _, err := p.command(s); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(s.Dir, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files and %v, want those of nginx, HAProxy and Holdfast", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), s.Listen) || !strings.Contains(string(text), s.Upstream) {
			t.Errorf("%s does not name both addresses (%v)", file, err)
		}
	}
}

func TestThePinnedPortkeyIsTheOneThatIsNamed(t *testing.T) {
	lock, err := templates.ReadFile("peers/portkey/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(lock), `"@portkey-ai/gateway": "`+portkeyVersion+`"`) {
		t.Errorf("the lockfile does not pin %s", portkeyVersion)
	}
	if strings.Contains(string(lock), `"resolved"`) {
		t.Error("the lockfile names download addresses: npm config omit-lockfile-registry-resolved leaves them out")
	}
}

func TestWhatCannotBeInstalledIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := installDebian("nginx", "nginx-light")(context.Background()); !errors.Is(err, errNotHere) {
		t.Errorf("got %v, want %v", err, errNotHere)
	}
}
