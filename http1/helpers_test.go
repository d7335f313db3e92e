package http1_test

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-patience.C:
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// held counts what a leak would hold: goroutines and, where the system tells,
// descriptors.
func held() (goroutines, descriptors int) {
	list, _ := os.ReadDir("/proc/self/fd")
	return runtime.NumGoroutine(), len(list)
}

// leavesNothing fails the test if f leaves goroutines or descriptors behind.
func leavesNothing(t *testing.T, f func()) {
	t.Helper()
	goroutines, descriptors := held()
	f()
	var g, d int
	defer func() {
		if t.Failed() {
			t.Logf("%d goroutines and %d descriptors, before %d and %d", g, d, goroutines, descriptors)
		}
	}()
	eventually(t, "what was held is free again", func() bool {
		g, d = held()
		return g <= goroutines && d <= descriptors
	})
}
