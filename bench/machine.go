package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine says where and of what the figures are.
type machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryGB float64           `json:"memory_gb"`
	Kernel   string            `json:"kernel"`
	Go       string            `json:"go"`
	Commit   string            `json:"commit"`
	Date     string            `json:"date"`
	Versions map[string]string `json:"versions"` // of the systems
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

func describe(ctx context.Context, root string, systems []peer) machine {
	m := machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Commit: commit(ctx, root), Date: time.Now().UTC().Format(time.DateOnly),
		Versions: map[string]string{},
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGB = float64(info.Totalram) * float64(info.Unit) / 1e9
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = "Linux " + versionNumber.FindString(unix.ByteSliceToString(name.Release[:]))
	}
	for _, p := range systems {
		m.Versions[p.name] = p.version(ctx, m)
	}
	return m
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(text) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// commit is that of the working tree, marked where the tree is another.
func commit(ctx context.Context, root string) string {
	out, err := output(ctx, "git", "-C", root, "rev-parse", "--short", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := output(ctx, "git", "-C", root, "status", "--porcelain", "--untracked-files=no"); err == nil && changed != "" {
		out += " with changes"
	}
	return out
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// version says what is measured, in a few words.
func (p peer) version(ctx context.Context, m machine) string {
	switch p.name {
	case direct:
		return "no proxy"
	case reverseProxy:
		return "net/http/httputil of " + m.Go
	case holdfast:
		return "commit " + m.Commit
	case portkey:
		node, _ := output(ctx, "node", "--version")
		return fmt.Sprintf("%s on Node.js %s", portkeyVersion, strings.TrimPrefix(node, "v"))
	}
	out, err := output(ctx, p.name, "-v")
	if err != nil {
		return "unknown"
	}
	return versionNumber.FindString(out)
}

// found is the path of a command's program.
func found(command string) func(bin string) string {
	return func(string) string {
		path, _ := exec.LookPath(command)
		return path
	}
}

// built is the path of a program that we built.
func built(name string) func(bin string) string {
	return func(bin string) string { return filepath.Join(bin, name) }
}
