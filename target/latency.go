package target

import (
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// newest is how much the newest time to a first token counts among the recent.
const newest = 0.2

// Observe says how long the first meaningful event of an attempt took, from
// sending. Times of 0 or less are not counted.
func (p *Pool) Observe(u call.Upstream, firstToken time.Duration) {
	if firstToken <= 0 || u.Target == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	known := p.upstream(u.Target.Name, now)
	if known == nil {
		return
	}
	m, _ := known.model(asked(u.Target, u.Model), now)
	if m.recent == 0 {
		m.recent = firstToken.Seconds()
	}
	m.recent += newest * (firstToken.Seconds() - m.recent)
	if len(m.first) < samples {
		m.first = append(m.first, firstToken)
		return
	}
	m.first[m.next] = firstToken
	m.next = (m.next + 1) % samples
}

// Typical returns the median time to the first meaningful event over the last
// 50 observed for a model at a target, by its name; 0 with fewer than 5. An
// attempt that has less time left than that is probably wasted.
func (p *Pool) Typical(target, model string) time.Duration {
	var sorted [samples]time.Duration
	p.mu.Lock()
	n := 0
	if m := p.upstreams[target].look(model); m != nil {
		n = copy(sorted[:], m.first)
	}
	p.mu.Unlock()
	if n < minSamples {
		return 0
	}
	slices.Sort(sorted[:n])
	return sorted[n/2]
}
