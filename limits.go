package holdfast

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/spend"
)

// The dimensions of a Limit.
const (
	PerAll    = ""       // everybody together
	PerKey    = "key"    // each client key, as WithKey names it
	PerTenant = "tenant" // each tenant, as WithTenant names it
	PerIP     = "ip"     // each address that WithAddress tells; an IPv6 address counts as its /64
	PerClient = "client" // the key, else the address
	PerRoute  = "route"  // each route
	perHeader = "header:"
)

// Limit is one limit of what callers may ask for. A call is charged in every
// limit that it falls under, once however many attempts it takes, or in none of
// them when one refuses it. A call without what the limit is about (no key, no
// tenant, no address) does not fall under it; calls without a header share a
// meter, since leaving it out would be a way around.
type Limit struct {
	Name   string   // in metrics and RateLimit fields; with Per and Of it is unique
	Per    string   // a dimension above, or "header:" and a header's name
	Of     string   // the one key, tenant or route that it is for; "": each has its own
	Routes []string // names of the routes whose calls fall under it; none: all

	// Unit is what the points are: "requests" (default) or "tokens", which are
	// reserved by estimate when a call begins and corrected when it has ended.
	Unit string
	// Concurrency is how many calls may be under way at once, to the end of their
	// bodies; 0: any number. It needs Of, or Per all. A Limit may have points, a
	// concurrency, or both.
	Concurrency int

	ratelimit.Config
}

const (
	unitRequests = "requests"
	unitTokens   = "tokens"
)

// Validate reports everything that is wrong with l, not only the first thing.
func (l Limit) Validate() error {
	var errs []error
	if l.Name == "" {
		errs = append(errs, errors.New("name is missing"))
	}
	header, isHeader := strings.CutPrefix(l.Per, perHeader)
	if !slices.Contains([]string{PerAll, PerKey, PerTenant, PerIP, PerClient, PerRoute}, l.Per) && (!isHeader || header == "") {
		errs = append(errs, fmt.Errorf("per: %q is none of key, tenant, ip, client, route, header:NAME", l.Per))
	}
	if l.Of != "" && l.Per != PerKey && l.Per != PerTenant && l.Per != PerRoute {
		errs = append(errs, errors.New("of: only a key, a tenant or a route can be named"))
	}
	errs = append(errs, oneOfUnit(l.Unit))
	if l.Unit == unitTokens && l.Mode == ratelimit.ModeWindow {
		errs = append(errs, errors.New("mode: tokens need gcra, since a prompt larger than a window would never fit"))
	}
	if l.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("concurrency: %d is negative", l.Concurrency))
	}
	if l.Concurrency > 0 {
		if l.Of == "" && l.Per != PerAll {
			errs = append(errs, errors.New("concurrency: needs the one that it is for (of), or everybody together"))
		}
		errs = append(errs, concurrency.Config{Max: l.Concurrency}.Validate())
	}
	if l.Points != 0 || l.Concurrency == 0 {
		errs = append(errs, l.Config.Validate())
	}
	return errors.Join(errs...)
}

func oneOfUnit(unit string) error {
	if err := oneOf(unit, "", unitRequests, unitTokens); err != nil {
		return fmt.Errorf("unit: %w", err)
	}
	return nil
}

// id names a limit among the others of a configuration.
func (l Limit) id() string { return l.Per + "\x00" + l.Of + "\x00" + l.Name }

// validateLimits reports what is wrong with the limits and budgets, alone and
// together.
func (c Config) validateLimits() error {
	var errs []error
	seen, routes := map[string]bool{}, map[string]bool{}
	for _, r := range c.Routes {
		routes[r.Name] = true
	}
	for i, l := range c.Limits {
		where := fmt.Sprintf("limit %d", i)
		if l.Name != "" {
			where = "limit " + l.Name
			if l.Of != "" {
				where += " of " + l.Of
			}
		}
		if err := l.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
		if seen[l.id()] {
			errs = append(errs, fmt.Errorf("%s: another limit has this name", where))
		}
		seen[l.id()] = true
		for _, name := range l.Routes {
			if !routes[name] {
				errs = append(errs, fmt.Errorf("%s: routes: no route is named %q", where, name))
			}
		}
	}
	for _, b := range c.Budgets {
		if err := b.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("budget of %s: %w", b.id(), err))
		}
		if seen[b.id()] {
			errs = append(errs, fmt.Errorf("budget of %s: stands twice", b.id()))
		}
		seen[b.id()] = true
	}
	return errors.Join(errs...)
}

// gate is a Limit, built.
type gate struct {
	Limit
	header  string
	meter   *ratelimit.Limiter // nil: no points
	running *concurrency.Limit // nil: no concurrency
	full    *atomic.Int64      // calls that found no place among those under way
}

// gates are the limits of one configuration, in the order of its file.
type gates struct {
	all   []*gate
	every []*gate           // that a call may fall under, whoever calls
	of    map[owner][]*gate // for those with an Of
}

// gatesFor builds limits. One that has not changed keeps what it has counted; one
// that has begins anew.
func (m *memory) gatesFor(limits []Limit) *gates {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &gates{of: map[owner][]*gate{}}
	fresh := map[string]*gate{}
	for _, l := range limits {
		one := newGate(l, m.gates[l.id()])
		fresh[l.id()] = one
		g.all = append(g.all, one)
		if l.Of != "" {
			by := owner{l.Per, l.Of}
			g.of[by] = append(g.of[by], one)
		} else {
			g.every = append(g.every, one)
		}
	}
	m.gates = fresh
	return g
}

func newGate(l Limit, old *gate) *gate {
	g := &gate{Limit: l, full: &atomic.Int64{}}
	if header, is := strings.CutPrefix(l.Per, perHeader); is {
		g.header = header
	}
	if old != nil {
		g.full = old.full
	}
	if l.Points > 0 {
		if l.Of != "" || l.Per == PerAll {
			l.MaxKeys = 1 // the only key is known
		}
		if g.meter = ratelimit.New(l.Name, l.Config); old != nil && old.meter != nil && old.meter.Config() == g.meter.Config() {
			g.meter = old.meter
		}
	}
	if l.Concurrency > 0 {
		if g.running = concurrency.New(concurrency.Config{Max: l.Concurrency}); old != nil && old.running != nil {
			g.running = old.running
			g.running.Reconfigure(concurrency.Config{Max: l.Concurrency})
		}
	}
	return g
}

// gatesOf returns the limits that the call falls under.
func (in *incoming) gatesOf() []*gate {
	g := in.house.gates
	if len(g.all) == 0 {
		return nil
	}
	mine := in.gateRoom[:0]
	add := func(list []*gate) {
		for _, one := range list {
			if len(one.Routes) == 0 || slices.Contains(one.Routes, in.Route) {
				mine = append(mine, one)
			}
		}
	}
	add(g.every)
	for _, by := range in.owners() {
		add(g.of[by])
	}
	return mine
}

// whose returns the key under which a limit counts this call; false when the
// call has none.
func (in *incoming) whose(g *gate) (key string, ok bool) {
	switch {
	case g.Of != "" || g.Per == PerAll:
		return "", true
	case g.header != "":
		return strings.Join(in.req.Header.Values(g.header), ","), true
	case g.Per == PerKey:
		key = in.who.key
	case g.Per == PerTenant:
		key = in.Tenant
	case g.Per == PerIP:
		key = in.who.address()
	case g.Per == PerRoute:
		key = in.Route
	case in.who.key != "": // per client
		key = "key " + in.who.key
	default:
		key = in.who.address()
	}
	return key, key != ""
}

// limited charges the call in the limits that it falls under, in all or in none,
// and returns the refusal of the one that would let it through last.
func (in *incoming) limited() *limitRefusal {
	in.gates = in.gatesOf()
	if len(in.gates) == 0 {
		return nil
	}
	if g := in.occupy(); g != nil {
		return &limitRefusal{limit: g.Name, wait: time.Second, atOnce: true}
	}
	in.asks = in.asksOf(in.gates)
	ok := ratelimit.Take(in.asks)
	in.tellShadows()
	if ok {
		return nil
	}
	wait, name := ratelimit.Soonest(in.asks)
	return &limitRefusal{limit: name, wait: wait}
}

// limitRefusal is what a limit said.
type limitRefusal struct {
	limit  string
	wait   time.Duration
	atOnce bool // too many calls under way; the wait is a guess
}

// occupy takes the call's place among those under way, and returns the limit
// that has none left. What was taken is given back by vacate. In shadow a limit
// that is full lets calls by without a place.
func (in *incoming) occupy() (full *gate) {
	for _, g := range in.gates {
		switch {
		case g.running == nil:
		case g.running.TryAcquire():
			in.running = append(in.running, g.running)
		case g.Shadow:
			g.full.Add(1)
			in.tell(&call.Event{Kind: call.Limited, Reason: g.Name, To: call.LimitedShadow})
		default:
			g.full.Add(1)
			return g
		}
	}
	return nil
}

// vacate lets others run in the call's place.
func (in *incoming) vacate() {
	for _, l := range in.running {
		l.Release()
	}
	in.running = nil
}

func (in *incoming) asksOf(mine []*gate) []ratelimit.Ask {
	asks := in.askRoom[:0]
	for _, g := range mine {
		if g.meter == nil {
			continue
		}
		if key, ok := in.whose(g); ok {
			asks = append(asks, ratelimit.Ask{Limiter: g.meter, Key: key, Cost: in.cost(g)})
		}
	}
	return asks
}

// cost is what the call costs in a limit. What a request that nobody reads costs
// in tokens is not known; it is refused with the others while their box lasts.
func (in *incoming) cost(g *gate) int64 {
	switch {
	case g.Unit != unitTokens:
		return 1
	case !in.guarded:
		return 0
	}
	return spend.Estimate(in.Op, &in.Request).Sum()
}

func (in *incoming) tellShadows() {
	for i := range in.asks {
		if in.asks[i].Would {
			in.tell(&call.Event{Kind: call.Limited, Reason: in.asks[i].Limiter.Name(), To: call.LimitedShadow})
		}
	}
}

// settleTokens corrects limits of tokens when it is known what was used.
func (in *incoming) settleTokens() {
	for i := range in.asks {
		if in.unit(in.asks[i].Limiter) == unitTokens {
			ratelimit.Settle(in.asks[i].Ticket(), in.used.Load())
		}
	}
}

// unit is what a limit's points are, where they are not requests.
func (in *incoming) unit(l *ratelimit.Limiter) string {
	for _, g := range in.gates {
		if g.meter == l && g.Unit == unitTokens {
			return unitTokens
		}
	}
	return ""
}

// LimitStatus is one limit's share of a Status. Counts are since the limit was
// made.
type LimitStatus struct {
	Name        string          `json:"name"`
	Per         string          `json:"per,omitempty"`
	Of          string          `json:"of,omitempty"`
	Routes      []string        `json:"routes,omitempty"`
	Unit        string          `json:"unit"`
	Points      int64           `json:"points,omitempty"`
	Seconds     float64         `json:"seconds,omitempty"` // in which the points may be used
	Burst       int64           `json:"burst,omitempty"`
	BlockFor    float64         `json:"block_for_seconds,omitempty"`
	Mode        string          `json:"mode,omitempty"`
	Shadow      bool            `json:"shadow,omitempty"`
	Remaining   *int64          `json:"remaining,omitempty"` // of a limit with one meter
	Blocked     bool            `json:"blocked,omitempty"`   // of a limit with one meter
	Counts      ratelimit.Stats `json:"counts"`
	Concurrency int             `json:"concurrency,omitempty"`
	Running     int             `json:"running,omitempty"`
	Full        int64           `json:"full,omitempty"` // calls that were too many under way; refused unless in shadow
}

// limits is the limits' and budgets' share of a Status.
func (h *house) limits() (limits []LimitStatus, budgets []spend.Status) {
	for _, g := range h.gates.all {
		limits = append(limits, g.status())
	}
	for _, a := range h.purses {
		budgets = append(budgets, a.Status())
	}
	slices.SortFunc(budgets, func(a, b spend.Status) int { return strings.Compare(a.Name, b.Name) })
	return limits, budgets
}

func (g *gate) status() LimitStatus {
	s := LimitStatus{Name: g.Name, Per: g.Per, Of: g.Of, Routes: g.Routes, Unit: g.Unit, Concurrency: g.Concurrency, Shadow: g.Shadow, Full: g.full.Load()}
	if s.Unit == "" {
		s.Unit = unitRequests
	}
	if g.running != nil {
		s.Running = g.running.InFlight()
	}
	if g.meter == nil {
		return s
	}
	c := g.meter.Config()
	s.Points, s.Seconds, s.Burst, s.BlockFor, s.Mode = c.Points, c.Duration.Seconds(), c.Burst, c.BlockFor.Seconds(), c.Mode
	s.Counts = g.meter.Stats()
	if g.Of != "" || g.Per == PerAll {
		now := g.meter.Peek("")
		s.Remaining, s.Blocked = &now.Remaining, now.Blocked
	}
	return s
}
