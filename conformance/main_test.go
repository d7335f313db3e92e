package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
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

	process *exec.Cmd
	stderr  bytes.Buffer
	lines   sync.WaitGroup
}

// serve runs the gateway with this configuration on a free port, until the test
// ends. Then it must end well.
func serve(t *testing.T, configuration string) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gateway{process: exec.Command(os.Args[0], "serve", "-c", file, "--drain-delay", "0s")}
	g.process.Env = append(os.Environ(), asGateway+"=1", "GORACE=atexit_sleep_ms=1")
	g.process.Stderr = &g.stderr
	out, err := g.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	g.lines.Go(func() {
		defer close(address)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			var line struct{ Msg, Callers, Operators string }
			if json.Unmarshal(scan.Bytes(), &line) == nil && line.Msg == "serving" {
				g.Operators = line.Operators // read after the address
				address <- line.Callers
			}
		}
	})
	t.Cleanup(func() { g.stop(t) })
	select {
	case g.URL = <-address:
	case <-time.After(30 * time.Second):
	}
	if g.URL == "" {
		t.Fatal("the gateway did not say where it serves")
	}
	return g
}

// stop asks the gateway to end. It has nothing left to do, so it ends at once.
func (g *gateway) stop(t *testing.T) {
	_ = g.process.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { _ = g.process.Process.Kill() })
	defer late.Stop()
	g.lines.Wait()
	if err := g.process.Wait(); err != nil {
		t.Errorf("the gateway ended with %v\n%s", err, strings.TrimSpace(g.stderr.String()))
	}
}
