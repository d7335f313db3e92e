package target

import (
	"strconv"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Memory is bounded whatever callers ask for: so many targets (more are not
// remembered), so many models of each (more share one entry).
const (
	maxTargets = 1024
	maxModels  = 256
	samples    = 50 // first-token times kept per target and model
	minSamples = 5  // fewer say nothing
)

// rest is a time during which something is not asked.
type rest struct {
	since, until time.Time
	reason       string
}

func (r rest) active(now time.Time) bool { return now.Before(r.until) }

// rests is active for who may not have read the clock yet.
func (r rest) rests(c *clock) bool { return !r.until.IsZero() && r.active(c.now()) }

// clock is read once, and only when something rests or has rested.
type clock struct{ at time.Time }

func (c *clock) now() time.Time {
	if c.at.IsZero() {
		c.at = time.Now()
	}
	return c.at
}

// left is how long r still lasts; 0 if it is over.
func (r rest) left(now time.Time) time.Duration { return max(0, r.until.Sub(now)) }

// extend makes r last until now+d at least, and reports whether it began.
func (r *rest) extend(now time.Time, d time.Duration, reason string) (began bool) {
	began = !r.active(now)
	if began {
		r.since = now
	}
	if until := now.Add(d); until.After(r.until) {
		r.until, r.reason = until, reason
	}
	return began
}

// upstream is what is known of one target.
type upstream struct {
	keys   map[string]*rest   // ejections, by the key's name
	own    record             // as one of several targets
	record map[string]*record // as one of several keys, by the key's name; nil: none has failed
	models map[string]*model  // by the model asked for
	shared *model             // for all models beyond maxModels; nil while there are none
}

// model is what is known of one model at one target.
type model struct {
	ejected rest
	paused  map[string]*rest // by the key's name
	first   []time.Duration  // the last times to a first token, in no order
	next    int
	recent  float64 // time to a first token in seconds, the newest counting most; 0 unknown
}

// quiet is true for an entry that nothing is lost with.
func (m *model) quiet(now time.Time) bool {
	return !m.ejected.active(now) && len(m.first) == 0 && !anyActive(m.paused, now)
}

func anyActive(rests map[string]*rest, now time.Time) bool {
	for _, r := range rests {
		if r.active(now) {
			return true
		}
	}
	return false
}

// upstream returns the entry of a target, made if it must be; nil when there is
// no place for another. An entry that strangers share would blame one for the
// other, so what finds no place is not remembered.
func (p *Pool) upstream(name string, now time.Time) *upstream {
	if u := p.upstreams[name]; u != nil {
		return u
	}
	if len(p.upstreams) >= maxTargets {
		p.forgetQuiet(now)
	}
	if len(p.upstreams) >= maxTargets {
		return nil
	}
	u := &upstream{keys: map[string]*rest{}, models: map[string]*model{}}
	p.upstreams[name] = u
	return u
}

func (p *Pool) forgetQuiet(now time.Time) {
	for name, u := range p.upstreams {
		quiet := !anyActive(u.keys, now) && !u.own.active(now)
		for _, r := range u.record {
			quiet = quiet && !r.active(now)
		}
		u.each(func(_ string, m *model) { quiet = quiet && m.quiet(now) })
		if quiet {
			delete(p.upstreams, name)
		}
	}
}

// each calls f for every model entry; the shared one has no name.
func (u *upstream) each(f func(name string, m *model)) {
	for name, m := range u.models {
		f(name, m)
	}
	if u.shared != nil {
		f("", u.shared)
	}
}

// model returns the entry of a model, made if it must be. own is false for the
// shared one: there nothing may be blamed on the model.
func (u *upstream) model(name string, now time.Time) (m *model, own bool) {
	if m := u.models[name]; m != nil {
		return m, true
	}
	if len(u.models) >= maxModels {
		for name, m := range u.models {
			if m.quiet(now) {
				delete(u.models, name)
			}
		}
	}
	if len(u.models) < maxModels {
		m = &model{}
		u.models[name] = m
		return m, true
	}
	if u.shared == nil {
		u.shared = &model{}
	}
	return u.shared, false
}

// look returns the entry that speaks for a model, nil if none does.
func (u *upstream) look(name string) *model {
	if u == nil {
		return nil
	}
	if m := u.models[name]; m != nil {
		return m
	}
	return u.shared
}

// keyEjected returns the ejection of a key; the zero rest if there is none.
func (u *upstream) keyEjected(name string) rest {
	if u == nil || u.keys[name] == nil {
		return rest{}
	}
	return *u.keys[name]
}

// keyPaused returns the pause of a key for a model.
func (m *model) keyPaused(name string) rest {
	if m == nil || m.paused[name] == nil {
		return rest{}
	}
	return *m.paused[name]
}

// keyName is the key's alias, or its place ("#1") where it has none.
func keyName(t *call.Target, i int) string {
	if name := t.Keys[i].Name; name != "" {
		return name
	}
	return "#" + strconv.Itoa(i+1)
}

// nameOf is keyName for a pointer into t.Keys; "" for the caller's key.
func nameOf(u call.Upstream) string {
	if u.Key == nil {
		return ""
	}
	for i := range u.Target.Keys {
		if &u.Target.Keys[i] == u.Key {
			return keyName(u.Target, i)
		}
	}
	return u.Key.Name
}
