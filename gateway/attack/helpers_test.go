package attack

import (
	"cmp"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
)

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// gatewayProcess is holdfast with these arguments: the binary that the
// environment names, else this test's own program.
func gatewayProcess(args ...string) *exec.Cmd {
	c := exec.Command(cmp.Or(os.Getenv(binary), os.Args[0]), args...)
	c.Env = append(os.Environ(), asGateway+"=1", "GORACE=atexit_sleep_ms=1")
	return c
}

// exitCode is how a process ended; -1 when it did not end by itself.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func attacking() bool { return os.Getenv(everything) != "" }

// asTimeout reports whether a read ended because nothing came in time.
func asTimeout(err error, as *net.Error) bool { return errors.As(err, as) && (*as).Timeout() }
