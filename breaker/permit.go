package breaker

import (
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Permit is the leave to send one attempt. Its methods may be called from
// several goroutines, in any order and more than once; a nil or zero Permit
// ignores them.
type Permit struct {
	b          *Breaker
	generation uint64
	number     uint64 // unique, rising

	// Guarded by b.mu.
	timed   bool // known to be fast or slow
	proved  bool // counted as a half-open success
	weighed bool // counted for Throttle
	ended   bool
}

// FirstToken says that the attempt's first content has come. A half-open probe
// is good then and gives its place back: the rest of its answer may take
// minutes.
func (p *Permit) FirstToken() {
	if p == nil || p.b == nil {
		return
	}
	b := p.b
	b.mu.Lock()
	defer b.unlock()
	b.release(p)
	if p.ended || b.deaf(p) {
		return
	}
	now := time.Now()
	b.weigh(p, now, true)
	b.speed(p, now, false)
	if b.state == HalfOpen {
		b.prove(p, now)
	}
}

// Slow says that Config.SlowAfter has gone by and no content has come. It
// counts now and once, so that a target that hangs opens the circuit before its
// calls time out.
func (p *Permit) Slow() {
	if p == nil || p.b == nil {
		return
	}
	b := p.b
	b.mu.Lock()
	defer b.unlock()
	if p.ended || b.deaf(p) {
		return
	}
	b.speed(p, time.Now(), true)
}

// End says how the attempt ended, when its body has. The first call counts,
// later ones are ignored. What the outcome means is the breaker column of
// call.Consequences; a superseded attempt means nothing, a canceled one only
// that it was slow, if it was.
func (p *Permit) End(o call.Outcome) { p.EndAt(time.Now(), o) }

// EndAt is End for who has just read the clock.
func (p *Permit) EndAt(now time.Time, o call.Outcome) {
	if p == nil || p.b == nil {
		return
	}
	b := p.b
	b.mu.Lock()
	defer b.unlock()
	b.release(p)
	if p.ended || b.deaf(p) {
		p.ended = true
		return
	}
	p.ended = true
	b.weighEnd(p, now, o)
	effect := o.Class.Row().Breaker
	switch {
	case o.Superseded:
	case o.Class == call.Canceled && o.Slow:
		// An impatient client must not hide a target that hangs.
		b.speed(p, now, true)
	case o.Class == call.Canceled || effect == call.BreakerNeutral:
	case b.state == HalfOpen:
		b.judgeProbe(p, now, effect, o.Slow)
	case effect != call.BreakerProbeFailure:
		b.count(p, now, o)
	}
}

// deaf reports whether news of p must be ignored: it is of another generation,
// or nothing is counted at all.
func (b *Breaker) deaf(p *Permit) bool { return p.generation != b.generation || b.c.Off }

// judgeProbe ends a half-open probe. A good one counted at its first token
// already, but may break afterwards.
func (b *Breaker) judgeProbe(p *Permit, now time.Time, effect call.BreakerEffect, slow bool) {
	if effect != call.BreakerSuccess {
		b.trip(now, CauseProbe)
		return
	}
	if slow {
		b.speed(p, now, true)
		if b.deaf(p) { // slow was what it had to prove
			return
		}
	}
	b.prove(p, now)
}

// prove counts a good probe, once, and closes the circuit after enough of them.
func (b *Breaker) prove(p *Permit, now time.Time) {
	if p.proved {
		return
	}
	p.proved = true
	if b.successes++; b.successes >= b.c.Successes {
		b.move(now, Closed, CauseProbe, 0)
		b.rampFrom, b.credit = now, 1-rampStart // the first attempt after closing goes
	}
}

// speed counts an attempt as fast or slow, once, and opens the circuit if too
// many are slow. A slow probe speaks only against a circuit that opened because
// of slowness: a model that always thinks for long must be able to recover from
// an outage of another kind.
func (b *Breaker) speed(p *Permit, now time.Time, slow bool) {
	slow = slow && b.c.SlowAfter > 0
	if p.timed {
		return
	}
	p.timed = true
	counts := b.window.bucket(now)
	counts.timed++
	if !slow {
		return
	}
	counts.slow++
	switch {
	case b.state == Closed:
		b.checkSlow(now)
	case b.state == HalfOpen && b.origin == CauseSlow:
		b.trip(now, CauseProbe)
	}
}

// count adds an outcome and opens the circuit if that is too much. Only a
// failure can be too much: a success that completes MinCalls must not shut out
// a target that has just recovered.
func (b *Breaker) count(p *Permit, now time.Time, o call.Outcome) {
	counts := b.window.bucket(now)
	counts.total++
	failed := o.Class.Row().Breaker == call.BreakerFailure
	if failed {
		counts.failures++
		b.countInARow(p, o)
	} else {
		b.consecutive = 0
	}
	b.speed(p, now, o.Slow)
	if failed && b.state == Closed { // not opened by slowness
		b.checkFailures(now)
	}
}

// countInARow counts a failure in a row. One broken connection takes down every
// stream it carries: attempts that were under way when it last counted are the
// same event. The failure ratio counts each of them.
func (b *Breaker) countInARow(p *Permit, o call.Outcome) {
	if o.Sent && (o.Class == call.Transport || o.Class == call.Truncated) {
		if p.number <= b.broken {
			return
		}
		b.broken = b.admitted
	}
	b.consecutive++
}

// checkFailures opens a closed circuit whose failures have reached a threshold.
// Shares are compared by division, not by product: 3 of 30 must reach 0.1.
func (b *Breaker) checkFailures(now time.Time) {
	all := b.window.sum(now)
	switch {
	case b.warming(now):
	case b.c.Consecutive > 0 && b.consecutive >= b.c.Consecutive:
		b.trip(now, CauseConsecutive)
	case b.c.Ratio > 0 && all.total >= b.c.MinCalls && float64(all.failures)/float64(all.total) >= b.c.Ratio:
		b.trip(now, CauseRatio)
	}
}

// checkSlow opens a closed circuit whose slow attempts have reached the
// threshold.
func (b *Breaker) checkSlow(now time.Time) {
	all := b.window.sum(now)
	if !b.warming(now) && b.c.SlowRatio > 0 && all.timed >= b.c.MinCalls && float64(all.slow)/float64(all.timed) >= b.c.SlowRatio {
		b.trip(now, CauseSlow)
	}
}

// warming reports whether it is too early to open for anything that was counted.
func (b *Breaker) warming(now time.Time) bool { return now.Sub(b.made) < b.c.WarmUp }

// release gives back the place of a half-open probe, if p holds one still.
func (b *Breaker) release(p *Permit) {
	b.dropLeases(func(l lease) bool { return l.permit == p.number })
}

func (b *Breaker) dropLeases(gone func(lease) bool) {
	b.leases = slices.DeleteFunc(b.leases, gone)
}
