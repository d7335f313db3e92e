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
	room := headroom{size: leastHeadroom}
	for i, step := range []struct {
		times int
		after time.Duration
		want  int
	}{
		{3, time.Millisecond, 32 << 20}, {1, time.Second, 32 << 20}, {3, time.Millisecond, 32 << 20}, {1, time.Millisecond, 64 << 20},
		{9, time.Second, 64 << 20}, {4, time.Millisecond, 128 << 20}, {20, time.Millisecond, 128 << 20},
		{1, time.Minute, 64 << 20}, {1, time.Minute, 32 << 20}, {9, time.Minute, 32 << 20},
	} {
		for range step.times {
			room.collected(step.after)
		}
		if room.size != step.want {
			t.Fatalf("step %d, %d collections after %s each: %d bytes, want %d", i, step.times, step.after, room.size, step.want)
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
