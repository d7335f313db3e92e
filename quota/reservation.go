package quota

import (
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Reservation is what one attempt holds of an Account. The zero Reservation
// holds nothing, and returning or settling it does nothing. It is used by one
// goroutine at a time.
type Reservation struct {
	account *Account
	need    Need
	held    amounts
	hour    int64
	seq     uint64
}

// Return gives everything back: nothing was sent.
func (r *Reservation) Return() {
	a := r.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r.settle(amounts{})
}

// End settles a reservation with how its attempt ended: what the provider charged
// stays spent, the rest comes back. The first call of End or Return counts, later
// ones are ignored.
func (r *Reservation) End(o call.Outcome) {
	a := r.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r.settle(r.charge(o))
	if o.Class == call.Throttled { // last: what it gives back does not fill what it empties
		a.throttled(r.seq, o)
	}
}

// charge is what the provider counts for an attempt that ended so.
func (r *Reservation) charge(o call.Outcome) amounts {
	a := r.account
	input, cached, output := int64(o.Usage.Input), int64(o.Usage.Cached), int64(o.Usage.Output)
	switch {
	case o.Class == call.Refused || o.Class == call.Transport && !o.Sent:
		return amounts{}
	case o.Class == call.OK || o.Class == call.PolicyViolation:
		if !o.Usage.Known || o.Usage.Odd {
			return r.guess(o)
		}
		charged := a.kind.used(r.held, input, cached, output)
		a.lengths.add(length{guessed: int64(r.need.Input), input: input, output: output, most: r.need.most(), charged: charged[Tokens]})
		return charged
	case o.Class == call.Throttled || o.Billed() == call.BilledNo || o.Status >= 400:
		return a.failed(r.held, o.Class == call.Throttled)
	case !o.Superseded && (o.Committed || o.Class == call.Canceled):
		// It broke or was left in the middle. What has come is what it took.
		input = max(input, r.held[Input])
		return a.kind.used(r.held, input, cached, min(r.held[Output], max(output, int64(o.Produced))))
	}
	return r.held // it may have been answered in full, and billed
}

// guess is what an answer took whose provider did not say so, or said what cannot
// be: as much as was seen of it and a quarter more, or all that was held, if that
// is less or if some of it cannot be seen.
func (r *Reservation) guess(o call.Outcome) amounts {
	seen := int64(o.Produced) * 5 / 4
	if r.need.Thinks || seen == 0 || o.Usage.Odd {
		return r.held
	}
	return r.account.kind.used(r.held, r.held[Input], 0, min(seen, r.held[Output]))
}

// failed is what a call takes that was refused before it was answered.
func (a *Account) failed(held amounts, throttled bool) amounts {
	var kept amounts
	if a.kind.Failed {
		kept[Requests], kept[Day] = held[Requests], held[Day]
		if !a.kind.TrueUp && !throttled {
			kept[Tokens] = held[Tokens]
		}
	}
	return kept
}

// settle puts what was charged in the place of what was held. Called under the
// lock.
func (r *Reservation) settle(charged amounts) {
	a := r.account
	r.account = nil
	now := time.Since(a.origin)
	for d := range a.buckets {
		b := &a.buckets[d]
		b.reserved = max(0, b.reserved-r.held[d])
		if b.stated > 0 {
			b.fill(now, a.ramp)
			b.refund(now, r.held[d]-charged[d])
		}
	}
	if a.day.limit > 0 {
		a.day.turn(now)
		a.day.add(r.hour, charged[Day]-r.held[Day])
	}
	a.open--
}

// throttled empties the buckets after a 429, shuts the account for the provider's
// wait and starts the ramp. A 429 to a request that was sent before the last one
// is old news.
func (a *Account) throttled(seq uint64, o call.Outcome) {
	if seq <= a.told429 {
		return
	}
	a.told429 = a.seq
	now := time.Since(a.origin)
	var wait time.Duration
	if o.HasWait {
		wait = min(o.Wait, maxHold)
		wait += time.Duration(a.rand() * float64(min(wait/10, time.Second)))
	}
	a.hold = max(a.hold, now+wait)
	for d := range a.buckets {
		if b := &a.buckets[d]; b.stated > 0 {
			b.fill(now, a.ramp)
			b.drain(a.hold)
		}
	}
	a.ramp = ramp{from: a.hold, on: true}
}
