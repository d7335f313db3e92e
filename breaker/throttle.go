package breaker

import (
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// maxShed is the largest share of the attempts that are thrown away: the others
// notice when the target recovers.
const maxShed = 0.9

// draw says whether to throw an attempt at a closed circuit away, and counts it
// if so: it was asked for as much as those that go. The share grows with what the
// target refuses, so that it is sent no more than Throttle times what it accepts:
// the adaptive throttling of the Site Reliability Engineering book, chapter 21.
// What goes is counted when its first content or its end is known, not when it
// begins: else every rise of long calls would look like refusals.
func (b *Breaker) draw(now time.Time) (share float64, shed bool) {
	if b.c.Throttle <= 0 || b.c.Off {
		return 0, false
	}
	all := b.asked.sum(now)
	if all.total < b.c.MinCalls {
		return 0, false
	}
	accepted := float64(all.total - all.failures)
	share = (float64(all.total) - b.c.Throttle*accepted) / (float64(all.total) + 1)
	share = min(max(share, 0), maxShed)
	if share == 0 || b.rand() >= share {
		return share, false
	}
	counts := b.asked.bucket(now)
	counts.total++
	counts.failures++
	return share, true
}

// weigh counts an attempt as accepted or refused by the target, once.
func (b *Breaker) weigh(p *Permit, now time.Time, accepted bool) {
	if p.weighed || b.c.Throttle <= 0 {
		return
	}
	p.weighed = true
	counts := b.asked.bucket(now)
	counts.total++
	if !accepted {
		counts.failures++
	}
}

// weighEnd counts an attempt by how it ended: a rate limit and an overload are
// refusals as much as a fault is. What is nobody's fault is not counted.
func (b *Breaker) weighEnd(p *Permit, now time.Time, o call.Outcome) {
	if o.Superseded || o.Class == call.Canceled {
		return
	}
	switch o.Class.Row().Breaker {
	case call.BreakerSuccess:
		b.weigh(p, now, true)
	case call.BreakerFailure, call.BreakerProbeFailure:
		b.weigh(p, now, false)
	case call.BreakerNeutral:
	}
}
