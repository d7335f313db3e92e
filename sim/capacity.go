package sim

import (
	"context"
	"time"
)

// works reports whether the provider finishes what it has begun, whoever listens.
func (c *call) works() bool { return c.dials.Slots > 0 }

// occupy waits for a slot of the engine. The queue does not notice callers that
// leave.
func (c *call) occupy() bool {
	return !c.works() || c.p.slots.enter(context.WithoutCancel(c.ctx), c.dials.Slots)
}

func (c *call) vacate() {
	if c.works() {
		c.p.slots.leave(c.p.Dials().Slots)
	}
}

// prefill is how long the engine reads the prompt.
func (c *call) prefill() time.Duration {
	if !c.works() {
		return 0
	}
	return c.dials.scale(time.Duration(c.req.inputTokens()) * c.dials.PrefillPerToken)
}

// decode is how long the next token takes: longer in an engine that has others in
// its batch.
func (c *call) decode() time.Duration {
	if !c.works() || c.dials.Slots == 1 {
		return c.pace.interval
	}
	full := float64(c.p.slots.busy()-1) / float64(c.dials.Slots-1)
	return time.Duration(float64(c.pace.interval) * (1 + c.dials.BatchSlowdown*min(1, full)))
}

// steps is in how many pieces the time of a whole answer is waited for, because
// the batch changes meanwhile.
const steps = 16

// compute waits as long as a whole answer of n tokens takes.
func (c *call) compute(n int) bool {
	if !c.works() || c.pace.whole {
		return c.wait(c.pace.body(n))
	}
	if !c.wait(c.pace.body(1)) {
		return false
	}
	for left := n - 1; left > 0; {
		some := min(left, max(1, n/steps))
		if !c.wait(time.Duration(some) * c.decode()) {
			return false
		}
		left -= some
	}
	return true
}

// busy returns how many are inside.
func (g *gate) busy() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// stall is a time in which everything stops.
type stall struct{ from, to time.Time }

func stallOf(d Dials) stall {
	if d.StallFor == 0 {
		return stall{}
	}
	from := time.Now().Add(d.StallAfter)
	return stall{from, from.Add(d.StallFor)}
}

// stretch is how long work of d takes that begins now.
func (s stall) stretch(now time.Time, d time.Duration) time.Duration {
	switch {
	case !now.Before(s.to):
		return d
	case !now.Before(s.from):
		return s.to.Sub(now) + d
	case now.Add(d).After(s.from):
		return d + s.to.Sub(s.from)
	}
	return d
}

// stalled is how long everything stands still from now on.
func (p *Provider) stalled() time.Duration { return p.stretched(0) }

func (p *Provider) stretched(d time.Duration) time.Duration {
	p.mu.Lock()
	s := p.stall
	p.mu.Unlock()
	return s.stretch(time.Now(), d)
}

// wait waits as long as work of d takes, and reports whether the call goes on:
// while the caller is there, or to its end where work once begun is finished.
func (c *call) wait(d time.Duration) bool {
	for d = c.p.stretched(d); d > 0; d = c.p.stalled() {
		if !c.sleep(d) {
			return false
		}
	}
	return c.works() || c.ctx.Err() == nil
}

func (c *call) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	gone := c.ctx.Done()
	if c.works() {
		gone = nil
	}
	select {
	case <-timer.C:
		return true
	case <-gone:
		return false
	}
}
