package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestTheReadmesFirstFiveMinutes types what the README says, in its order: the
// file it shows is the file, its commands are the commands. Only addresses
// differ, and the provider is simulated.
func TestTheReadmesFirstFiveMinutes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Five minutes")
	section, _, _ = strings.Cut(section, "\n## ")
	var file, script strings.Builder
	script.WriteString("ports SIM CALLERS ADMIN\nenv OPENAI_API_KEY=sk-readme\nexec holdfast sim --listen $SIM &sim&\nwaitfor http://$SIM/sim/faults\n")
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```(\\w*)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		switch block[1] {
		case "yaml":
			file.WriteString(strings.Replace(block[2], "kind: openai\n", "kind: openai\n    base_url: http://${SIM}\n", 1))
		case "":
			for line := range strings.Lines(strings.ReplaceAll(block[2], "\\\n", "")) {
				commands++
				script.WriteString(typed(t, strings.TrimSpace(line)))
			}
		}
	}
	if file.Len() == 0 || commands < 5 {
		t.Fatalf("found a file of %d bytes and %d commands: the README has changed its shape", file.Len(), commands)
	}
	script.WriteString("-- holdfast.yaml --\n" + file.String())
	path := filepath.Join(t.TempDir(), "readme.txtar")
	if err := os.WriteFile(path, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Files: []string{path}, RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"ports": ports, "waitfor": waitFor}})
}

// typed returns the script for one command of the README.
func typed(t *testing.T, line string) string {
	line, _, _ = strings.Cut(line, "  #")
	line = strings.TrimSpace(line)
	switch {
	case line == "make build", line == "make demo": // the Makefile's: CI and the demo's own tests run them
		return ""
	case strings.HasPrefix(line, "bin/holdfast serve"):
		return "exec holdfast" + strings.TrimPrefix(line, "bin/holdfast") + " --listen $CALLERS --admin-listen $ADMIN &gateway&\nwaitfor http://$CALLERS/readyz\n"
	case strings.HasPrefix(line, "bin/holdfast "):
		return "exec holdfast" + strings.TrimPrefix(line, "bin/holdfast") + "\n"
	case strings.HasPrefix(line, "curl "):
		return "exec " + strings.ReplaceAll(line, "127.0.0.1:8080", "$CALLERS") + "\nstdout '^HTTP/1.1 200'\nstdout '^x-holdfast-provider: openai$'\nstdout '\"object\":\"chat.completion\"'\n"
	}
	t.Fatalf("the README has a command that no test runs: %q", line)
	return ""
}
