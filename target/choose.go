package target

import (
	"slices"

	"github.com/holdfast-gateway/holdfast/call"
)

// much is how much less than another's a target's load must be for it to be asked
// instead, as a share: below that both are as good, and weights decide.
const much = 0.8

// candidate is one of several that may be drawn.
type candidate struct {
	at     int32 // its place in the caller's list
	weight float32
	load   float32
	out    bool // it rests
}

// draw returns a random index by weight; there must be candidates.
func (p *Pool) draw(among []candidate) int {
	if len(among) == 1 {
		return 0
	}
	sum := float32(0)
	for i := range among {
		sum += among[i].weight
	}
	at := float32(p.rand()) * sum
	for i := range among[:len(among)-1] {
		if at -= among[i].weight; at < 0 {
			return i
		}
	}
	return len(among) - 1
}

// arrange orders targets that share a place. Called under the lock.
func (p *Pool) arrange(a Asked, group []*call.Target, c *clock) {
	var few [16]candidate
	all := few[:0]
	for i, t := range group {
		all = append(all, candidate{at: int32(i), weight: float32(t.Weight)})
	}
	p.weigh(a, group, all, c)
	var room [16]*call.Target
	order := append(room[:0], group...)
	for i := range group {
		next := p.next(a, order, all)
		group[i] = order[all[next].at]
		all = slices.Delete(all, next, next+1)
	}
}

// weigh notes the shares and loads of the members of a group, and who of them
// rests; nobody does when more than half of them would.
func (p *Pool) weigh(a Asked, group []*call.Target, all []candidate, clock *clock) {
	sum, resting, timed := float32(0), 0, true
	for i := range all {
		c, t := &all[i], group[i]
		if u := p.upstreams[t.Name]; u != nil {
			c.out = u.own.rests(clock)
			c.weight *= float32(u.own.share(clock, p.config.Ramp))
			if m := u.look(asked(t, a.Model)); m != nil {
				c.load = float32(m.recent)
			}
		}
		if c.out {
			resting++
		}
		timed = timed && c.load > 0
		sum += c.weight
	}
	for i := range all {
		c := &all[i]
		c.out = c.out && 2*resting <= len(all)
		if !timed { // what is not known of one says nothing about the others
			c.load = 1
		}
		if u := p.upstreams[group[i].Name]; u != nil {
			c.load *= float32(u.own.effort())
		}
		if a.Load != nil {
			c.load *= 1 + float32(a.Load(group[i]))*sum/(c.weight*float32(len(all)))
		}
	}
}

// next returns the index of the candidate to be asked next: the one that the
// conversation knows, else of two drawn by weight the one with less load. Those
// that rest come last.
func (p *Pool) next(a Asked, targets []*call.Target, left []candidate) int {
	if i := slices.IndexFunc(left, func(c candidate) bool { return !c.out && a.Prefer != "" && targets[c.at].Name == a.Prefer }); i >= 0 {
		return i
	}
	var few [16]candidate
	well := few[:0]
	for i, c := range left {
		if !c.out {
			c.at = int32(i)
			well = append(well, c)
		}
	}
	if len(well) == 0 {
		return p.draw(left)
	}
	first := p.draw(well)
	if p.config.Balance == BalanceLoad && len(well) > 1 {
		if second := p.draw(well); well[second].load < much*well[first].load {
			first = second
		}
	}
	return int(well[first].at)
}

// toFront moves the target of a name to the front, if it is there.
func toFront(targets []*call.Target, name string) {
	i := slices.IndexFunc(targets, func(t *call.Target) bool { return t.Name == name })
	if i > 0 {
		t := targets[i]
		copy(targets[1:i+1], targets[:i])
		targets[0] = t
	}
}
