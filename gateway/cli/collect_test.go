package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestASmallHeapIsCollectedSeldom(t *testing.T) {
	for live, want := range map[uint64]int{0: 3200, 1 << 20: 3200, 8 << 20: 400, 32 << 20: 100, 1 << 30: 100} {
		if got := percent(live); got != want {
			t.Errorf("a live heap of %d bytes: GOGC %d, want %d", live, got, want)
		}
	}
}

// TestThePaceIsSetAfterACollection: until it is, and as often as it is asked.
func TestThePaceIsSetAfterACollection(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	paceCollector()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		runtime.GC()
		if set := debug.SetGCPercent(100); set > 100 || liveHeap() > headroom {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("GOGC is still 100")
		}
	}
}
