package breaker

import "time"

// buckets is how many steps a window is counted in.
const buckets = 10

// counts are the outcomes of some time. Failures are a share of total, slow a
// share of timed: a hanging attempt is known to be slow long before its outcome
// is known, so the two have denominators of their own.
type counts struct {
	total, failures int // outcomes known
	timed, slow     int // attempts known to be fast or slow
}

// window counts outcomes by the moment they became known and forgets them, one
// tenth of its width at a time.
type window struct {
	epoch time.Time
	width time.Duration // of one bucket
	ring  [buckets]struct {
		tick int64 // which step since the epoch the counts are of
		counts
	}
}

func newWindow(now time.Time, whole time.Duration) window {
	return window{epoch: now, width: max(1, whole/buckets)}
}

// bucket returns the counts of now, emptied if they are of an earlier round.
func (w *window) bucket(now time.Time) *counts {
	tick := int64(now.Sub(w.epoch) / w.width)
	b := &w.ring[tick%buckets]
	if b.tick != tick {
		b.tick, b.counts = tick, counts{}
	}
	return &b.counts
}

// sum adds up what the window holds now.
func (w *window) sum(now time.Time) counts {
	oldest := int64(now.Sub(w.epoch)/w.width) - buckets
	var all counts
	for i := range w.ring {
		if b := &w.ring[i]; b.tick > oldest {
			all.total += b.total
			all.failures += b.failures
			all.timed += b.timed
			all.slow += b.slow
		}
	}
	return all
}
