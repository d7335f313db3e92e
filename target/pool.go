package target

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Options are what a Pool asks of others. Every field may be nil.
type Options struct {
	// Rand returns numbers in [0, 1), from any goroutine; nil is math/rand/v2.
	Rand func() float64

	// Event is told when a pause or an ejection begins (call.KeyPaused,
	// call.KeyEjected, call.TargetEjected), not when it is prolonged. reason is
	// the class that caused it. It is called under no lock and must not block.
	Event func(kind call.EventKind, target, key, reason string, wait time.Duration)
}

// Pool is what is known of all targets and their keys, by their names: a new
// configuration with the same names keeps what was learnt. It is safe for
// concurrent use, starts no goroutine, and its memory is bounded: 1,024 targets
// with something to remember, 256 models of each (more share one entry, which
// can be paused but not ejected), and Config.Pins.
type Pool struct {
	rand  func() float64
	event func(kind call.EventKind, target, key, reason string, wait time.Duration)
	pins  *pins
	talks talks

	mu        sync.Mutex
	config    Config
	upstreams map[string]*upstream
}

// NewPool returns a Pool that knows nothing yet. Zero fields of c count as
// their defaults.
func NewPool(c Config, o Options) *Pool {
	c = c.WithDefaults()
	p := &Pool{
		rand: o.Rand, event: o.Event, config: c,
		upstreams: map[string]*upstream{},
		pins:      newPins(c.Pins, c.PinTTL),
	}
	p.talks.fresh.Store(int64(c.Affinity))
	if p.rand == nil {
		p.rand = rand.Float64
	}
	if p.event == nil {
		p.event = func(call.EventKind, string, string, string, time.Duration) {}
	}
	return p
}

// Reconfigure changes how long later news counts. What rests keeps resting.
func (p *Pool) Reconfigure(c Config) {
	c = c.WithDefaults()
	p.mu.Lock()
	p.config = c
	p.mu.Unlock()
	p.talks.fresh.Store(int64(c.Affinity))
	p.pins.resize(c.Pins, c.PinTTL)
}

// Asked are the targets that may answer a call, and what the choice among them
// depends on.
type Asked struct {
	Model   string // as the caller named it; a target with a model of its own is judged by that
	Targets []*call.Target
	Load    func(*call.Target) int // attempts in flight; nil: not known
	Prefer  string                 // name of the target that answered the conversation last, see Affine; "" none
	First   string                 // name of the target that comes first, unless it is ejected; "" none
}

// OrderFor returns the targets in the order in which they should be asked:
// failover order, but neighbours that have a weight share their place, and those
// that are ejected for the model (or all of whose keys are) come last. No target
// is ever left out. The result overwrites dst, which may be nil but must not be
// a.Targets.
func (p *Pool) OrderFor(a Asked, dst []*call.Target) []*call.Target {
	dst = append(dst[:0], a.Targets...)
	p.mu.Lock()
	defer p.mu.Unlock()
	var c clock
	for i := 0; i < len(dst); {
		j := i
		for j < len(dst) && dst[j].Weight > 0 {
			j++
		}
		if j-i > 1 {
			p.arrange(a, dst[i:j], &c)
		}
		i = j + 1
	}
	good := 0
	for i, t := range dst {
		if p.ejected(t, asked(t, a.Model), &c) {
			continue
		}
		copy(dst[good+1:i+1], dst[good:i]) // the ejected ones between keep their order
		dst[good] = t
		good++
	}
	if a.First != "" {
		toFront(dst[:good], a.First)
	}
	return dst
}

// asked is the model that a target is asked for.
func asked(t *call.Target, model string) string {
	if t.Model != "" {
		return t.Model
	}
	return model
}

// ejected is true when the model or every key of t is ejected. Called under the
// lock.
func (p *Pool) ejected(t *call.Target, model string, c *clock) bool {
	u := p.upstreams[t.Name]
	if u == nil {
		return false
	}
	if m := u.models[model]; m != nil && m.ejected.rests(c) {
		return true
	}
	for i := range t.Keys {
		if !u.keyEjected(keyName(t, i)).rests(c) {
			return false
		}
	}
	return len(t.Keys) > 0
}

// Key picks a key of t for a model: the one of that name, if prefer is not empty,
// else by weight, among those that are not ejected, not paused for the model and
// not in tried. If there is none, ok is false; then a wait above 0 says that some
// are only paused, and for how long the shortest pause lasts. A target without
// keys takes the caller's: nil, 0, true.
func (p *Pool) Key(t *call.Target, model, prefer string, tried []*call.Key) (k *call.Key, wait time.Duration, ok bool) {
	if len(t.Keys) == 0 {
		return nil, 0, true
	}
	model = asked(t, model)
	p.mu.Lock()
	defer p.mu.Unlock()
	var c clock
	var few [16]candidate // no allocation for the usual number of keys
	usable := few[:0]
	for i := range t.Keys {
		if triedAlready(t, i, tried) {
			continue
		}
		switch ejected, paused := p.keyRests(t, i, model); {
		case ejected.rests(&c):
		case paused.rests(&c):
			if d := paused.until.Sub(c.now()); wait == 0 || d < wait {
				wait = d
			}
		default:
			usable = append(usable, candidate{at: int32(i), weight: float32(max(1, t.Keys[i].Weight))})
		}
	}
	usable = p.withoutOutliers(t, usable, &c)
	if len(usable) == 0 {
		return nil, wait, false
	}
	for _, one := range usable {
		if prefer != "" && t.Keys[one.at].Name == prefer {
			return &t.Keys[one.at], 0, true
		}
	}
	return &t.Keys[usable[p.draw(usable)].at], 0, true
}

// keyRests returns the ejection and the pause of a key. Called under the lock.
func (p *Pool) keyRests(t *call.Target, i int, model string) (ejected, paused rest) {
	u := p.upstreams[t.Name]
	if u == nil {
		return rest{}, rest{}
	}
	name := keyName(t, i)
	return u.keyEjected(name), u.look(model).keyPaused(name)
}

// triedAlready compares by pointer and, because a new configuration makes new
// keys, by name.
func triedAlready(t *call.Target, i int, tried []*call.Key) bool {
	return slices.ContainsFunc(tried, func(k *call.Key) bool {
		return k == &t.Keys[i] || k != nil && k.Name != "" && k.Name == t.Keys[i].Name
	})
}

// LastResort returns the key to ask when nothing else is left anywhere: one
// that rests for no reason, else the one whose ejection ends first among those
// not paused for the model, else the one whose pause ends first. It is nil for a
// target without keys, and only then: a key of ours must never be mistaken for
// the caller's.
func (p *Pool) LastResort(t *call.Target, model string) *call.Key {
	if len(t.Keys) == 0 {
		return nil
	}
	model = asked(t, model)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	best := 0
	bestEjected, bestPaused := p.keyRests(t, 0, model)
	for i := 1; i < len(t.Keys); i++ {
		ejected, paused := p.keyRests(t, i, model)
		if sooner(now, ejected, paused, bestEjected, bestPaused) {
			best, bestEjected, bestPaused = i, ejected, paused
		}
	}
	return &t.Keys[best]
}

// sooner is true when a key is a better last resort than another.
func sooner(now time.Time, ejected, paused, otherEjected, otherPaused rest) bool {
	if p, o := paused.left(now), otherPaused.left(now); p != 0 || o != 0 {
		return p < o
	}
	return ejected.left(now) < otherEjected.left(now)
}

// Report tells the Pool how an attempt ended. What the class's row in
// call.Consequences says about keys and targets is done: pause until the
// provider's wait is over (for this model, at most MaxPause; without a wait
// there is no pause), eject the key, eject the model at this target. A success
// ends the ejections that began before its attempt did. Superseded attempts and
// callers' own keys change nothing, except that a caller's key may find a
// configured model missing.
func (p *Pool) Report(u call.Upstream, o call.Outcome) {
	if o.Superseded || u.Target == nil {
		return
	}
	row := o.Class.Row()
	if row.Breaker == call.BreakerSuccess && p.nothingRests(u) {
		return
	}
	news := news{now: time.Now(), name: nameOf(u), model: asked(u.Target, u.Model), reason: o.Class.String()}
	ours := u.Key != nil && !o.CallersKey
	var told telling
	p.mu.Lock()
	switch {
	case row.Breaker == call.BreakerSuccess:
		p.restore(u.Target.Name, news, o.Duration)
	case row.PauseKey && ours && o.HasWait:
		told = p.pause(u.Target.Name, news, min(o.Wait, p.config.MaxPause))
	case row.EjectKey && ours:
		told = p.ejectKey(u.Target.Name, news, p.keyRest(o.Class))
	case row.EjectTarget && (ours || u.Target.Model != "" && !o.CallersKey):
		told = p.ejectModel(u.Target.Name, news, p.config.NotFoundEject)
	}
	p.mu.Unlock()
	if told.kind != 0 {
		p.event(told.kind, u.Target.Name, told.key, news.reason, told.wait)
	}
	p.compare(u, o, row.Breaker)
}

// nothingRests reports whether neither key nor model of an attempt is ejected, and
// neither target nor key has failed, so that its success ends nothing.
func (p *Pool) nothingRests(u call.Upstream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.upstreams[u.Target.Name]
	if known == nil {
		return true
	}
	m := known.models[asked(u.Target, u.Model)]
	return known.keys[nameOf(u)] == nil && (m == nil || m.ejected == rest{}) && len(known.record) == 0 && known.own == record{}
}

// news is what an attempt said about a key and a model.
type news struct {
	now                 time.Time
	name, model, reason string
}

// telling is an event to be told when the lock is free; the zero one is none.
type telling struct {
	kind call.EventKind
	key  string
	wait time.Duration
}

// keyRest is how long a class ejects a key.
func (p *Pool) keyRest(c call.Class) time.Duration {
	if c == call.QuotaExhausted {
		return p.config.QuotaEject
	}
	return p.config.AuthEject
}

func (p *Pool) pause(target string, n news, d time.Duration) telling {
	u := p.upstream(target, n.now)
	if u == nil || d <= 0 {
		return telling{}
	}
	m, _ := u.model(n.model, n.now)
	if m.paused == nil {
		m.paused = map[string]*rest{}
	}
	return begun(restFor(m.paused, n.name).extend(n.now, d, n.reason), call.KeyPaused, n.name, d)
}

func (p *Pool) ejectKey(target string, n news, d time.Duration) telling {
	u := p.upstream(target, n.now)
	if u == nil || d <= 0 {
		return telling{}
	}
	return begun(restFor(u.keys, n.name).extend(n.now, d, n.reason), call.KeyEjected, n.name, d)
}

func (p *Pool) ejectModel(target string, n news, d time.Duration) telling {
	u := p.upstream(target, n.now)
	if u == nil || d <= 0 {
		return telling{}
	}
	m, own := u.model(n.model, n.now)
	return begun(own && m.ejected.extend(n.now, d, n.reason), call.TargetEjected, "", d)
}

func begun(yes bool, kind call.EventKind, key string, d time.Duration) telling {
	if !yes {
		return telling{}
	}
	return telling{kind, key, d}
}

func restFor(rests map[string]*rest, name string) *rest {
	r := rests[name]
	if r == nil {
		r = &rest{}
		rests[name] = r
	}
	return r
}

// restore ends the ejections that an attempt which took d has disproved: those
// that had begun when it began.
func (p *Pool) restore(target string, n news, d time.Duration) {
	u := p.upstreams[target]
	if u == nil {
		return
	}
	began := n.now.Add(-max(0, d))
	if r := u.keys[n.name]; r != nil && !r.since.After(began) {
		delete(u.keys, n.name)
	}
	if m := u.models[n.model]; m != nil && !m.ejected.since.After(began) {
		m.ejected = rest{}
	}
}
