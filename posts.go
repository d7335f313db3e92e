package holdfast

import (
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/spend"
	"github.com/holdfast-gateway/holdfast/target"
)

// Bounds of what is remembered of names that callers choose.
const (
	maxModels = 256  // models with a breaker of their own per target; more share one
	maxHosts  = 1024 // hosts guarded without configuration; more share one state
)

// memory outlives configurations: what was learnt of targets, doors, pins and
// clients. A target keeps its state as long as its name and address stay.
type memory struct {
	pool    *target.Pool
	clients *retry.Clients
	rand    func() float64
	record  func(*call.Event)

	mu    sync.Mutex
	posts map[string]*post           // by target name
	doors map[string]*admission.Door // by route name
	tally map[string]*tally          // by route name

	larders map[string]*larder // by route name

	gates  map[string]*gate // by Limit.id
	purses map[owner]*spend.Account

	turns  atomic.Uint64 // calls that asked for quota, counted
	ledger ledger        // what keys may spend
}

// tally counts a route's calls.
type tally struct{ calls, ok, refused atomic.Int64 }

// post is one target as one configuration sees it. What was learnt of it is
// shared with the configurations before and after, whose calls may still run.
type post struct {
	*learnt
	target     *call.Target
	vendor     *provider.Vendor
	strict     bool
	pass       bool          // the caller's own credential may go along
	version    string        // of the API, for vendors that want it in the query
	idempotent bool          // repeating a request cannot act twice
	slow       time.Duration // breaker's SlowAfter
}

// learnt is what the house knows of one target: a name, an address and a model.
type learnt struct {
	target  *call.Target // for events
	limit   *concurrency.Limit
	uploads *concurrency.Limit // of the permits, those for bodies that stream past us
	budget  *retry.Budget
	record  func(*call.Event)
	rand    func() float64

	classes [len(call.Consequences)]atomic.Int64 // attempts ended
	doors   atomic.Pointer[[]*admission.Door]    // of the routes it stands in

	mu       sync.Mutex
	config   breaker.Config
	breakers map[string]*breaker.Breaker     // by model asked for; they stay
	usual    atomic.Pointer[breaker.Breaker] // of the target's own model, once there is one
	hand     byHand                          // for the circuits of models that are yet to come

	quota    quota.Config
	metered  atomic.Bool                // quota limits something
	accounts map[spender]*quota.Account // by key and model asked for
	keys     map[call.Secret]string     // of the target: names by secret
	ledger   *ledger                    // where accounts come from
	alarm    *time.Timer                // wakes the doors when quota comes in
	alarmAt  time.Time                  // zero: it is not set
}

// newPost returns a target as t says, with what old learnt if it is the same
// target; old may be nil.
func (m *memory) newPost(t Target, r retry.Config, old *post) *post {
	base, _ := url.Parse(t.BaseURL)
	keys := make([]call.Key, len(t.Keys))
	for i, k := range t.Keys {
		keys[i] = call.Key{Name: k.Name, Secret: call.Secret(k.Secret), Weight: k.Weight}
	}
	v := all.ByName(t.Vendor)
	p := &post{
		target: &call.Target{Name: t.Name, Provider: t.Provider, Vendor: t.Vendor, URL: base, Model: t.Model, Keys: keys,
			Weight: t.Weight, Context: t.Context, Reasoning: v.Reasoning(t.Model)},
		vendor: v, strict: v.StrictEnd && !t.LenientEnd, pass: t.PassCredential, version: t.APIVersion, idempotent: t.Idempotent,
		slow: t.Breaker.WithDefaults().SlowAfter,
	}
	if old != nil && old.target.URL.String() == base.String() && old.target.Model == t.Model {
		p.learnt = old.learnt
		p.reconfigure(t, r)
		return p
	}
	p.learnt = &learnt{
		target: p.target, limit: concurrency.New(t.Concurrency), uploads: concurrency.New(forUploads(t.Concurrency)), budget: retry.NewBudget(r), record: m.record, rand: m.rand,
		config: t.Breaker, breakers: map[string]*breaker.Breaker{},
		accounts: map[spender]*quota.Account{}, keys: keyed(t.Keys), ledger: &m.ledger,
	}
	p.limitTo(t.Quota)
	return p
}

// reconfigure puts new settings in force and keeps what was learnt.
func (p *learnt) reconfigure(t Target, r retry.Config) {
	p.limit.Reconfigure(t.Concurrency)
	p.uploads.Reconfigure(forUploads(t.Concurrency))
	p.budget.Reconfigure(r)
	p.spendsWith(t.Keys)
	p.limitTo(t.Quota)
	p.mu.Lock()
	p.config = t.Breaker
	p.mu.Unlock()
	for _, b := range p.all() {
		b.Reconfigure(t.Breaker)
	}
}

// forUploads is the part of a target's permits that streamed uploads may hold:
// half. Their callers say how long they last.
func forUploads(c concurrency.Config) concurrency.Config {
	if c = c.WithDefaults(); c.Max > 0 {
		c.Max = max(1, c.Max/2)
	}
	return concurrency.Config{Max: c.Max}
}

// free reports whether a call could have a permit now.
func (p *learnt) free(streamed bool) bool { return p.limit.Free() && (!streamed || p.uploads.Free()) }

// acquire takes a permit, if one is free; release gives it back.
func (p *learnt) acquire(streamed bool) bool {
	if streamed && !p.uploads.TryAcquire() {
		return false
	}
	if p.limit.TryAcquire() {
		return true
	}
	if streamed {
		p.uploads.Release()
	}
	return false
}

func (p *learnt) release(streamed bool) {
	p.limit.Release()
	if streamed {
		p.uploads.Release()
	}
}

// all returns the circuits of all models.
func (p *learnt) all() []*breaker.Breaker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.breakers))
}

// servesThrough says which waiting rooms hear of what is released here.
func (p *learnt) servesThrough(doors []*admission.Door) {
	p.doors.Store(&doors)
}

// breaker returns the circuit of a model at this target.
func (p *learnt) breaker(model string) *breaker.Breaker {
	own := model == p.target.Model
	if b := p.usual.Load(); own && b != nil {
		return b
	}
	b := p.breakerOf(model)
	if own {
		p.usual.Store(b)
	}
	return b
}

func (p *learnt) breakerOf(model string) *breaker.Breaker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.breakers[model]; b != nil {
		return b
	}
	if len(p.breakers) >= maxModels {
		model = ""
		if b := p.breakers[model]; b != nil {
			return b
		}
	}
	known := false // what was ordered by hand is no news
	b := breaker.New(p.target.Name, p.config, breaker.Options{Rand: p.rand, Moved: func(from, to breaker.State, cause string, openFor time.Duration) {
		if known {
			p.moved(from, to, cause, openFor)
		}
	}})
	p.hand.move(b)
	known = true
	p.breakers[model] = b
	return b
}

// byHand is what an operator ordered for a target: for all its models, also for
// those that nobody has asked for yet. The zero value orders nothing.
type byHand struct {
	action, reason string
	until          time.Time // of an opening; zero: until another order
}

// order moves the circuits of all models by hand.
func (p *learnt) order(o byHand) {
	p.breaker(p.target.Model) // there is one to be seen
	p.mu.Lock()
	p.hand = o
	p.mu.Unlock()
	for _, b := range p.all() {
		o.move(b)
	}
}

func (o byHand) move(b *breaker.Breaker) {
	switch o.action {
	case "open":
		if o.until.IsZero() {
			b.Open(o.reason, 0)
		} else if left := time.Until(o.until); left > 0 {
			b.Open(o.reason, left)
		}
	case "close":
		b.Close(o.reason)
	case "reset":
		b.Reset()
	}
}

func (p *learnt) moved(from, to breaker.State, cause string, openFor time.Duration) {
	t := p.target
	p.record(&call.Event{Kind: call.BreakerMoved, At: time.Now(), Target: t.Name, Provider: t.Provider, Model: t.Model,
		From: from.String(), To: to.String(), Reason: cause, Wait: openFor})
	p.wake()
}

// count notes an attempt's end.
func (p *learnt) count(c call.Class) {
	if int(c) >= len(p.classes) {
		c = call.Unclassified
	}
	p.classes[c].Add(1)
}

// wake lets the waiting rooms look again: something was released.
func (p *learnt) wake() {
	if doors := p.doors.Load(); doors != nil {
		for _, d := range *doors {
			d.Wake()
		}
	}
}
