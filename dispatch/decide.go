package dispatch

import (
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Decisions, as they stand in Step.Decision.
const (
	DecideKey    = "other key"
	DecideSame   = "same target"
	DecideMove   = "next target"
	DecideStop   = "stop"
	DecideBudget = "stop: budget "
)

// decide says what follows a failed attempt: the same target, another key,
// another target, or the end. Whatever is charged to a budget is withdrawn here,
// before any sleep.
func (s *Scheduler[A]) decide(c *call.Call, st *State[A], l *lane, o call.Outcome) string {
	row := s.Row(c, o)
	if row.LargerOnly {
		st.larger = max(st.larger, l.target.Context, 1)
	}
	left := min(s.MaxAttempts-st.Attempts, s.affordable(c, st))
	if why := s.last(c, st, o, left); why != "" {
		return s.stop(c, st, l, o, why)
	}
	alone := c.NoMove || len(st.lanes) < 2
	move := row.OtherTarget && !c.NoMove && s.another(c, st, l)
	if row.OtherKey && s.otherKey(c, st, l, o) {
		return DecideKey
	}
	if move && (row.OtherFirst || left == 1) {
		return s.moveOn(c, st, l, o)
	}
	denied := ""
	if s.mayRepeat(row, l, o, alone) {
		if denied = s.repeat(c, st, l, o, row); denied == "" {
			return DecideSame
		}
	}
	if move {
		return s.moveOn(c, st, l, o)
	}
	l.over = true
	if denied == "" || denied == noTime {
		if row.OtherTarget && !c.NoMove && s.waiting(c, st) {
			return DecideMove // they are open, busy or paused: choose tells which
		}
		return s.stop(c, st, l, o, exhausted(row, denied))
	}
	st.denied = denied
	s.tell(&call.Event{Kind: call.BudgetDenied, Call: c, Target: l.target.Name, Provider: l.target.Provider, Model: l.target.Model, Reason: denied, Outcome: o})
	st.denied = stop
	return DecideBudget + denied
}

// last says why nothing may follow a failed attempt, whatever it ended with; ""
// if something may.
func (s *Scheduler[A]) last(c *call.Call, st *State[A], o call.Outcome, left int) string {
	switch {
	case c.NoRetry:
		return "one_attempt"
	case !c.Replay:
		return "not_replayable"
	case !repeatable(c, o):
		return "not_repeatable"
	case left > 0:
		return ""
	case st.Attempts >= s.MaxAttempts:
		return "attempts"
	}
	return "tokens"
}

// exhausted says why a failed attempt is the last although more were allowed.
func exhausted(row call.Consequence, denied string) string {
	switch {
	case denied == noTime:
		return "no_time"
	case row.Same == call.SameNever && !row.OtherTarget && !row.OtherKey:
		return "final"
	}
	return "no_target_left"
}

// stop ends the call after a failed attempt, and tells why.
func (s *Scheduler[A]) stop(c *call.Call, st *State[A], l *lane, o call.Outcome, why string) string {
	st.denied = stop
	s.tell(&call.Event{Kind: call.Stopped, Call: c, Target: l.target.Name, Provider: l.target.Provider, Model: l.target.Model, Attempt: st.Attempts, Reason: why, Outcome: o})
	return DecideStop
}

// passOver tells, once per reason, why a target is not asked now.
func (s *Scheduler[A]) passOver(c *call.Call, l *lane, why string, wait time.Duration) {
	if l.told == why {
		return
	}
	l.told = why
	s.tell(&call.Event{Kind: call.PassedOver, Call: c, Target: l.target.Name, Provider: l.target.Provider, Model: l.target.Model, Reason: why, Wait: wait})
}

// waiting reports whether a lane is left that was not asked and could be in time.
func (s *Scheduler[A]) waiting(c *call.Call, st *State[A]) bool {
	for i := range st.lanes {
		l := &st.lanes[i]
		if !l.over && l.n == 0 && l.blocked != ineligible && (st.larger == 0 || l.target.Context > st.larger) && s.inTime(c, l) {
			return true
		}
	}
	return false
}

// repeatable reports whether a call that may act twice can be sent again: only
// if it certainly did nothing.
func repeatable(c *call.Call, o call.Outcome) bool {
	return c.Safe || !o.Sent || o.Status == 429 || o.Status == 503 && o.HasWait
}

// affordable returns how many more attempts keep the call within its token
// multiplier, should each of them be billed.
func (s *Scheduler[A]) affordable(c *call.Call, st *State[A]) int {
	estimate := c.Tokens()
	if st.billed == 0 || s.TokenMultiplier <= 0 || estimate <= 0 {
		return s.MaxAttempts
	}
	return int((s.TokenMultiplier*float64(estimate) - float64(st.billed)) / float64(estimate))
}

// another reports whether another target can be asked: not yet asked, its
// breaker admits, a key is usable.
func (s *Scheduler[A]) another(c *call.Call, st *State[A], than *lane) bool {
	for i := range st.lanes {
		l := &st.lanes[i]
		if l == than || l.over || l.blocked == ineligible {
			continue
		}
		why, wait := s.obstacle(c, st, l)
		if why == "" {
			return true
		}
		s.passOver(c, l, why, wait)
	}
	return false
}

// obstacle says what keeps a target from being asked now, and for how long; ""
// when nothing does.
func (s *Scheduler[A]) obstacle(c *call.Call, st *State[A], l *lane) (why string, wait time.Duration) {
	if st.larger > 0 && l.target.Context <= st.larger {
		return "context", 0
	}
	if ok, wait := s.Ready(l.target, l.model); !ok {
		return "circuit_open", wait
	}
	switch _, wait, ok := s.Key(c, l.target, l.model, l.tried); {
	case !ok && wait > 0:
		return paused.String(), wait
	case !ok:
		return keyless.String(), 0
	case !s.inTime(c, l):
		return "no_time", 0
	}
	return "", 0
}

// inTime reports whether the usual time to a first token is still left.
func (s *Scheduler[A]) inTime(c *call.Call, l *lane) bool {
	return c.CommitBy.IsZero() || time.Until(c.CommitBy) > s.Typical(l.target, l.model)
}

// otherKey plans another key of the same target, at once.
func (s *Scheduler[A]) otherKey(c *call.Call, st *State[A], l *lane, o call.Outcome) bool {
	if _, _, ok := s.Key(c, l.target, l.model, l.tried); !ok || len(l.tried) == 0 {
		return false
	}
	refund, denied := s.Withdraw(l.target, l.model, c.Tokens(), o.Billed() != call.BilledNo)
	if denied != "" {
		return false
	}
	st.paid = refund
	st.plan(l, 0)
	s.tell(&call.Event{Kind: call.RetryPlanned, Call: c, Target: l.target.Name, Provider: l.target.Provider, Model: l.target.Model, Attempt: st.Attempts, Reason: o.Class.String(), Outcome: o})
	return true
}

// mayRepeat reads the row's rule for the same target.
func (s *Scheduler[A]) mayRepeat(row call.Consequence, l *lane, o call.Outcome, alone bool) bool {
	switch row.Same {
	case call.SameOnce:
		return l.same < 1
	case call.SameBudget:
		return o.Status != 500 || l.same < 1
	case call.SameAfterWait:
		return true
	case call.SameIfAlone:
		return alone
	default:
		return false
	}
}

// noTime says that a pause does not fit; it is no budget.
const noTime = "time"

// repeat plans the same target again. It returns what stood in the way, "" if
// nothing did.
func (s *Scheduler[A]) repeat(c *call.Call, st *State[A], l *lane, o call.Outcome, row call.Consequence) string {
	if o.Class == call.Transport && !o.Sent && !l.free {
		l.free = true
		st.plan(l, 0)
		return ""
	}
	backoff := s.Backoff(l.same+1, row.Throttle, st.prev)
	delay := s.Delay(backoff, o.Wait, o.HasWait)
	if o.HasWait && o.Wait > s.MaxWait || !c.CommitBy.IsZero() && time.Until(c.CommitBy) <= delay+s.Typical(l.target, l.model) {
		return noTime
	}
	refund, denied := s.Withdraw(l.target, l.model, c.Tokens(), o.Billed() != call.BilledNo)
	if denied != "" {
		return denied
	}
	st.paid, st.prev = refund, backoff
	l.same++
	st.plan(l, delay)
	s.tell(&call.Event{Kind: call.RetryPlanned, Call: c, Target: l.target.Name, Provider: l.target.Provider, Model: l.target.Model, Attempt: st.Attempts, Reason: o.Class.String(), Wait: delay, Outcome: o})
	return ""
}

// plan makes the lane the next one to be asked.
func (st *State[A]) plan(l *lane, delay time.Duration) {
	st.again, st.delay = true, delay
	for i := range st.lanes {
		if &st.lanes[i] == l {
			st.at = i
		}
	}
}

// moveOn leaves the lane for good; the next one needs no budget of this one.
func (s *Scheduler[A]) moveOn(c *call.Call, st *State[A], l *lane, o call.Outcome) string {
	l.over = true
	to := ""
	for i := range st.lanes {
		if next := &st.lanes[i]; !next.over && next.blocked == clear {
			to = next.target.Name
			break
		}
	}
	s.tell(&call.Event{Kind: call.MovedOn, Call: c, Target: l.target.Name, Provider: l.target.Provider, Model: l.target.Model, From: l.target.Name, To: to, Attempt: st.Attempts, Reason: o.Class.String(), Outcome: o})
	return DecideMove
}

func (s *Scheduler[A]) tell(e *call.Event) {
	if s.Event != nil {
		e.At = time.Now()
		s.Event(e)
	}
}
