package soak

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
)

// What the environment says.
const (
	full     = "HOLDFAST_SOAK"      // run at full size
	binary   = "HOLDFAST_BINARY"    // the holdfast to run; else this test's own program is
	requests = "SOAK_REQUESTS"      // how many calls the leak scenario makes
	minutes  = "SOAK_MINUTES"       // how long the steady scenario lasts
	speed    = "SOAK_SPEED"         // how many times faster the trace is replayed
	outDir   = "SOAK_OUT"           // where the tables go, as JSON
	role     = "HOLDFAST_SOAK_ROLE" // what a child process of this program is
)

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "gateway":
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "soak"))
	case "provider":
		os.Exit(provide())
	}
	os.Exit(m.Run())
}

func soaking() bool { return os.Getenv(full) != "" }

// sized is a number of this run: of the environment, else by its size.
func sized(t *testing.T, name string, atFullSize, otherwise int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" && name != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%s is no number above 0", name, text)
		}
		return n
	}
	if soaking() {
		return atFullSize
	}
	return otherwise
}

// lasting is sized, for times.
func lasting(atFullSize, otherwise time.Duration) time.Duration {
	if soaking() {
		return atFullSize
	}
	return otherwise
}

// say prints progress where somebody watches.
func say(format string, args ...any) {
	if soaking() {
		fmt.Printf(format+"\n", args...)
	}
}
