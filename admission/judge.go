package admission

import "time"

// refuse says why a newcomer should not wait. If one of those that wait must make
// room for it, that one is refused instead.
func (d *Door) refuse(now time.Time, p *Place) *Error {
	switch {
	case d.draining:
		return d.refusal(now, p, ReasonDraining, ErrDraining)
	case p.left() <= 0:
		return d.refusal(now, p, ReasonTimeout, ErrTimeout)
	case p.front:
		return nil
	}
	var victim *Place
	if d.full(p.class) {
		if victim = d.victim(p); victim == nil {
			return d.refusal(now, p, ReasonFull, ErrFull)
		}
	}
	if d.hopeless(now, p) {
		return d.refusal(now, p, ReasonTimeout, ErrTimeout)
	}
	if victim != nil {
		d.evict(victim, now)
	}
	return nil
}

// full reports whether the line has no room for another call of a class. Calls
// that came back take none.
func (d *Door) full(c Class) bool {
	return d.waiting-len(d.front) >= d.c.MaxDepth || d.lanes[c.index()].waiting >= c.most(d.c.MaxDepth)
}

// victim returns who gives its room in a full line to p: of a lower class the
// last to go in, as long as that class keeps its part of the line; of p's own
// class one of the tenant that fills it.
func (d *Door) victim(p *Place) *Place {
	own := &d.lanes[p.class.index()]
	if own.waiting < p.class.most(d.c.MaxDepth) {
		mayAsk := own.waiting < p.class.kept(d.c.MaxDepth) // also of the higher
		for c := Batch; c < p.class || mayAsk && c <= Critical; c++ {
			if l := &d.lanes[c.index()]; c != p.class && l.waiting > c.kept(d.c.MaxDepth) {
				return d.last(l.longest())
			}
		}
	}
	mine := 0
	if f := own.byTenant[p.tenant]; f != nil {
		mine = len(f.line)
	}
	if f := own.longest(); f != nil && len(f.line) > mine+1 {
		return d.last(f)
	}
	return nil
}

// last returns the call of a tenant that is to go in last.
func (d *Door) last(f *flow) *Place { return f.nth(len(f.line)-1, time.Now(), &d.c) }

// evict refuses one that waits.
func (d *Door) evict(p *Place, now time.Time) {
	p.out = d.refusal(now, p, ReasonFull, ErrFull)
	d.shed[p.class.index()].count(p.out)
	d.drop(p, now)
}

// hopeless reports whether the line moves too slowly for a newcomer. One that
// would be asked at once is not judged by those before it: they may be waiting
// for something else. And a class of which nobody waits may send one: its share
// of the calls that go in begins to count when somebody is there to take it.
// While a queue stands it takes fewer, so that the waits become short: one that is
// refused at once has lost nothing. A rest whose end is known is part of its wait, and
// no reason to think that the line is slow.
func (d *Door) hopeless(now time.Time, p *Place) bool {
	if d.waiting == 0 || d.open() && d.waiting < window || d.lanes[p.class.index()].waiting == 0 && p.class.share() > 0 {
		return false
	}
	most := p.left() - p.rest(now)
	if f := d.lanes[p.class.index()].byTenant[p.tenant]; f != nil && f.stands(now, &d.c) {
		most /= 4
	}
	return d.pace.wait(now, d.place(p), d.running) > most
}

// place estimates how many go in until a newcomer does, itself included.
func (d *Door) place(p *Place) int {
	own := d.lanes[p.class.index()].place(p.tenant)
	all := len(d.front) + own
	for c := p.class + 1; c <= Critical; c++ {
		all += d.lanes[c.index()].waiting
	}
	if share := p.class.share(); share > 0 {
		all = min(all, len(d.front)+int(float64(own)/share))
	}
	return all
}

func (d *Door) refusal(now time.Time, p *Place, reason string, kind error) *Error {
	wait := max(d.pace.wait(now, d.place(p), d.running), p.rest(now))
	return &Error{Route: d.route, Reason: reason, RetryAfter: min(max(wait, time.Second), time.Minute), kind: kind}
}
