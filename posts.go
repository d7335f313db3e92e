package holdfast

import (
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/retry"
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
}

// tally counts a route's calls.
type tally struct{ calls, ok, refused atomic.Int64 }

// post is what the house knows of one target.
type post struct {
	target     *call.Target
	vendor     *provider.Vendor
	strict     bool
	pass       bool          // the caller's own credential may go along
	idempotent bool          // repeating a request cannot act twice
	slow       time.Duration // breaker's SlowAfter
	limit      *concurrency.Limit
	budget     *retry.Budget

	record func(*call.Event)
	rand   func() float64

	mu       sync.Mutex
	config   breaker.Config
	breakers map[string]*breaker.Breaker // by model asked for
	classes  map[call.Class]int64
	attempts int64
	doors    []*admission.Door
}

// newPost returns the state of a target nobody has asked yet.
func (m *memory) newPost(t Target, r retry.Config) *post {
	base, _ := url.Parse(t.BaseURL)
	keys := make([]call.Key, len(t.Keys))
	for i, k := range t.Keys {
		keys[i] = call.Key{Name: k.Name, Secret: call.Secret(k.Secret), Weight: k.Weight}
	}
	v := all.ByName(t.Vendor)
	return &post{
		target: &call.Target{Name: t.Name, Provider: t.Provider, Vendor: t.Vendor, URL: base, Model: t.Model, Keys: keys,
			Weight: t.Weight, Context: t.Context, Reasoning: v.Reasoning(t.Model)},
		vendor: v, strict: v.StrictEnd && !t.LenientEnd, pass: t.PassCredential, idempotent: t.Idempotent,
		slow:  t.Breaker.WithDefaults().SlowAfter,
		limit: concurrency.New(t.Concurrency), budget: retry.NewBudget(r),
		record: m.record, rand: m.rand,
		config: t.Breaker, breakers: map[string]*breaker.Breaker{}, classes: map[call.Class]int64{},
	}
}

// adopt takes over what o learnt, for a target of the same name and address.
func (p *post) adopt(o *post, t Target, r retry.Config) {
	o.mu.Lock()
	p.breakers, p.classes, p.attempts = o.breakers, o.classes, o.attempts
	o.mu.Unlock()
	p.limit, p.budget = o.limit, o.budget
	p.limit.Reconfigure(t.Concurrency)
	p.budget.Reconfigure(r)
	for _, b := range p.breakers {
		b.Reconfigure(t.Breaker)
	}
}

// breaker returns the circuit of a model at this target.
func (p *post) breaker(model string) *breaker.Breaker {
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
	b := breaker.New(p.target.Name, p.config, breaker.Options{Rand: p.rand, Moved: p.moved})
	p.breakers[model] = b
	return b
}

func (p *post) moved(from, to breaker.State, cause string, openFor time.Duration) {
	t := p.target
	p.record(&call.Event{Kind: call.BreakerMoved, At: time.Now(), Target: t.Name, Provider: t.Provider, Model: t.Model,
		From: from.String(), To: to.String(), Reason: cause, Wait: openFor})
	p.wake()
}

// count notes an attempt's end.
func (p *post) count(c call.Class) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.classes[c]++
	p.attempts++
}

// wake lets the waiting rooms look again: something was released.
func (p *post) wake() {
	p.mu.Lock()
	doors := p.doors
	p.mu.Unlock()
	for _, d := range doors {
		d.Wake()
	}
}
