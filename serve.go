package holdfast

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
)

// roundTrip is the order of the house, outermost first: what happens before
// what is decided here, in decide, and nowhere else.
func (h *house) roundTrip(req *http.Request) (*http.Response, error) {
	in, refused := h.read(req) // ids, dialect, body, route, deadline, pins
	in.event = call.Event{Kind: call.CallStarted}
	in.tell(&in.event)
	if refused != nil {
		return in.refuse(refused.reason, refused.message, 0), nil
	}
	if in.route.larder != nil { // opt-in: an answer from memory, or one for several calls
		return in.throughCache(req.Context())
	}
	return in.ask(req.Context())
}

// ask has the call answered by a target, or refused.
func (in *incoming) ask(ctx context.Context) (*http.Response, error) {
	result, own, err := in.decide(ctx, in.try)
	if own != nil || err != nil {
		return own, err
	}
	if result.Open { // the call body: forwards frames, ends honestly, reports once
		return in.show(result.Answer), nil
	}
	return in.fail(ctx, result)
}

// decide asks every policy for its leave and then the targets, by try. own is an
// answer of ours: a policy refused.
func (in *incoming) decide(ctx context.Context, try attempting) (result dispatch.Result[*answer], own *http.Response, err error) {
	if own := in.unaffordable(); own != nil { // no provider's limit will ever bear it, or not today
		return result, own, nil
	}
	if refused := in.charge(); refused != nil { // limits and budgets: once for a call, never for an attempt
		return result, in.turnDown(refused), nil
	}
	if wait, open := in.allOpen(); open { // do not fill the waiting room for nothing
		return result, in.refuse(call.ReasonCircuitOpen, "", wait), nil
	}
	if in.crowded() { // uploads do not wait for uploads: they would fill the room
		return result, in.refuse(call.ReasonQueueFull, "Route \""+in.Route+"\" carries as many uploads as it may at once; try again.", 0), nil
	}
	if err := in.enter(ctx); err != nil { // the only queue; waiting spends the deadline
		own, err = in.turnedAway(ctx, err)
		return result, own, err
	}
	schedule := in.route.scheduler // retry, key rotation and failover as one decision
	schedule.Key = in.key          // healthy keys only, and the one that a pinned call needs
	schedule.LastResort = in.lastKey
	schedule.Try = try // per attempt: permit, quota, breaker, clocks, credential, transport
	result = schedule.Open(ctx, &in.Call, &in.state)
	for result.Reason == dispatch.AllBusy {
		if err := in.place.Back(ctx, in.ready); err != nil {
			own, err = in.turnedAway(ctx, err)
			return result, own, err
		}
		result = schedule.Open(ctx, &in.Call, &in.state)
	}
	return result, nil, nil
}

// attempting is one attempt as dispatch asks for it; see dispatch.Scheduler.Try.
type attempting = func(ctx context.Context, c *call.Call, u call.Upstream, n int, first, force bool) (*answer, bool, call.Outcome, error)

// scheduler binds the attempt scheduler of a route to the rooms it asks.
func (h *house) scheduler(r *route) dispatch.Scheduler[*answer] {
	m, policy := h.memory, r.Retry
	return dispatch.Scheduler[*answer]{
		MaxAttempts: policy.MaxAttempts, MaxWait: policy.MaxRetryAfter, TokenMultiplier: policy.TokenMultiplier,
		Event: m.record,
		Ready: func(t *call.Target, model string) (bool, time.Duration) {
			return r.byTarget[t].breaker(model).Peek()
		},
		Withdraw: func(t *call.Target, _ string, tokens int, billed bool) (func(), string) {
			b := r.byTarget[t].budget
			ticket, denied := b.Withdraw(tokens, billed)
			return func() { b.Refund(ticket) }, denied
		},
		Backoff: func(n int, throttle bool, prev time.Duration) time.Duration {
			return policy.Backoff(n, throttle, prev, m.rand)
		},
		Delay: func(backoff, wait time.Duration, hasWait bool) time.Duration {
			return policy.Delay(backoff, wait, hasWait, m.rand)
		},
		Typical: func(t *call.Target, model string) time.Duration { return m.pool.Typical(t.Name, model) },
		Row:     r.row,
	}
}

// key picks a usable key of a target. A pinned call has only the key that made
// the state it refers to.
func (in *incoming) key(_ *call.Call, t *call.Target, model string, tried []*call.Key) (*call.Key, time.Duration, bool) {
	if in.pinKey != "" {
		for i := range t.Keys {
			if t.Keys[i].Name != in.pinKey {
				tried = append(tried, &t.Keys[i])
			}
		}
	}
	return in.solvent(t, model, tried)
}

// lastKey is the key to ask when none of a target is usable: for a pinned call the
// one that it needs, as no other knows what the call is about.
func (in *incoming) lastKey(t *call.Target, model string) *call.Key {
	if in.pinKey != "" {
		return keyNamed(t, in.pinKey)
	}
	return in.house.memory.pool.LastResort(t, model)
}

// keyNamed returns a target's key of that name, nil for none.
func keyNamed(t *call.Target, name string) *call.Key {
	for i := range t.Keys {
		if t.Keys[i].Name == name {
			return &t.Keys[i]
		}
	}
	return nil
}

// row is the error matrix as this route reads it.
func (r *route) row(_ *call.Call, o call.Outcome) call.Consequence {
	row := o.Class.Row()
	if o.Class == call.PolicyViolation && r.OnPolicyViolation == "fallback" {
		row.OtherTarget, row.OtherFirst = true, true
	}
	return row
}

// allOpen reports whether every target's breaker refuses, and for how long the
// first of them will. Then it tells of each.
func (in *incoming) allOpen() (wait time.Duration, open bool) {
	var room [4]time.Duration
	waits := in.probes(room[:0])
	if len(waits) == 0 {
		return 0, false
	}
	for i, t := range in.state.Targets {
		in.tell(&call.Event{Kind: call.PassedOver, Target: t.Name, Provider: t.Provider, Model: t.Model, Reason: "circuit_open", Wait: waits[i]})
	}
	return slices.Min(waits), true
}

// probes adds to waits the time to the next probe of each target, or nothing at
// all when one may be asked now.
func (in *incoming) probes(waits []time.Duration) []time.Duration {
	for _, t := range in.state.Targets {
		ok, wait := in.route.byTarget[t].breaker(in.model(t)).Peek()
		if ok {
			return nil
		}
		waits = append(waits, wait)
	}
	return waits
}

// model returns the model asked for at a target.
func (in *incoming) model(t *call.Target) string {
	if t.Model != "" {
		return t.Model
	}
	return in.Request.Model
}

// crowded reports whether a streamed upload finds the part of the permits that
// uploads may hold taken at every target.
func (in *incoming) crowded() bool {
	if in.body == nil {
		return false
	}
	for _, t := range in.state.Targets {
		if in.route.byTarget[t].uploads.Free() {
			return false
		}
	}
	return true
}

// enter waits for a place inside.
func (in *incoming) enter(ctx context.Context) (err error) {
	err = in.route.door.EnterAs(ctx, &in.seat, in.ticket())
	if err == nil {
		in.place = &in.seat
		in.event = call.Event{Kind: call.Queued, Wait: in.place.Wait()}
		if in.event.Wait > 0 {
			in.event.To = in.lacked()
		}
		in.tell(&in.event)
	}
	return err
}

// ready reports whether some target could take the call now: its breaker admits,
// a key has quota and a permit is free. When every breaker refuses there is
// nothing to wait for: the call goes on, to be told so.
func (in *incoming) ready() bool {
	closed := true
	for _, t := range in.state.Targets {
		p := in.route.byTarget[t]
		if ok, _ := p.breaker(in.model(t)).Peek(); ok {
			if ok, wait, err := in.affords(p, in.model(t), true); err != nil {
				continue // too large for it, for ever
			} else if !ok {
				p.wakeIn(wait)
				in.lacks.Store(forQuota)
			} else if p.free(in.body != nil) {
				return true
			} else {
				in.lacks.Store(forPermit)
			}
			closed = false
		}
	}
	return closed
}

// What a call in the waiting room waits for.
const (
	forPermit = iota + 1
	forQuota
)

// lacked is what the call waited for last; "" if nobody asked.
func (in *incoming) lacked() string { return [...]string{"", "permit", "quota"}[in.lacks.Load()] }

// turnedAway words what the waiting room said.
func (in *incoming) turnedAway(ctx context.Context, err error) (*http.Response, error) {
	var full *admission.Error
	if !errors.As(err, &full) {
		return nil, in.left(ctx)
	}
	in.tell(&call.Event{Kind: call.Queued, Reason: full.Reason, To: in.lacked()})
	return in.refuse(full.Reason, "", full.RetryAfter), nil
}

// left ends a call whose caller has gone.
func (in *incoming) left(ctx context.Context) error {
	err := context.Cause(ctx)
	if err == nil {
		err = context.Canceled
	}
	in.ended(call.Outcome{Verdict: call.Verdict{Class: call.Canceled}, Err: err}, 0, "gateway", "canceled")
	return err
}

// ended reports the call's one outcome and gives its place back.
func (in *incoming) ended(o call.Outcome, status int, source, reason string) {
	if in.counted {
		return
	}
	in.counted = true
	if in.body != nil {
		_ = in.body.Close()
	}
	if !in.gave {
		in.giveBack()
	}
	if in.landing != nil { // those who wait for it have ends of their own
		in.event = call.Event{Outcome: o, Status: status, Source: source, Reason: reason}
		return
	}
	if in.route != nil {
		in.route.tally.calls.Add(1)
		if o.Class == call.OK {
			in.route.tally.ok.Add(1)
		}
		if source == "gateway" && o.Class != call.Canceled {
			in.route.tally.refused.Add(1)
		}
	}
	e := &in.event
	*e = call.Event{Kind: call.CallEnded, Outcome: o, Status: status, Original: in.original, Source: source, Reason: reason, Attempt: in.state.Attempts, Wait: time.Since(in.Arrived)}
	e.At = in.Arrived.Add(e.Wait)
	e.Own = in.own(e.Wait, o)
	if in.recall != nil {
		e.Cached, e.To = in.recall.did, in.recall.why
	}
	if n := len(in.state.Steps); n > 0 {
		last := in.state.Steps[n-1]
		e.Target, e.Provider, e.Model, e.Key = last.Target.Name, last.Target.Provider, last.Target.Model, last.Key
	}
	in.tell(e)
}

// giveBack gives back what the call held, when it has ended.
func (in *incoming) giveBack() {
	if in.place != nil {
		in.place.LeaveAfter(in.used.Load())
	}
	in.settle()
	in.yield()
}

// own is the part of a call's time that Holdfast itself took: neither attempts,
// to the end of their bodies, nor pauses between them, nor the waiting room.
func (in *incoming) own(all time.Duration, last call.Outcome) time.Duration {
	if in.place != nil {
		all -= in.place.Wait()
	}
	for _, s := range in.state.Steps {
		all -= s.Wait
		if s.Open { // it took until now, not until its headers came
			all -= last.Duration
		} else {
			all -= s.Took
		}
	}
	return max(0, all)
}
