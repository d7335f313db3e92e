//go:build unix

package cli

import (
	"syscall"
	"testing"
	"time"
)

func send(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
}

func TestTheFirstSignalDrainsTheSecondCutsAndHangupReloads(t *testing.T) {
	reloaded := make(chan struct{}, 1)
	ctx, now, stop := signals(t.Context(), func() { reloaded <- struct{}{} })
	defer stop()

	send(t, syscall.SIGHUP)
	within(t, "the reload", reloaded)
	if ctx.Err() != nil {
		t.Fatal("a hangup ended the command")
	}
	send(t, syscall.SIGTERM)
	within(t, "the end", ctx.Done())
	select {
	case <-now:
		t.Fatal("the first signal cut answers")
	default:
	}
	send(t, syscall.SIGINT)
	within(t, "the cut", now)
}
