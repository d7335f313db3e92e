package process

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// role, in the environment, makes this test's own program be a gateway that
// behaves in one way or another.
const role = "HOLDFAST_PROCESS_ROLE"

func TestMain(m *testing.M) {
	if as := os.Getenv(role); as != "" {
		os.Exit(pretend(as))
	}
	os.Exit(m.Run())
}

// pretend is a gateway. Its exit code is what serve's would be.
func pretend(as string) int {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	const serving = `{"msg":"serving","callers":"http://127.0.0.1:1","operators":"http://127.0.0.1:2"}`
	switch as {
	case "refuses":
		fmt.Fprintln(os.Stderr, "no such file")
		return 2
	case "is silent":
		<-ends
		return 0
	}
	fmt.Println("a line before\n" + serving)
	switch as {
	case "dies":
		return 3
	case "talks":
		for range 10_000 {
			fmt.Println(strings.Repeat("words ", 100))
		}
	case "talks without end":
		fmt.Println(strings.Repeat("x", longest+1))
	case "hangs":
		select {}
	}
	<-ends
	fmt.Fprintln(os.Stderr, "the last words")
	switch as {
	case "is cut":
		return 1
	case "races":
		fmt.Fprintln(os.Stderr, "WARNING: DATA RACE")
	}
	return 0
}

func command(as string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), role+"="+as, "GORACE=atexit_sleep_ms=1")
	return c
}

func TestAGatewayIsServedWhenItSaysSoAndEndsWhenItIsAsked(t *testing.T) {
	for _, as := range []string{"serves", "talks"} {
		g, err := Serve(command(as), nil)
		if err != nil {
			t.Fatal(err)
		}
		if g.Callers != "http://127.0.0.1:1" || g.Operators != "http://127.0.0.1:2" || g.Pid == 0 {
			t.Errorf("%s: it serves %q and %q", as, g.Callers, g.Operators)
		}
		if err := g.Stop(); err != nil || g.Errors.String() != "the last words\n" {
			t.Errorf("%s: it ended with %v and said %q", as, err, g.Errors.String())
		}
	}
}

func TestEveryLineOfALogIsTold(t *testing.T) {
	var lines atomic.Int64
	g, err := Serve(command("talks"), func([]byte) { lines.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(); err != nil || lines.Load() != 10_002 {
		t.Errorf("%d lines, want 10002, %v", lines.Load(), err)
	}
}

func TestAGatewayThatDoesNotServeIsAnErrorWithWhatItSaid(t *testing.T) {
	defer func(usual time.Duration) { patience = usual }(patience)
	for as, want := range map[string]string{"refuses": "no such file", "is silent": "killed"} {
		if as == "is silent" {
			patience = 200 * time.Millisecond
		}
		if _, err := Serve(command(as), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", as, err, want)
		}
		patience = 30 * time.Second
	}
}

func TestAGatewayThatDoesNotEndWellIsAnError(t *testing.T) {
	defer func(usual time.Duration) { patience = usual }(patience)
	for as, want := range map[string]string{
		"is cut": "exit status 1\nthe last words", "dies": "exit status 3", "races": "a data race",
		"hangs": "had to be killed", "talks without end": "token too long",
	} {
		g, err := Serve(command(as), func([]byte) {})
		if err != nil {
			t.Fatal(err)
		}
		if as == "hangs" {
			patience = 200 * time.Millisecond
		}
		if err := g.Stop(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", as, err, want)
		}
		patience = 30 * time.Second
	}
}
