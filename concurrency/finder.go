package concurrency

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// The figures of an adaptive limit. They were tried on simulated servers of 1 to
// 64 slots and on hosted providers without a limit (finder_test.go).
const (
	window   = time.Second // what is seen is judged at most so often,
	enough   = 10          // and not before there are so many first tokens,
	slow     = 10 * window // or, of a target with few calls, after that long,
	few      = 3           // and with so many
	outdated = time.Minute // what is left of a window that took longer says nothing

	queued    = 1.3  // first tokens that come so many times later than usual may have waited in a queue,
	sure      = 3.0  // if chance would not have it so, by so many standard errors,
	queueMin  = 0.03 // and so much of the limit is in that queue:
	late      = 2.0  // or if they come so many times later
	allWell   = 1.2  // below it the limit grows in each window, else in each second one
	wanted    = 0.8  // it only grows while so much of it is in use
	samePlace = 0.1  // two cuts that begin so near to one another show where the queue begins:
	patience  = 8    // there it waits so many windows before it tries again,
	near      = 0.96 // of it, which is just below
	cut       = 0.9  // it shrinks at least to so much of itself
	deepCut   = 0.7  // and at most, by what first tokens say, to so much; by refusals always
	deepest   = 0.5  // unless more than queueDeep of it stands in the queue
	queueDeep = 0.25
	calm      = 5 * window // refusals so soon after another are of the same trouble

	settle = 0.5    // share of the way, in logarithms, down to a lower usual time
	drift  = 0.0005 // and up, in each window: the target may have become slower
	margin = 1.5    // standard errors that a lower time has to be below
	same   = 0.2    // first tokens that are so much later or sooner, in logarithms, are not as late as before
	lift   = 0.69   // most that the usual time may rise at a cut, in logarithms: to twice
)

// finder looks for the number of attempts that a target carries without a queue.
// It belongs to one Limit, whose lock guards it.
type finder struct {
	limit, least, most float64
	found              bool // a queue was seen once: growth is by one, no more by a tenth

	began  time.Time // of the window
	after  time.Time // attempts sent before the last cut speak of the limit before it
	calmAt time.Time // refusals before it are not news
	held   bool      // the last window did not grow although it could
	knee   float64   // where cut after cut began; 0: at no such place
	cutAt  float64   // the limit before the last cut; 0: there was none
	waited int       // windows just below it
	before float64   // how late first tokens were at the last cut, as a logarithm; 0: it has grown since
	lift   float64   // how far the usual times may rise after the last cut

	seen   int // answers in this window
	inUse  int // most that were in flight at one of them
	ratios sample
	waits  sample
	spread float64 // of ratios, as a standard deviation
	ratio  float64 // of the last window

	sizes [25]usual // by the logarithm of the prompt's tokens
}

func newFinder(initial float64) *finder { return &finder{limit: initial} }

func (f *finder) bound(least, most float64) {
	f.least, f.most = least, most
	f.limit = min(max(f.limit, least), most)
}

// usual is the time to a first token without a queue, for one size of prompt.
type usual struct {
	log   float64 // of seconds
	known bool
	again bool // it is measured again
	last  [enough]float64
	n     int
}

// sample keeps the last values of a window.
type sample struct {
	values [128]float64
	n      int // values added
}

func (s *sample) add(v float64) {
	s.values[s.n%len(s.values)] = v
	s.n++
}

// quartiles returns the lower quartile, the median and the upper quartile; the
// values lose their order. There must be some.
func (s *sample) quartiles() (lower, median, upper float64) {
	v := s.values[:min(s.n, len(s.values))]
	slices.Sort(v)
	return v[len(v)/4], v[len(v)/2], v[len(v)*3/4]
}

// observe takes one answer, with what was in flight when it came.
func (f *finder) observe(now time.Time, tokens int, took time.Duration, inFlight int) {
	if f.began.IsZero() || now.Sub(f.began) > outdated && f.seen < few {
		f.begin(now, inFlight)
	}
	f.seen++
	f.inUse = max(f.inUse, inFlight)
	if took > 0 {
		f.compare(now, tokens, took)
	}
	past, n := now.Sub(f.began), f.ratios.n
	switch {
	case past < window:
	case n >= enough, past >= slow && n >= few:
		f.judge(now)
		f.begin(now, inFlight)
	case n == 0 && f.seen >= enough && took <= 0:
		f.growBlindly()
		f.begin(now, inFlight)
	}
}

func (f *finder) begin(now time.Time, inFlight int) {
	f.began, f.seen, f.inUse = now, 0, inFlight
	f.ratios.n, f.waits.n = 0, 0
}

// compare holds a first token against what is usual for its size of prompt.
func (f *finder) compare(now time.Time, tokens int, took time.Duration) {
	u := &f.sizes[min(bits.Len(uint(max(tokens, 0))), len(f.sizes)-1)]
	fresh := !now.Add(-took).Before(f.after)
	log := math.Log(took.Seconds())
	if fresh && u.known && !u.again {
		f.ratios.add(log - u.log)
		f.waits.add(took.Seconds() - math.Exp(u.log))
	}
	if fresh || !u.again {
		u.learn(log, f.spread, f.lift)
	}
}

// learn takes one first token into what is usual. The first few may stand in a
// queue that this caller has made: then the soonest counts.
func (u *usual) learn(log, spread, lift float64) {
	u.last[u.n] = log
	u.n++
	if !u.known && u.n == few {
		u.log, u.known = slices.Min(u.last[:few]), true
	}
	if u.n < enough {
		return
	}
	u.n = 0
	slices.Sort(u.last[:])
	median := u.last[enough/2]
	if u.again {
		u.log, u.again = min(median, u.log+lift), false
		return
	}
	if low := median + margin*standardError(spread, enough); low < u.log {
		u.log += settle * (low - u.log)
	}
}

// standardError is that of a median of n values of a normal distribution.
func standardError(spread float64, n int) float64 { return 1.25 * spread / math.Sqrt(float64(n)) }

// judge ends a window.
func (f *finder) judge(now time.Time) {
	lower, median, upper := f.ratios.quartiles()
	_, wait, _ := f.waits.quartiles()
	f.ratio = math.Exp(median)
	if spread := (upper - lower) / 1.35; f.spread == 0 {
		f.spread = spread
	} else {
		f.spread += 0.1 * (spread - f.spread)
	}
	doubt := standardError(f.spread, f.ratios.n)
	certain := median - sure*doubt
	queue := wait * float64(f.seen) / now.Sub(f.began).Seconds() // by Little's law
	for i := range f.sizes {
		f.sizes[i].log += drift
	}
	switch {
	case certain > math.Log(late), certain > math.Log(queued) && queue >= queueMin*f.limit:
		f.shrink(now, median, queue)
	case float64(f.inUse) >= wanted*math.Floor(f.limit):
		if median < math.Log(allWell)+doubt || f.held {
			f.grow()
		} else {
			f.held = true
		}
	}
}

func (f *finder) grow() {
	step := 1.0
	if f.limit < f.knee && f.limit+step > near*f.knee {
		if f.waited++; f.waited < patience {
			return
		}
		f.waited, f.knee = 0, 0
	}
	if !f.found {
		step = max(1, f.limit/10)
	}
	f.limit = min(f.most, f.limit+step)
	f.held, f.before = false, 0
}

// growBlindly grows as far as a static limit does when no answer is streamed, so
// that nothing tells of a queue but refusals.
func (f *finder) growBlindly() {
	if f.limit < DefaultMax && float64(f.inUse) >= wanted*math.Floor(f.limit) {
		f.limit = min(f.most, f.limit+1)
	}
}

// shrink takes the estimated queue off the limit, and has measured again what is
// usual when it has gone. What then stays as late as before is no queue of ours:
// the target has become slower, and that is usual from now on.
func (f *finder) shrink(now time.Time, lateness, queue float64) {
	floor := deepCut
	f.lift = lift
	if queue > queueDeep*f.limit {
		floor = deepest
		if math.Abs(lateness-f.before) > same {
			f.lift = 0
		}
	}
	f.before, f.waited, f.knee = lateness, 0, 0
	if math.Abs(f.limit-f.cutAt) < samePlace*f.limit {
		f.knee = f.limit
	}
	f.cutAt = f.limit
	f.cutTo(now, max(floor*f.limit, min(cut*f.limit, f.limit-queue-1)))
	for i := range f.sizes {
		u := &f.sizes[i]
		u.again, u.n = u.known, 0
	}
}

func (f *finder) cutTo(now time.Time, limit float64) {
	f.limit = max(f.least, limit)
	f.found, f.held, f.after = true, false, now
}

func (f *finder) refused(now time.Time) {
	if now.Before(f.calmAt) {
		return
	}
	f.calmAt = now.Add(calm)
	f.cutTo(now, deepCut*f.limit)
	f.begin(now, 0)
}
