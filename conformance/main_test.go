package conformance

import (
	"bufio"
	"bytes"
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
)

// binary is the path of the gateway that TestMain built.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-conformance")
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "holdfast")
	build := exec.Command("go", "build", "-o", binary, "./cmd/holdfast")
	build.Dir = filepath.Join("..", "gateway")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "conformance: building the gateway: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "conformance: the stack left something running in this process:", err)
		return 1
	}
	return code
}

// gateway is a running `holdfast serve`.
type gateway struct {
	URL string

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
	g := &gateway{process: exec.Command(binary, "serve", "-c", file)}
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
			var line struct{ Msg, Callers string }
			if json.Unmarshal(scan.Bytes(), &line) == nil && line.Msg == "serving" {
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
