package target

import (
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// ReasonOutlier is why one of several rests that fails while the others do not.
const ReasonOutlier = "outlier"

// rampStart is the share that one which comes back begins with.
const rampStart = 0.25

// record is how one of several has fared. The zero value has never failed.
type record struct {
	rest           // the last one
	faults int     // in a row
	bad    float64 // share of faults, the newest counting most
	times  int     // rests that followed one another within the longest
}

func (r *record) isOut(c *clock) bool { return r != nil && r.rests(c) }

// share is the part of its weight that counts: less for a while after a rest.
func (r *record) share(c *clock, ramp time.Duration) float64 {
	if r == nil || r.until.IsZero() || ramp <= 0 {
		return 1
	}
	back := c.now().Sub(r.until)
	if back >= ramp {
		return 1
	}
	return rampStart + (1-rampStart)*float64(max(0, back))/float64(ramp)
}

// effort is how much more a call costs here than where nothing fails, since one
// that fails has to be repeated: who fails fast would look idle otherwise.
func (r *record) effort() float64 {
	if r == nil {
		return 1
	}
	return 1 / (1 - min(r.bad, 0.9))
}

// compare notes how an attempt ended for those that have siblings: the key, if
// the target has several, and the target, if it shares its place.
func (p *Pool) compare(u call.Upstream, o call.Outcome, effect call.BreakerEffect) {
	if effect != call.BreakerFailure && effect != call.BreakerSuccess {
		return
	}
	name := ""
	if u.Key != nil && len(u.Target.Keys) > 1 {
		name = nameOf(u)
	}
	p.mu.Lock()
	now := time.Now()
	ofKey, ofTarget := p.records(u.Target, name, effect == call.BreakerFailure, now)
	began := now.Add(-max(0, o.Duration))
	var restsKey, restsTarget time.Duration
	if effect == call.BreakerSuccess {
		ofKey.succeed(began)
		ofTarget.succeed(began)
		if ofKey != nil && *ofKey == (record{}) {
			delete(p.upstreams[u.Target.Name].record, name)
		}
	} else {
		restsKey, restsTarget = p.fault(ofKey, began, now), p.fault(ofTarget, began, now)
	}
	p.mu.Unlock()
	if restsKey > 0 {
		p.event(call.KeyEjected, u.Target.Name, name, ReasonOutlier, restsKey)
	}
	if restsTarget > 0 {
		p.event(call.TargetEjected, u.Target.Name, "", ReasonOutlier, restsTarget)
	}
}

// records returns those of a key among several and of a target that shares its
// place, made if they must be; nil where there is none.
func (p *Pool) records(t *call.Target, key string, create bool, now time.Time) (ofKey, ofTarget *record) {
	if key == "" && t.Weight <= 0 {
		return nil, nil
	}
	known := p.upstreams[t.Name]
	if known == nil && create {
		known = p.upstream(t.Name, now)
	}
	if known == nil {
		return nil, nil
	}
	if t.Weight > 0 {
		ofTarget = &known.own
	}
	if key == "" {
		return nil, ofTarget
	}
	ofKey = known.record[key]
	if ofKey == nil && create {
		if known.record == nil {
			known.record = map[string]*record{}
		}
		ofKey = &record{}
		known.record[key] = ofKey
	}
	return ofKey, ofTarget
}

// succeed ends a row of faults, and a rest that had begun before the attempt.
func (r *record) succeed(began time.Time) {
	if r == nil {
		return
	}
	r.faults = 0
	if r.bad *= 1 - newest; r.bad < 0.01 {
		r.bad = 0
	}
	if r.until.After(began) && !r.since.After(began) {
		r.until = began
	}
}

// fault counts one and returns for how long the record rests from now on; 0 if
// it does not. Faults of attempts that began before a rest ended are old news.
func (p *Pool) fault(r *record, began, now time.Time) time.Duration {
	if r == nil || p.config.OutlierAfter <= 0 || p.config.OutlierEject <= 0 || began.Before(r.until) {
		return 0
	}
	r.bad += newest * (1 - r.bad)
	if r.faults++; r.faults < p.config.OutlierAfter {
		return 0
	}
	longest := p.config.OutlierMax
	if now.Sub(r.until) > longest {
		r.times = 0
	}
	r.times++
	d := min(p.config.OutlierEject*time.Duration(r.times), max(longest, p.config.OutlierEject))
	d = time.Duration(float64(d) * (0.8 + 0.4*p.rand()))
	r.faults, r.bad = 0, 0 // it has paid for them
	r.rest = rest{since: now, until: now.Add(d), reason: ReasonOutlier}
	return d
}

// withoutOutliers leaves those keys out that fail while others do not, unless
// they are more than half of the target's keys, or all that could be asked. Keys
// that have just come back weigh less.
func (p *Pool) withoutOutliers(t *call.Target, usable []candidate, c *clock) []candidate {
	u := p.upstreams[t.Name]
	if u == nil || len(u.record) == 0 {
		return usable
	}
	resting := 0
	for i := range t.Keys {
		if u.record[keyName(t, i)].isOut(c) {
			resting++
		}
	}
	well := 0
	for i := range usable {
		one := &usable[i]
		r := u.record[keyName(t, int(one.at))]
		one.weight *= float32(r.share(c, p.config.Ramp) / r.effort())
		if one.out = r.isOut(c); !one.out {
			well++
		}
	}
	if well == 0 || 2*resting > len(t.Keys) {
		return usable
	}
	return slices.DeleteFunc(usable, func(c candidate) bool { return c.out })
}

// forgive ends the rest of a key, or with key "" of all keys and of the target,
// and reports whether there was one.
func (u *upstream) forgive(key string, now time.Time) (any bool) {
	for name, r := range u.record {
		if key == "" || key == name {
			any = any || r.active(now)
			delete(u.record, name)
		}
	}
	if key == "" {
		any = any || u.own.active(now)
		u.own = record{}
	}
	return any
}
