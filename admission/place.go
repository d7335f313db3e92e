package admission

import (
	"cmp"
	"context"
	"time"
)

// Place is one call's place in the room. Its methods may be called from several
// goroutines, but Back only by the one that works on the call.
type Place struct {
	door *Door

	// Guarded by door.mu, except that ready does not change while waiting.
	state   placeState
	front   bool // before those that have not been inside
	class   Class
	tenant  string
	cost    int64     // tokens
	flow    *flow     // of its tenant, if it has waited
	out     *Error    // why it was put out of the line
	arrived time.Time // of the call
	turn    uint64    // order of arrival at the door
	vain    bool      // has been inside and found every target busy
	counted bool      // as one that went in from the line
	trying  uint64    // the breath in which it was let in to try; 0: it has settled
	epoch   uint64    // of the door, when it was let in
	asked   uint64    // the look that asked it last
	ready   func() bool
	in      chan struct{} // closed when let in
	since   time.Time     // waiting since
	waited  time.Duration // before since
	budget  time.Duration // for all its waits
	rests   time.Time     // nobody can take it before, as far as is known
}

type placeState uint8

const (
	gone placeState = iota
	waiting
	inside
)

// Wait returns how long the call has waited in the room, in all its waits.
func (p *Place) Wait() time.Duration {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	if p.state == waiting {
		return p.waited + time.Since(p.since)
	}
	return p.waited
}

// Took says that the call has what it was let in for, so that the next one may be
// asked at once. Who does not say so is waited for a moment.
func (p *Place) Took() {
	if p.trying == 0 { // set before the call was let in, so that no lock is needed to see it
		return
	}
	d := p.door
	d.mu.Lock()
	more := d.settle(p) && d.waiting > 0
	d.mu.Unlock()
	if more {
		d.look()
	}
}

// Leave gives the place up and lets the next call in. The first Leave counts,
// later ones are ignored.
func (p *Place) Leave() { p.LeaveAfter(0) }

// LeaveAfter is Leave for a call that took that many tokens: its tenant has taken
// as many from the others, and not what its Ticket said. 0: nobody knows.
func (p *Place) LeaveAfter(tokens int64) {
	d := p.door
	d.mu.Lock()
	if p.state == gone {
		d.mu.Unlock()
		return
	}
	var now time.Time // of no interest to a call that is inside and never waited
	if p.state == waiting || p.flow != nil {
		now = time.Now()
	}
	if p.flow != nil && tokens > 0 {
		d.lanes[p.class.index()].charge(p.flow, tokens-p.cost, now)
	}
	d.settle(p)
	d.drop(p, now)
	d.epoch++
	idle := d.waiting == 0
	d.mu.Unlock()
	if !idle {
		d.look()
	}
}

// Back is for a call that went in and found every target busy. It gives the
// place inside to whom it is of use and waits at the head of the line, oldest
// call first, until something was released and ready says yes; a nil ready
// keeps the old one. The time it may wait is what its earlier waits left of it.
// On an error (as of Enter) the place is given up.
func (p *Place) Back(ctx context.Context, ready func() bool) error {
	if err := ctx.Err(); err != nil {
		p.Leave()
		return err
	}
	left, err := p.door.rejoin(p, ready)
	if err != nil {
		return err
	}
	return p.door.await(ctx, p, left)
}

// rejoin puts p back in the line. It returns how long p may wait there.
func (d *Door) rejoin(p *Place, ready func() bool) (left time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if p.state != inside { // given up meanwhile
		return 0, d.refusal(now, p, ReasonTimeout, ErrTimeout)
	}
	d.running--
	if ready != nil {
		p.ready = ready
	}
	p.front, p.vain = true, true
	d.settle(p)
	if p.counted { // nobody was served by that
		d.pace.returned(now)
		p.counted = false
	}
	d.join(p, now)
	return p.left(), nil
}

// consult asks what is to come for a call that must wait.
func (p *Place) consult(t Ticket) {
	if !t.CommitBy.IsZero() {
		p.budget = min(p.budget, t.Waited+time.Until(t.CommitBy)-t.Call.Needs())
	}
	if rest := t.Call.Rests(); rest > 0 {
		p.rests = time.Now().Add(rest)
	}
}

// rest returns for how long nobody can take p.
func (p *Place) rest(now time.Time) time.Duration { return max(0, p.rests.Sub(now)) }

// left returns what remains of the time p may wait.
func (p *Place) left() time.Duration { return p.budget - p.waited }

func (p *Place) isReady() bool { return p.ready == nil || p.ready() }

// late reports whether p has waited longer than it may, though its timer has yet
// to say so: it would go in only to fail.
func (p *Place) late(now time.Time) bool { return now.Sub(p.since) > p.left() }

// byTurn orders calls as they came to the door.
func byTurn(a, b *Place) int { return cmp.Compare(a.turn, b.turn) }

// byArrival orders those at the front: the oldest call first.
func byArrival(a, b *Place) int {
	return cmp.Or(a.arrived.Compare(b.arrived), cmp.Compare(a.turn, b.turn))
}
