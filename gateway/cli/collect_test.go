package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestASmallHeapIsCollectedSeldom(t *testing.T) {
	for live, want := range map[uint64]int{0: 3200, 1 << 20: 3200, 8 << 20: 400, 32 << 20: 100, 1 << 30: 100} {
		if got := percent(live, leastHeadroom); got != want {
			t.Errorf("a live heap of %d bytes: GOGC %d, want %d", live, got, want)
		}
	}
}

func TestABusyHeapIsGivenMoreRoomAndAnIdleOneGivesItBack(t *testing.T) {
	room := leastHeadroom
	for _, step := range []struct {
		after time.Duration
		want  int
	}{
		{time.Second, 32 << 20}, {time.Millisecond, 64 << 20}, {time.Second, 64 << 20}, {time.Millisecond, 128 << 20},
		{time.Millisecond, 128 << 20}, {time.Minute, 64 << 20}, {2 * time.Minute, 32 << 20}, {2 * time.Minute, 32 << 20},
	} {
		if room = nextHeadroom(room, step.after); room != step.want {
			t.Fatalf("after %s: %d bytes, want %d", step.after, room, step.want)
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
		if set := debug.SetGCPercent(100); set > 100 || liveHeap() > mostHeadroom {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("GOGC is still 100")
		}
	}
}
