package breaker

import (
	"math/rand/v2"
	"sync"
	"time"
)

// State is what a circuit does with attempts.
type State uint8

// The states of a circuit.
const (
	Closed       State = iota // admits everything, or a growing share
	HalfOpen                  // admits single probes
	Open                      // admits nothing until its time is over
	ForcedOpen                // by hand: admits nothing until closed or reset by hand
	ForcedClosed              // by hand: admits everything until opened or reset by hand
)

var stateNames = [...]string{"closed", "half_open", "open", "forced_open", "forced_closed"}

// String returns the state's name as in metrics and events.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The causes a Breaker gives for its own moves. Opening or closing by hand
// gives the caller's reason instead; it should come from a short closed list
// (CauseManual, "peer", "health") because it ends up in labels.
const (
	CauseConsecutive = "consecutive" // failures in a row
	CauseRatio       = "ratio"       // share of failures
	CauseSlow        = "slow"        // share without a first token in time
	CauseProbe       = "probe"       // time for a probe, or what a probe found
	CauseManual      = "manual"      // Reset, Reconfigure
)

const (
	// oldOutage is when waiting longer between probes becomes worth the later
	// recovery: a short outage must be noticed to be over at once.
	oldOutage = 2 * time.Minute
	// rampStart is the share admitted right after closing.
	rampStart = 0.25
)

// Options are what a Breaker needs from outside. The zero value is ready.
type Options struct {
	// Rand returns numbers in [0, 1); default math/rand/v2. It is called under
	// the Breaker's lock and must not call back.
	Rand func() float64

	// Moved is told of every change of state, in order, one at a time and with
	// no lock held; it may call the Breaker. openFor is 0 unless to is Open.
	// It runs in the goroutine of some caller and must not block.
	Moved func(from, to State, cause string, openFor time.Duration)
}

// Breaker is the circuit of one target. Its methods may be called from many
// goroutines at once. Make it with New.
type Breaker struct {
	name  string
	rand  func() float64
	moved func(from, to State, cause string, openFor time.Duration)

	made time.Time

	mu         sync.Mutex
	c          Config // with defaults
	state      State  // as of the last move; at tells what time has made of it
	since      time.Time
	cause      string // of the last move
	generation uint64 // counts moves
	admitted   uint64 // counts permits

	window      window
	asked       window // for Throttle: total asked for, failures refused by the target or shed here
	consecutive int
	broken      uint64 // admitted, when a broken connection last counted in a row

	openUntil time.Time
	outage    time.Time // when the circuit left Closed; zero if it never did
	origin    string    // why it did
	doublings int       // of the open time in this outage

	leases    []lease // of half-open probes under way
	successes int     // of half-open probes

	rampFrom time.Time // zero: no ramp
	credit   float64   // of the ramp: an attempt is admitted when it reaches 1

	news    []move // not told yet
	telling bool
}

// lease is the place of one half-open probe.
type lease struct {
	permit uint64
	until  time.Time
}

// move is a change of state to be told.
type move struct {
	from, to State
	cause    string
	openFor  time.Duration
}

// New returns a closed Breaker. c should have been validated; its zero fields
// mean their defaults. The name is used in errors.
func New(name string, c Config, o Options) *Breaker {
	now := time.Now()
	b := &Breaker{name: name, rand: o.Rand, moved: o.Moved, made: now, c: c.WithDefaults(), since: now}
	if b.rand == nil {
		b.rand = rand.Float64
	}
	b.window, b.asked = newWindow(now, b.c.Window), newWindow(now, b.c.ThrottleWindow)
	return b
}

// Admit asks to send one attempt. On success the Permit's End must be called
// when the attempt has ended. While the circuit is open, or half-open with
// enough probes under way, it returns an *OpenError. During the ramp after
// closing it returns a *RampError for a part of the attempts, unless force says
// that no other target is left. With Throttle it returns a *ShedError for a part
// of the attempts, also with force.
func (b *Breaker) Admit(force bool) (*Permit, error) {
	p := &Permit{}
	if err := b.AdmitTo(p, force); err != nil {
		return nil, err
	}
	return p, nil
}

// AdmitTo is Admit with a zero Permit of the caller's, which it fills on success.
// The Permit must not be copied afterwards.
func (b *Breaker) AdmitTo(p *Permit, force bool) error {
	b.mu.Lock()
	defer b.unlock()
	if b.calm() {
		b.permit(p)
		return nil
	}
	now := time.Now()
	b.catchUp(now)
	switch b.state {
	case Open, ForcedOpen:
		return b.refusal(b.wait(now))
	case HalfOpen:
		if wait := b.wait(now); wait > 0 {
			return b.refusal(wait)
		}
		b.expireLeases(now)
		b.permit(p)
		b.leases = append(b.leases, lease{p.number, now.Add(b.c.Lease)})
		return nil
	case Closed:
		if share, left := b.share(now); !force && !b.spend(share) {
			return &RampError{Name: b.name, Share: share, Wait: left}
		}
		if share, shed := b.draw(now); shed {
			return &ShedError{Name: b.name, Share: share}
		}
	}
	b.permit(p)
	return nil
}

// Peek says whether Admit(true) would succeed now, what Throttle sheds aside, and
// if not, how long until it may. It changes nothing. For a circuit forced open the wait is a guess.
func (b *Breaker) Peek() (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calm() {
		return true, 0
	}
	wait = b.wait(time.Now())
	return wait <= 0, max(0, wait)
}

// calm reports whether everything is admitted, at whatever time: reading the clock
// would be the dearest part of asking.
func (b *Breaker) calm() bool {
	return b.state == Closed && b.rampFrom.IsZero() && b.c.Throttle <= 0
}

// State returns what the circuit does with attempts now. It changes nothing: a
// circuit whose open time is over is HalfOpen, with the move told when the
// first probe goes.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at(time.Now())
}

// Snapshot is a Breaker at one moment.
type Snapshot struct {
	State       State
	Cause       string    // of the last move: consecutive, ratio, slow, probe or a reason given by hand
	OpenUntil   time.Time // zero unless State is Open
	Failures    int       // outcomes in the window that are failures
	Total       int       // outcomes in the window
	Slow        int       // attempts in the window without a first token in time
	Timed       int       // attempts in the window known to be fast or slow
	Consecutive int       // failures in a row
	Probing     int       // half-open probes under way
	Generation  uint64    // counts changes of state
	Since       time.Time // of the last change of state
}

// Snapshot returns the Breaker's state and counts. While open they are those
// that opened it. It changes nothing.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	all := b.window.sum(now)
	s := Snapshot{
		State: b.at(now), Cause: b.cause, Generation: b.generation, Since: b.since,
		Failures: all.failures, Total: all.total, Slow: all.slow, Timed: all.timed, Consecutive: b.consecutive,
	}
	if s.State == Open {
		s.OpenUntil = b.openUntil
	}
	for _, l := range b.leases {
		if l.until.After(now) {
			s.Probing++
		}
	}
	return s
}

// Open opens the circuit by hand, or because a peer or a health check said so:
// for the given time, after which probes go as usual, or until Close or Reset
// if it is not positive. It never shortens an open time.
func (b *Breaker) Open(reason string, during time.Duration) {
	b.mu.Lock()
	defer b.unlock()
	now := time.Now()
	b.catchUp(now)
	switch {
	case b.state == ForcedOpen:
	case during <= 0:
		b.beginOutage(now, reason)
		b.move(now, ForcedOpen, reason, 0)
	case b.state == Open:
		b.openUntil = later(b.openUntil, now.Add(during))
	default:
		b.beginOutage(now, reason)
		b.openUntil = now.Add(during)
		b.move(now, Open, reason, during)
	}
}

// Close admits everything by hand until Open or Reset. Outcomes are counted
// but open nothing.
func (b *Breaker) Close(reason string) {
	b.mu.Lock()
	defer b.unlock()
	now := time.Now()
	b.catchUp(now)
	b.outage, b.rampFrom = time.Time{}, time.Time{}
	if b.state != ForcedClosed {
		b.move(now, ForcedClosed, reason, 0)
	}
}

// Reset makes the Breaker as new: closed, nothing counted, nothing forced.
func (b *Breaker) Reset() {
	b.mu.Lock()
	defer b.unlock()
	now := time.Now()
	b.catchUp(now)
	b.reset(now)
}

// Reconfigure replaces the configuration; c should have been validated. State
// and open time stay. Counts stay unless the window's width changes. Off closes
// a circuit that is not forced.
func (b *Breaker) Reconfigure(c Config) {
	c = c.WithDefaults()
	b.mu.Lock()
	defer b.unlock()
	now := time.Now()
	b.catchUp(now)
	if c.Window != b.c.Window {
		b.window = newWindow(now, c.Window)
	}
	if c.ThrottleWindow != b.c.ThrottleWindow {
		b.asked = newWindow(now, c.ThrottleWindow)
	}
	b.c = c
	if c.Off && b.state != ForcedOpen && b.state != ForcedClosed {
		b.reset(now)
	}
}

func (b *Breaker) reset(now time.Time) {
	b.outage, b.rampFrom = time.Time{}, time.Time{}
	b.clear(now)
	if b.state != Closed {
		b.move(now, Closed, CauseManual, 0)
	}
}

// at returns the state that time has made of the last move.
func (b *Breaker) at(now time.Time) State {
	switch {
	case b.state != Open || now.Before(b.openUntil):
		return b.state
	case b.c.Off:
		return Closed
	}
	return HalfOpen
}

// catchUp makes the move that time has made already.
func (b *Breaker) catchUp(now time.Time) {
	if state := b.at(now); state != b.state {
		b.move(now, state, CauseProbe, 0)
	}
}

// wait returns how long until a forced Admit may succeed; 0 if it does now.
func (b *Breaker) wait(now time.Time) time.Duration {
	switch b.at(now) {
	case Open:
		return b.openUntil.Sub(now)
	case ForcedOpen:
		return max(b.c.OpenFor, b.c.MaxOpen) // nobody knows; callers should not hurry
	case HalfOpen:
		return b.leaseWait(now)
	}
	return 0
}

// leaseWait returns how long until a probe's place is free at the latest.
func (b *Breaker) leaseWait(now time.Time) time.Duration {
	under, soonest := 0, time.Time{}
	for _, l := range b.leases {
		if !l.until.After(now) {
			continue
		}
		if under++; under == 1 || l.until.Before(soonest) {
			soonest = l.until
		}
	}
	if under < b.c.Probes {
		return 0
	}
	return soonest.Sub(now)
}

func (b *Breaker) expireLeases(now time.Time) {
	b.dropLeases(func(l lease) bool { return !l.until.After(now) })
}

func (b *Breaker) refusal(wait time.Duration) *OpenError {
	return &OpenError{Name: b.name, State: b.state, Cause: b.cause, Wait: wait}
}

func (b *Breaker) permit(p *Permit) {
	b.admitted++
	p.b, p.generation, p.number = b, b.generation, b.admitted
}

// share returns the part of the attempts the ramp admits now and how long it
// still lasts.
func (b *Breaker) share(now time.Time) (share float64, left time.Duration) {
	if b.rampFrom.IsZero() || b.c.Ramp <= 0 {
		return 1, 0
	}
	gone := now.Sub(b.rampFrom)
	if gone >= b.c.Ramp {
		b.rampFrom = time.Time{}
		return 1, 0
	}
	return rampStart + (1-rampStart)*float64(gone)/float64(b.c.Ramp), b.c.Ramp - gone
}

// spend admits every 1/share-th attempt. Counting instead of drawing lots keeps
// a recovering target from being hit by a lucky streak.
func (b *Breaker) spend(share float64) bool {
	if b.credit += share; b.credit < 1 {
		return false
	}
	b.credit = min(b.credit-1, 1)
	return true
}

// trip opens the circuit because of what was counted or what a probe found.
func (b *Breaker) trip(now time.Time, cause string) {
	if cause != CauseProbe {
		b.beginOutage(now, cause)
	}
	during := b.c.openFor(b.origin)
	if now.Sub(b.outage) > oldOutage && b.c.MaxOpen > 0 {
		b.doublings++
		for i := 0; i < b.doublings && during < b.c.MaxOpen; i++ {
			during *= 2
		}
		during = min(during, b.c.MaxOpen)
	}
	during = during/2 + time.Duration(b.rand()*float64(during/2))
	b.openUntil = now.Add(during)
	b.move(now, Open, cause, during)
}

// beginOutage notes when and why the circuit left Closed. A target that breaks
// again while it ramps up is still in its old outage.
func (b *Breaker) beginOutage(now time.Time, cause string) {
	_, left := b.share(now)
	if b.outage.IsZero() || b.state == Closed && left == 0 {
		b.outage, b.doublings = now, 0
	}
	b.origin = cause
}

// move changes the state and begins a generation. What was counted stays to be
// seen while the circuit is open, nothing is added to it.
func (b *Breaker) move(now time.Time, to State, cause string, openFor time.Duration) {
	if b.moved != nil {
		b.news = append(b.news, move{b.state, to, cause, openFor})
	}
	if to != Open {
		b.clear(now)
	}
	b.state, b.cause, b.since = to, cause, now
	b.generation++
	b.leases, b.successes = b.leases[:0], 0
}

func (b *Breaker) clear(now time.Time) {
	b.window, b.asked = newWindow(now, b.c.Window), newWindow(now, b.c.ThrottleWindow)
	b.consecutive, b.broken = 0, 0
}

// unlock releases the lock and tells what moved meanwhile. Only one goroutine
// tells at a time, so that news come in order; the others leave theirs to it.
func (b *Breaker) unlock() {
	if b.telling || len(b.news) == 0 {
		b.mu.Unlock()
		return
	}
	b.telling = true
	defer func() { // also when Moved panics: the next move must be told
		b.telling = false
		b.mu.Unlock()
	}()
	for len(b.news) > 0 {
		n := b.news[0]
		b.news = b.news[1:]
		b.tell(n)
	}
	b.news = nil
}

func (b *Breaker) tell(m move) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.moved(m.from, m.to, m.cause, m.openFor)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
