// Package dispatch is the attempt scheduler: retry, key rotation and failover as
// one decision, with one attempt count and one deadline over all of them.
//
// Nested loops multiply attempts; one scheduler adds them. A Scheduler asks one
// upstream after the other until an answer shows its first meaningful event, and
// decides after each failure from the error matrix (call.Consequences): ask the
// same target again after a wait, another of its keys, another target, or stop
// and tell the truth. Each target is asked once per round; a call makes one pass
// over its targets. No permit is held while it waits.
//
// What it needs of other rooms (health, breaker, budgets, sending) are function
// fields that the front door fills.
package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// ErrBusy reports that a target has no permit free; nothing was sent.
var ErrBusy = errors.New("dispatch: target busy")

// NoQuotaError reports that a target has no quota left for the call just now;
// nothing was sent.
type NoQuotaError struct {
	Wait time.Duration // until there is enough, if nobody else takes it
}

func (e *NoQuotaError) Error() string { return "dispatch: no quota left" }

// ErrIneligible reports that a target cannot answer this call at all (it does
// not speak its dialect); nothing was sent.
var ErrIneligible = errors.New("dispatch: target cannot answer this call")

// ClosedError reports that a target's breaker did not let the attempt through;
// nothing was sent.
type ClosedError struct {
	Wait time.Duration // until its next probe
	Soft bool          // it is ramping up: it may be asked if no other target is left
	Shed bool          // it refuses too many: this attempt is thrown away, the next may go
}

func (e *ClosedError) Error() string { return "dispatch: circuit open" }

// Scheduler decides who is asked next. Its fields are set once; it is safe for
// concurrent use if they are. A is the front door's answer: what an attempt
// returned, open or failed.
type Scheduler[A any] struct {
	// Try asks one upstream and reads up to the commit point. It returns an
	// error when a gate refused and nothing was sent: ErrBusy, ErrIneligible, a
	// *NoQuotaError or a *ClosedError. open reports that the answer may be
	// shown; otherwise the outcome says how the attempt failed. n is the
	// attempt's number in the call, first whether it is the call's first on
	// this target. force asks ramping breakers to admit.
	Try func(ctx context.Context, c *call.Call, u call.Upstream, n int, first, force bool) (a A, open bool, o call.Outcome, err error)

	// Key picks a usable key; see target.Pool.Key.
	Key func(c *call.Call, t *call.Target, model string, tried []*call.Key) (k *call.Key, wait time.Duration, ok bool)
	// LastResort returns the key to use when no key of any target is usable.
	LastResort func(t *call.Target, model string) *call.Key
	// Ready says whether a target's breaker would admit now; wait is the time to
	// its next probe otherwise.
	Ready func(t *call.Target, model string) (ok bool, wait time.Duration)
	// Withdraw takes a further attempt on a target from its budgets. denied
	// names the budget that refused, "" when granted; refund gives it back.
	Withdraw func(t *call.Target, model string, tokens int, billed bool) (refund func(), denied string)
	// Backoff returns the pause before the n-th retry on a target.
	Backoff func(n int, throttle bool, prev time.Duration) time.Duration
	// Delay combines a backoff with the provider's own wait, never below it.
	Delay func(backoff, wait time.Duration, hasWait bool) time.Duration
	// Typical is the usual time to a first token; 0 unknown. A further attempt
	// that has less time left is not started.
	Typical func(t *call.Target, model string) time.Duration
	// Row returns the consequence of an outcome for this call.
	Row func(c *call.Call, o call.Outcome) call.Consequence
	// Event hears what was decided; may be nil.
	Event func(*call.Event)

	MaxAttempts     int           // attempts per call, for any reason
	MaxWait         time.Duration // longest provider wait that is obeyed by waiting
	TokenMultiplier float64       // attempts that may be billed cost at most this times the estimate
}

// State is what one call remembers between attempts, and between its first
// opening and a later recovery. The zero value with Targets set is ready. It is
// used by one goroutine at a time.
type State[A any] struct {
	Targets  []*call.Target // in the order they are asked
	Attempts int            // attempts made
	Steps    []Step         // what happened, for x-holdfast-attempt-log and explain

	lanes  []lane
	at     int           // the lane asked last
	resume *lane         // was to be asked again and found busy
	again  bool          // ask lane at again
	delay  time.Duration // after this pause
	paid   func()        // gives back what was withdrawn for the next attempt
	prev   time.Duration
	force  bool
	larger int // only targets with more context than this; 0 any
	billed int // tokens of attempts that may be billed
	last   A
	has    bool
	out    call.Outcome
	denied string

	// Room for what most calls need. A State that is in use is not copied.
	laneRoom [2]lane
	stepRoom [2]Step
}

// Step is one attempt, or one target passed over, in order.
type Step struct {
	Target   *call.Target
	Key      string
	Model    string
	Class    call.Class
	Status   int
	Clock    string
	Code     string
	Wait     time.Duration // pause before it
	Took     time.Duration
	Open     bool   // this one answered
	Decision string // what was decided after it
}

// lane is one target within one call.
type lane struct {
	target  *call.Target
	model   string
	tried   []*call.Key
	n       int  // attempts sent
	same    int  // of these, retries of the same target
	free    bool // the transparent retry was used
	over    bool // not asked again in this call
	blocked block
	wait    time.Duration
	told    string // why it was passed over, as told last
	room    [2]*call.Key
}

// block says why a lane cannot be asked in this round.
type block uint8

const (
	clear block = iota
	busy
	spent
	open
	ramping
	paused
	keyless
	ineligible
	shed
)

func (b block) String() string {
	return [...]string{"", "busy", "quota", "circuit_open", "ramping", "key_paused", "no_key", "ineligible", "shed"}[b]
}

// Result is what Open came to.
type Result[A any] struct {
	Answer A            // the open answer, or the last one that failed
	Open   bool         // Answer may be shown to the caller
	Has    bool         // Answer is set
	Last   call.Outcome // how the last attempt failed
	Reason string       // why there is no open answer: one of the Reasons
	Wait   time.Duration
	Denied string // the budget that ended it, if one did
}

// Reasons why Open ends without an open answer.
const (
	Exhausted   = "upstream_exhausted" // attempts, budgets or targets are spent; Last says how
	AllBusy     = "busy"               // no permit free or no quota left: wait in the admission queue and call Open again
	CircuitOpen = "circuit_open"       // every target's breaker is open
	Shed        = "shed"               // targets refuse so much that this call was thrown away
	Throttled   = "rate_limited"       // every key is paused for longer than the call can wait
	Deadline    = "deadline_exceeded"  // the call's deadline has passed
	Left        = "canceled"           // the caller's context ended
	NoTarget    = "no_target"          // no target can answer such a call
)

// Open asks upstreams until one answers or it is decided that none will. It may
// be called again with the same State: after AllBusy, and by a recovery after
// the commit point.
func (s *Scheduler[A]) Open(ctx context.Context, c *call.Call, st *State[A]) Result[A] {
	st.prepare(c)
	s.takeUp(c, st)
	for {
		if ctx.Err() != nil {
			return s.end(st, Left, 0)
		}
		if !c.CommitBy.IsZero() && time.Until(c.CommitBy) <= 0 {
			return s.end(st, Deadline, 0)
		}
		l, key, reason, wait := s.choose(c, st)
		if reason != "" {
			return s.end(st, reason, wait)
		}
		if l == nil { // everything is paused, not for long
			if !sleep(ctx, wait) {
				return s.end(st, Left, 0)
			}
			continue
		}
		pause := st.delay
		if pause > 0 && !sleep(ctx, pause) {
			return s.end(st, Left, 0)
		}
		st.again, st.delay = false, 0
		if s.ask(ctx, c, st, l, key, pause) {
			return Result[A]{Answer: st.last, Open: true, Has: true}
		}
		if st.denied == stop {
			return s.end(st, Exhausted, 0)
		}
	}
}

// stop in State.denied ends the call after a decision.
const stop = "stop"

// ask sends one attempt and decides what follows. It returns true when the
// answer is open.
func (s *Scheduler[A]) ask(ctx context.Context, c *call.Call, st *State[A], l *lane, key *call.Key, pause time.Duration) bool {
	u := call.Upstream{Target: l.target, Key: key, Model: l.model}
	began := time.Since(c.Arrived) // a difference costs half of time.Now
	a, isOpen, o, err := s.Try(ctx, c, u, st.Attempts+1, l.n == 0, st.force)
	if err != nil {
		st.refund()
		l.refuse(err)
		if l.n > 0 && (l.blocked == busy || l.blocked == spent) {
			st.resume = l
		}
		s.passOver(c, l, l.blocked.String(), l.wait)
		return false
	}
	st.paid = nil
	st.Attempts++
	l.n++
	if st.Steps == nil {
		st.Steps = st.stepRoom[:0]
	}
	if key != nil {
		l.tried = append(l.tried, key)
	}
	st.last, st.has, st.out = a, true, o
	step := Step{Target: l.target, Key: u.KeyName(), Model: l.model, Class: o.Class, Status: o.Status, Clock: o.Clock, Code: o.Code,
		Wait: pause, Took: time.Since(c.Arrived) - began, Open: isOpen}
	if isOpen {
		st.Steps = append(st.Steps, step)
		return true
	}
	if o.Billed() != call.BilledNo {
		st.billed += c.Tokens()
	}
	step.Decision = s.decide(c, st, l, o)
	st.Steps = append(st.Steps, step)
	return false
}

// takeUp plans again what a busy gate kept from being done: the retry of a target
// that was decided on before the call went back to the waiting room.
func (s *Scheduler[A]) takeUp(c *call.Call, st *State[A]) {
	l := st.resume
	st.resume = nil
	if l == nil || l.over {
		return
	}
	refund, denied := s.Withdraw(l.target, l.model, c.Tokens(), st.out.Billed() != call.BilledNo)
	if denied == "" {
		st.paid = refund
		st.plan(l, 0)
	}
}

// refuse notes why a gate did not let the attempt through.
func (l *lane) refuse(err error) {
	var closed *ClosedError
	var none *NoQuotaError
	switch {
	case errors.As(err, &none):
		l.blocked, l.wait = spent, none.Wait
	case errors.As(err, &closed):
		l.blocked, l.wait = open, closed.Wait
		if closed.Soft {
			l.blocked = ramping
		} else if closed.Shed {
			l.blocked = shed
		}
	case errors.Is(err, ErrBusy):
		l.blocked = busy
	default:
		l.blocked = ineligible
	}
}

func (st *State[A]) prepare(c *call.Call) {
	if st.lanes == nil {
		st.lanes = slices.Grow(st.laneRoom[:0], len(st.Targets))[:len(st.Targets)]
		for i, t := range st.Targets {
			model := t.Model
			if model == "" {
				model = c.Request.Model
			}
			st.lanes[i] = lane{target: t, model: model}
			st.lanes[i].tried = st.lanes[i].room[:0]
		}
	}
	for i := range st.lanes {
		if st.lanes[i].blocked != ineligible {
			st.lanes[i].blocked = clear
		}
	}
	st.force, st.denied = false, ""
}

func (st *State[A]) refund() {
	if st.paid != nil {
		st.paid()
		st.paid = nil
	}
}

// choose picks the lane and key to ask next. A nil lane with a wait means that
// everything left is paused and worth waiting for; a reason means the end.
func (s *Scheduler[A]) choose(c *call.Call, st *State[A]) (*lane, *call.Key, string, time.Duration) {
	if st.again {
		if l := &st.lanes[st.at]; l.blocked == clear {
			if k, wait, ok := s.sameKey(c, l); ok {
				return l, k, "", 0
			} else if wait > 0 && wait <= s.MaxWait && s.fits(c, max(st.delay, wait)) {
				st.delay = max(st.delay, wait)
				return l, l.lastKey(), "", 0
			}
			l.over = true
		}
		st.again, st.delay = false, 0
		st.refund()
	}
	for i := range st.lanes {
		l := &st.lanes[i]
		if l.over || l.blocked != clear {
			continue
		}
		if st.larger > 0 && l.target.Context <= st.larger {
			s.passOver(c, l, "context", 0)
			continue
		}
		k, wait, ok := s.Key(c, l.target, l.model, l.tried)
		switch {
		case ok:
			st.at = i
			return l, k, "", 0
		case wait > 0:
			l.blocked, l.wait = paused, wait
		default:
			l.blocked = keyless
		}
		s.passOver(c, l, l.blocked.String(), wait)
	}
	return s.nobody(c, st)
}

// sameKey picks the key for asking a lane again: a key not tried yet, else the
// one used last, if it is usable.
func (s *Scheduler[A]) sameKey(c *call.Call, l *lane) (*call.Key, time.Duration, bool) {
	if k, _, ok := s.Key(c, l.target, l.model, l.tried); ok {
		return k, 0, true
	}
	return s.Key(c, l.target, l.model, nil)
}

func (l *lane) lastKey() *call.Key {
	if len(l.tried) == 0 {
		return nil
	}
	return l.tried[len(l.tried)-1]
}

// nobody decides when no lane can be asked at once.
func (s *Scheduler[A]) nobody(c *call.Call, st *State[A]) (*lane, *call.Key, string, time.Duration) {
	if !st.force && st.unblock(ramping) {
		st.force = true
		return s.choose(c, st)
	}
	shortest, any := st.shortest(paused)
	if any && !c.NoRetry && shortest <= s.MaxWait && s.fits(c, shortest) {
		st.unblock(paused)
		return nil, nil, "", s.Delay(0, shortest, true)
	}
	if st.Attempts == 0 {
		for i := range st.lanes {
			l := &st.lanes[i]
			if l.blocked == keyless && !l.over {
				l.blocked = clear
				st.at = i
				return l, s.LastResort(l.target, l.model), "", 0
			}
		}
	}
	if st.count(busy)+st.count(spent) > 0 {
		return nil, nil, AllBusy, 0
	}
	switch wait, isOpen := st.shortest(open); {
	case st.has:
		return nil, nil, Exhausted, 0
	case st.count(shed) > 0:
		return nil, nil, Shed, 0
	case isOpen:
		return nil, nil, CircuitOpen, wait
	case any:
		return nil, nil, Throttled, shortest
	}
	return nil, nil, NoTarget, 0
}

func (st *State[A]) unblock(b block) (any bool) {
	for i := range st.lanes {
		if l := &st.lanes[i]; l.blocked == b && !l.over {
			l.blocked, any = clear, true
		}
	}
	return any
}

func (st *State[A]) shortest(b block) (wait time.Duration, any bool) {
	for _, l := range st.lanes {
		if l.blocked == b && !l.over && (!any || l.wait < wait) {
			wait, any = l.wait, true
		}
	}
	return wait, any
}

func (st *State[A]) count(b block) (n int) {
	for _, l := range st.lanes {
		if l.blocked == b && !l.over {
			n++
		}
	}
	return n
}

// fits reports whether a pause of d leaves time for an attempt.
func (s *Scheduler[A]) fits(c *call.Call, d time.Duration) bool {
	return c.CommitBy.IsZero() || time.Until(c.CommitBy) > d
}

func (s *Scheduler[A]) end(st *State[A], reason string, wait time.Duration) Result[A] {
	st.refund()
	denied := st.denied
	if denied == stop {
		denied = ""
	}
	return Result[A]{Answer: st.last, Has: st.has, Last: st.out, Reason: reason, Wait: wait, Denied: denied}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
