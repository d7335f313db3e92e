package agents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// agent is a program that people let work for them.
type agent struct {
	name     string
	npm      string // its package
	file     string // where its program is among the packages
	provider string // of the gateway's file: whose dialect it speaks
	path     string // of what it asks a model
	prepare  func(home, base string) (args, env []string, err error)
	said     *regexp.Regexp // the line with which it gives up
}

// key is what the agents send as theirs; the gateway has its own.
const key = "sk-caller"

const prompt = "Say hello."

var all = []agent{claudeCode, codex}

var claudeCode = agent{
	name: "Claude Code", npm: "@anthropic-ai/claude-code", file: "@anthropic-ai/claude-code-*/claude", provider: "anthropic", path: "/v1/messages",
	prepare: func(home, base string) (args, env []string, err error) {
		return []string{"-p", prompt, "--model", "claude-sim"}, []string{
			"ANTHROPIC_BASE_URL=" + base, "ANTHROPIC_API_KEY=" + key,
			"DISABLE_TELEMETRY=1", "DISABLE_ERROR_REPORTING=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		}, nil
	},
	said: regexp.MustCompile(`(?m)^.*API Error.*$`),
}

var codex = agent{
	name: "Codex", npm: "@openai/codex", file: "@openai/codex-*/vendor/*/bin/codex", provider: "openai", path: "/v1/responses",
	prepare: func(home, base string) (args, env []string, err error) {
		folder := filepath.Join(home, ".codex")
		config := fmt.Sprintf(`model = "gpt-sim"
model_provider = "holdfast"
check_for_update_on_startup = false

[model_providers.holdfast]
name = "Holdfast"
base_url = "%s/v1"
env_key = "HOLDFAST_KEY"
wire_api = "responses"

[analytics]
enabled = false
`, base)
		err = errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "config.toml"), []byte(config), 0o600))
		return []string{"exec", "--skip-git-repo-check", prompt}, []string{"CODEX_HOME=" + folder, "HOLDFAST_KEY=" + key}, err
	},
	said: regexp.MustCompile(`(?m)^ERROR: .*$`),
}

// end is how one run of an agent ended.
type end struct {
	exit           int
	late           bool // it was stopped
	took           time.Duration
	stdout, stderr string
}

// run lets an agent work on the prompt, in an empty home, for no longer than
// limit. It reaches nothing but base: every other address goes to outside.
func (a agent) run(t *testing.T, folder, base, outside string, limit time.Duration) end {
	t.Helper()
	home := t.TempDir()
	work := filepath.Join(home, "work")
	args, env, err := a.prepare(home, base)
	if err = errors.Join(err, os.Mkdir(work, 0o700)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, folder, a.file), args...)
	cmd.Dir = work
	cmd.Env = append(env, "PATH=/usr/local/bin:/usr/bin:/bin", "HOME="+home, "TMPDIR="+home, "TERM=dumb", "NO_COLOR=1",
		"HTTP_PROXY="+outside, "HTTPS_PROXY="+outside, "NO_PROXY=127.0.0.1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	err = cmd.Run()
	e := end{took: time.Since(began), late: ctx.Err() != nil, stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		e.exit = exit.ExitCode()
	case err != nil && !e.late:
		t.Fatalf("%s: %v\n%s", a.name, err, e.stderr)
	}
	return e
}

// shown is what the user sees in the end: the answer, or the last complaint.
func (a agent) shown(e end) string {
	if e.late {
		return "(still trying)"
	}
	if e.exit == 0 {
		return "the answer"
	}
	lines := a.said.FindAllString(e.stdout+"\n"+e.stderr, -1)
	if len(lines) == 0 {
		return "(nothing)"
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
