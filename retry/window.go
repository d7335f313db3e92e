package retry

import "time"

// slots divide a window. A sum over the window looks at slots+1 of them, the
// oldest only in part inside: what must not be forgotten counts the whole of it,
// what must not be overstated nothing of it. The error is 1/40 of the window.
const slots = 40

// ring is a sliding window of slots+1 slots over time since an origin. The zero
// T is an empty slot.
type ring[T any] struct {
	width time.Duration
	at    [slots + 1]int64 // number of the slot that stands here; 0 is before all time
	slot  [slots + 1]T
}

// current returns the slot of now, emptied if it was last used a window ago.
func (r *ring[T]) current(now time.Duration) *T {
	number := r.number(now)
	i := number % int64(len(r.at))
	if r.at[i] != number {
		var empty T
		r.at[i], r.slot[i] = number, empty
	}
	return &r.slot[i]
}

// number counts slots from 1, so that a zero ring holds nothing of ours.
func (r *ring[T]) number(now time.Duration) int64 { return int64(now/r.width) + 1 }

// find returns the slot of that number if it is still there.
func (r *ring[T]) find(number int64) *T {
	if i := number % int64(len(r.at)); number > 0 && r.at[i] == number {
		return &r.slot[i]
	}
	return nil
}

// newestFirst calls f for the slots that are at least in part inside the window
// that ends now. partial marks the oldest one.
func (r *ring[T]) newestFirst(now time.Duration, f func(s *T, partial bool)) {
	newest := r.number(now)
	for n := newest; n >= newest-slots && n > 0; n-- {
		if s := r.find(n); s != nil {
			f(s, n == newest-slots)
		}
	}
}

// amplification bounds further attempts against calls: in any 10 s at most 10
// plus one for every five calls. Every window that ends now must hold that,
// however short, because nobody knows whether more calls will come: so the
// worst is the largest sum of any suffix of what happened, a further attempt
// counting 5 and a call -1, and it must not exceed 50.
//
// A slot keeps its sum and its largest own suffix; that is all it takes to find
// the largest suffix over slots exactly. Only windows that begin in the partial
// oldest slot may be a little longer than 10 s, which errs on the safe side.
type amplification struct {
	ring[swing]
}

type swing struct {
	sum   int // 5 per further attempt, -1 per call
	worst int // largest sum of a suffix of the slot, at least 0
}

const (
	amplificationWindow = 10 * time.Second
	perAttempt          = 5  // further attempts weigh 5 ...
	perCall             = -1 // ... and calls 1: a ratio of 0.2
	amplificationLimit  = 10 * perAttempt
)

func newAmplification() amplification {
	return amplification{ring[swing]{width: amplificationWindow / slots}}
}

func (a *amplification) add(now time.Duration, weight int) {
	s := a.current(now)
	s.sum += weight
	s.worst = max(0, s.worst+weight)
}

// worst returns the largest sum of a suffix of the last 10 s.
func (a *amplification) worst(now time.Duration) int {
	worst, later := 0, 0
	a.newestFirst(now, func(s *swing, _ bool) {
		worst = max(worst, s.worst+later)
		later += s.sum
	})
	return worst
}

func (a *amplification) allows(now time.Duration) bool {
	return a.worst(now)+perAttempt <= amplificationLimit
}

// account is what came in and went out of the retry and token budgets.
type account struct {
	ring[flow]
}

type flow struct {
	attempts, successes     int64
	tokensOut, tokensEarned int64
}

func newAccount(ttl time.Duration) account {
	return account{ring[flow]{width: ttl / slots}}
}

// total sums the window: all that was spent, and only the successes that are
// inside for certain.
func (a *account) total(now time.Duration) (sum flow) {
	a.newestFirst(now, func(s *flow, partial bool) {
		sum.attempts += s.attempts
		sum.tokensOut += s.tokensOut
		if !partial {
			sum.successes += s.successes
			sum.tokensEarned += s.tokensEarned
		}
	})
	return sum
}
