package admission

import (
	"cmp"
	"slices"
	"time"
)

const (
	// maxFlows is how many tenants a lane remembers besides those that wait.
	maxFlows = 1024
	// maxCredit is how many calls a class may be behind its share: more would
	// come as a burst when its targets are back.
	maxCredit = 2
)

// lane is where the calls of one class wait. Tenants take turns by what they
// cost: the one that has been given the least tokens goes next.
type lane struct {
	flows    []*flow          // those with calls that wait, the next to be served first
	byTenant map[string]*flow // these and some that were here lately
	sweepAt  int
	waiting  int
	served   float64 // how far the tenant served last had come
	credit   float64 // calls that the class is behind its share
}

// flow is one tenant's part of a lane.
type flow struct {
	id      uint64
	line    []*Place // as they came to the door
	spent   float64  // tokens, on the lane's scale: where the next call begins
	charged time.Time
	above   time.Time // since when a queue stands, or may; zero: it does not
	late    time.Time // since when the oldest has been waiting too long; zero: it has not
}

func byNeed(a, b *flow) int {
	return cmp.Or(cmp.Compare(a.spent, b.spent), cmp.Compare(a.id, b.id))
}

// join puts p in its tenant's line.
func (l *lane) join(p *Place, now time.Time) {
	f := l.flowOf(p)
	if len(f.line) == 0 {
		l.enlist(f, now)
	}
	at, _ := slices.BinarySearchFunc(f.line, p, byTurn)
	f.line = slices.Insert(f.line, at, p)
	p.flow = f
	l.waiting++
}

// enlist makes f one of those that wait. Who comes back begins where the others
// are: what it did not ask for meanwhile is not saved up, and what it owes is
// forgotten after a while.
func (l *lane) enlist(f *flow, now time.Time) {
	if now.Sub(f.charged) > memory {
		f.spent = 0
	}
	f.spent = max(f.spent, l.served)
	at, _ := slices.BinarySearchFunc(l.flows, f, byNeed)
	l.flows = slices.Insert(l.flows, at, f)
}

func (l *lane) delist(f *flow) {
	at, _ := slices.BinarySearchFunc(l.flows, f, byNeed)
	l.flows = slices.Delete(l.flows, at, at+1)
}

// flowOf returns the flow of p's tenant.
func (l *lane) flowOf(p *Place) *flow {
	if f := l.byTenant[p.tenant]; f != nil {
		return f
	}
	if len(l.byTenant) >= max(maxFlows, l.sweepAt) {
		for tenant, f := range l.byTenant {
			if len(f.line) == 0 {
				delete(l.byTenant, tenant)
			}
		}
		l.sweepAt = 2 * len(l.byTenant) // not for every newcomer while so many wait
	}
	if l.byTenant == nil {
		l.byTenant = map[string]*flow{}
	}
	f := &flow{id: p.turn}
	l.byTenant[p.tenant] = f
	return f
}

// leave takes p out of its tenant's line.
func (l *lane) leave(p *Place) {
	f := p.flow
	at, _ := slices.BinarySearchFunc(f.line, p, byTurn)
	f.line = slices.Delete(f.line, at, at+1)
	l.waiting--
	if len(f.line) == 0 {
		l.delist(f)
	}
}

// charge moves p's tenant on by a cost, or back when that is negative.
func (l *lane) charge(f *flow, cost int64, now time.Time) {
	if len(f.line) > 0 {
		l.delist(f)
		defer func() {
			at, _ := slices.BinarySearchFunc(l.flows, f, byNeed)
			l.flows = slices.Insert(l.flows, at, f)
		}()
	}
	f.spent += float64(cost)
	f.charged = now
}

// next returns the first call of the lane's window that this look has not asked
// and that may profit from being asked: each tenant's first, then each one's
// second, and so on.
func (l *lane) next(look uint64, now time.Time, c *Config) *Place {
	seen := 0
	for i, some := 0, true; some; i++ {
		some = false
		for _, f := range l.flows {
			if i >= len(f.line) {
				continue
			}
			some = true
			if p := f.nth(i, now, c); p.asked != look {
				return p
			}
			if seen++; seen == window {
				return nil
			}
		}
	}
	return nil
}

// nth returns the i-th call to go in: the oldest first, or the newest while the
// queue stands although few are let join it. The old ones have waited so long then
// that most of their callers would get an answer too late, and serving them in
// order would make everybody's too late.
func (f *flow) nth(i int, now time.Time, c *Config) *Place {
	if f.lags(now, c) {
		return f.line[len(f.line)-1-i]
	}
	return f.line[i]
}

// watch notes since when even the oldest call has waited too long. It must be told
// of every change of the line. A queue that stands does so until it is empty: with
// few let join it the waits are short soon, and would be long again at once.
func (f *flow) watch(now time.Time, c *Config) {
	soon := len(f.line) == 0 || now.Sub(f.line[0].since) < c.MaxWait/2
	switch {
	case soon && (len(f.line) == 0 || !f.stands(now, c)):
		f.above = time.Time{}
	case f.above.IsZero():
		f.above = now
	}
	switch {
	case soon:
		f.late = time.Time{}
	case f.late.IsZero():
		f.late = now
	}
}

// stands reports whether there is a standing queue: for an interval no call could
// go in, in order, without having waited for half of what it may. A shorter wait
// says nothing: at nine tenths of what a room can serve there are such waits for
// seconds, and they end by themselves.
func (f *flow) stands(now time.Time, c *Config) bool {
	return !f.above.IsZero() && now.Sub(f.above) >= c.standing()
}

// lags reports whether the waits have stayed long although the queue has been a
// standing one for as long as a call may wait: whoever was let join it before has
// gone. The line moves more slowly than anybody could know.
func (f *flow) lags(now time.Time, c *Config) bool {
	return !f.late.IsZero() && now.Sub(f.late) >= c.standing()+c.MaxWait
}

// longest returns the tenant with the most calls that wait.
func (l *lane) longest() (longest *flow) {
	for _, f := range l.flows {
		if longest == nil || len(f.line) > len(longest.line) {
			longest = f
		}
	}
	return longest
}

// place estimates how many calls of the lane have gone in when a newcomer of
// that tenant does: with tenants that take turns, not all that are there.
func (l *lane) place(tenant string) int {
	mine, others := 0, len(l.flows)
	if f := l.byTenant[tenant]; f != nil && len(f.line) > 0 {
		mine, others = len(f.line), others-1
	}
	return min(l.waiting+1, (mine+1)*(others+1))
}
