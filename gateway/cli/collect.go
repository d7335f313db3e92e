package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how much may be allocated between two collections of a small heap,
// in bytes. Go collects when a heap has doubled: one of 10 MB, as a gateway's is,
// dozens of times in a second, for a fifth of all processor time.
const headroom = 32 << 20

// paceCollector keeps the collector from running more often than that until the
// process ends. Who sets GOGC has decided otherwise; GOMEMLIMIT goes on to count.
func paceCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := 100
	var pace func()
	pace = func() { // runs after each collection
		if now := percent(liveHeap()); now > set+set/8 || now < set-set/8 {
			set = now
			debug.SetGCPercent(set)
		}
		afterCollection(pace)
	}
	afterCollection(pace)
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
func percent(live uint64) int {
	return int(max(100, headroom*100/max(live, 1<<20)))
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
