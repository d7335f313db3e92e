package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
	"github.com/holdfast-gateway/holdfast/internal/process"
)

// asGateway, in the environment, makes this test's own program be holdfast. So
// the gateway is a process of its own, built with the race detector, and tests
// are run again when its code changes.
const asGateway = "HOLDFAST_CONFORMANCE_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "conformance"))
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "conformance: the stack left something running in this process:", err)
		code = 1
	}
	os.Exit(code)
}

// gateway is a running `holdfast serve`.
type gateway struct {
	URL       string
	Operators string // where its metrics are
}

// serve runs the gateway with this configuration on a free port, until the test
// ends. Then it must end well: it has nothing left to do.
func serve(t *testing.T, configuration string) *gateway {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0], "serve", "-c", file, "--drain-delay", "0s")
	command.Env = append(os.Environ(), asGateway+"=1", "GORACE=atexit_sleep_ms=1", "HOLDFAST_STATE="+filepath.Join(dir, "state"))
	g, err := process.Serve(command, nil)
	if err != nil {
		t.Fatalf("the gateway: %v", err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	return &gateway{URL: g.Callers, Operators: g.Operators}
}
