package explain

import (
	"unsafe"

	"github.com/holdfast-gateway/holdfast/call"
)

// begin starts the story of a call with its first event.
func begin(e *call.Event) Story {
	c := e.Call
	s := Story{Summary: Summary{ID: c.ID, At: c.Arrived, Running: true}, Attempts: []Attempt{}, PassedOver: []PassedOver{}}
	if s.At.IsZero() {
		s.At = e.At
	}
	switch e.Kind {
	case call.CallStarted, call.ClientRetried: // the first things that happen
	case call.CallEnded: // refused at the door
	default:
		s.Incomplete = true
	}
	s.describe(c)
	return s
}

// describe notes what the request is. It is called again as more of it is known.
func (s *Story) describe(c *call.Call) {
	s.Route, s.Tenant, s.Operation, s.Dialect = c.Route, still(s.Tenant, c.Tenant), string(c.Op), dialect(c.Op)
	s.Method, s.Path, s.Model, s.Stream = still(s.Method, c.Method), still(s.Path, c.Path), still(s.Model, c.Request.Model), c.Request.Stream
	s.Request = Request{
		Bytes: len(c.Body), InputTokens: c.Request.InputTokens, MaxTokens: c.Request.MaxTokens, Refers: len(c.Request.Refs), Pinned: c.Request.Pinned,
		Stays: c.NoMove, OneAttempt: c.NoRetry, Replayable: c.Replay, Retry: s.Request.Retry,
	}
	if !c.CommitBy.IsZero() {
		s.Request.CommitMS = milliseconds(c.CommitBy.Sub(c.Arrived))
	}
}

// dialect names the wire format of an operation.
func dialect(op call.Op) string {
	switch op {
	case call.OpChat, call.OpEmbeddings:
		return "chat"
	case call.OpResponses:
		return "responses"
	case call.OpMessages, call.OpCountTokens:
		return "messages"
	}
	return ""
}

// note adds an event to the page.
func (p *page) note(e *call.Event, most int) {
	s := &p.Story
	switch e.Kind {
	case call.CallStarted:
		s.describe(e.Call)
	case call.ClientRetried:
		s.Request.Retry = e.Reason
	case call.Queued:
		s.QueueMS += milliseconds(e.Wait)
		s.QueuedFor = e.To
	case call.AttemptEnded:
		s.attempt(e, most)
	case call.RetryPlanned:
		s.next(e, Next{Decision: sameTarget, Reason: e.Reason, WaitMS: milliseconds(e.Wait)})
	case call.MovedOn:
		s.next(e, Next{Decision: nextTarget, Reason: e.Reason, To: e.To})
	case call.BudgetDenied:
		s.next(e, Next{Decision: stopped, Reason: "budget_" + e.Reason})
	case call.Stopped:
		s.next(e, Next{Decision: stopped, Reason: e.Reason})
	case call.PassedOver:
		s.passed(e, most)
	case call.Limited:
		if len(s.Limits) < most {
			s.Limits = append(s.Limits, Limit{Name: e.Reason, Decision: e.To, WaitMS: milliseconds(e.Wait)})
		}
	case call.CallEnded:
		s.end(e)
	}
}

// attempt adds an attempt that has ended.
func (s *Story) attempt(e *call.Event, most int) {
	o := e.Outcome
	s.Made, s.Target = max(s.Made, e.Attempt), e.Target
	if len(s.Attempts) >= most {
		s.Left++
		return
	}
	a := Attempt{
		Number: e.Attempt, Ended: e.At, Target: e.Target, Provider: e.Provider, Model: e.Model, Answered: plain(e.Answered), Key: e.Key,
		Class: o.Class.String(), Scope: o.Scope.String(), Status: o.Status, Code: code(o.Code), Category: code(o.Category), Clock: o.Clock, Fault: fault(o.Err),
		FirstTokenMS: milliseconds(o.FirstToken), DurationMS: milliseconds(o.Duration), Bytes: o.Bytes, Sent: o.Sent, Committed: o.Committed, OddUsage: o.Usage.Odd,
	}
	if a.Model == "" {
		a.Model = s.Model
	}
	if o.HasWait {
		a.RetryAfterMS = milliseconds(o.Wait)
	}
	if u := o.Usage; u.Known {
		a.Tokens = &Tokens{Input: u.Input, Output: u.Output, Cached: u.Cached, Reasoning: u.Reasoning}
	}
	s.sameOrOther(&a)
	s.Attempts = append(s.Attempts, a)
}

// sameOrOther completes the decision that led to an attempt: whether it took
// another key is known only now, and what costs no budget has no event (a
// refused connection tried again, a target that was the only one left).
func (s *Story) sameOrOther(a *Attempt) {
	if len(s.Attempts) == 0 {
		return
	}
	before := &s.Attempts[len(s.Attempts)-1]
	if before.Next == nil && before.Class != call.OK.String() && before.Number+1 == a.Number {
		before.Next = &Next{Decision: sameTarget, Reason: before.Class}
		if before.Target != a.Target {
			before.Next.Decision = nextTarget
		}
	}
	switch n := before.Next; {
	case n == nil:
	case n.Decision == nextTarget:
		n.To = a.Target // the one that could be asked, not the one that was thought of
	case n.Decision == sameTarget && before.Key != a.Key:
		n.Decision = otherKey
	}
}

// next notes what was decided after the attempt that ended last.
func (s *Story) next(e *call.Event, n Next) {
	for i := len(s.Attempts) - 1; i >= 0; i-- {
		if a := &s.Attempts[i]; a.Number == e.Attempt || e.Attempt == 0 {
			a.Next = &n
			return
		}
	}
}

func (s *Story) passed(e *call.Event, most int) {
	if len(s.PassedOver) >= most {
		s.Left++
		return
	}
	s.PassedOver = append(s.PassedOver, PassedOver{Target: e.Target, Reason: e.Reason, WaitMS: milliseconds(e.Wait), After: s.Made})
}

// end notes how the caller's answer ended.
func (s *Story) end(e *call.Event) {
	retry := s.Request.Retry
	s.describe(e.Call)
	s.Request.Retry = retry
	s.Running = false
	s.Status, s.Class, s.Reason, s.Source = e.Status, e.Outcome.Class.String(), e.Reason, e.Source
	s.Original, s.Made = e.Original, max(s.Made, e.Attempt)
	s.Cache, s.CacheWhy = e.Cached, e.To
	s.DurationMS, s.OwnMS = milliseconds(e.At.Sub(s.At)), milliseconds(e.Own)
	if n := len(s.Attempts); n > 0 {
		s.Answered = s.Attempts[n-1].Answered
	}
}

// pageSize is what an empty page takes, with its place in the map.
const pageSize = int64(unsafe.Sizeof(page{})) + 96

// weigh estimates what the page takes in memory and returns by how much that
// has grown. Names of the configuration are shared and count nothing.
func (p *page) weigh() (more int64) {
	n := pageSize + int64(len(p.ID)+len(p.Tenant)+len(p.Method)+len(p.Path)+len(p.Model)+len(p.Answered))
	n += int64(cap(p.Attempts))*int64(unsafe.Sizeof(Attempt{})) + int64(cap(p.PassedOver))*int64(unsafe.Sizeof(PassedOver{}))
	n += int64(cap(p.Limits)) * int64(unsafe.Sizeof(Limit{}))
	for i := range p.Attempts {
		a := &p.Attempts[i]
		n += int64(len(a.Answered) + len(a.Code) + len(a.Category))
		if a.Tokens != nil {
			n += int64(unsafe.Sizeof(Tokens{}))
		}
		if a.Next != nil {
			n += int64(unsafe.Sizeof(Next{}))
		}
	}
	more, p.bytes = n-p.bytes, n
	return more
}
