package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much may be allocated between two collections of a small heap, in bytes.
// Go collects when a heap has doubled: one of 10 MB, as a gateway's is, dozens of
// times in a second, for a fifth of all processor time. The least is for a
// gateway that has little to do, the most for one that has thousands of calls in
// a second: there a collection every second or so.
const (
	leastHeadroom = 32 << 20
	mostHeadroom  = 128 << 20
)

// Where several collections in a row come faster than often there is more headroom,
// and where one comes slower than seldom less. One fast one says little: the first
// ones of a process do, and those that somebody asked for.
const (
	often  = 500 * time.Millisecond
	inARow = 4
	seldom = 4 * time.Second
)

// paceCollector keeps the collector from running more often than that until the
// process ends. Who sets GOGC has decided otherwise; GOMEMLIMIT goes on to count.
func paceCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	set, room, last := 100, headroom{size: leastHeadroom}, time.Now()
	var pace func()
	pace = func() { // runs after each collection
		room.collected(time.Since(last))
		last = time.Now()
		if now := percent(liveHeap(), room.size); now > set+set/8 || now < set-set/8 {
			set = now
			debug.SetGCPercent(set)
		}
		afterCollection(pace)
	}
	afterCollection(pace)
}

// headroom is what may be allocated until the next collection.
type headroom struct {
	size int // bytes
	fast int // collections in a row that came fast
}

// collected takes note of a collection that came so long after the one before it.
func (h *headroom) collected(after time.Duration) {
	if h.fast++; after >= often {
		h.fast = 0
	}
	switch {
	case h.fast == inARow:
		h.size, h.fast = min(2*h.size, mostHeadroom), 0
	case after > seldom:
		h.size = max(h.size/2, leastHeadroom)
	}
}

// afterCollection calls f when the collector has run once more.
func afterCollection(f func()) {
	// Larger than what the allocator packs together with others: a tiny object
	// may never be found dead.
	p := new([64]byte)
	runtime.SetFinalizer(p, func(*[64]byte) { f() })
}

// percent is the GOGC that leaves a live heap of so many bytes the headroom, and
// never less than Go itself leaves it.
func percent(live uint64, headroom int) int {
	return int(max(100, uint64(headroom)*100/max(live, 1<<20)))
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
