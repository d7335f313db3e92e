package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/spend"
)

// Limits are what one client key, tenant or route may use up.
type Limits struct {
	// Rate is how many calls may begin: 20/s, 100/m, 5000/h, 10/30s. They come back
	// one by one.
	Rate Rate `yaml:"rate"`

	// Burst is how many calls may begin at once; default as many as the rate
	// counts. It needs a rate.
	Burst int `yaml:"burst" min:"1" max:"1000000"`

	// BlockFor is how long everything is refused after one call too many. Default:
	// no longer than until the next call may begin. It needs a rate.
	BlockFor time.Duration `yaml:"block_for"`

	// TokensPerMinute is how many tokens may be spent in a minute: 200k, 1500000.
	// They are reserved by an estimate and corrected when the answer has ended.
	TokensPerMinute Tokens `yaml:"tokens_per_minute"`

	// Concurrency is how many calls may run at once, to the end of their answers.
	Concurrency int `yaml:"concurrency" min:"1" max:"1000000"`
}

// Limit is one limit of what callers may ask for, in every route or in some.
type Limit struct {
	// Name is in metrics, in the answers' RateLimit fields and in refusals.
	Name string `yaml:",key"`

	// Per says whose meter counts a call: key, tenant, ip (an IPv6 address counts
	// as its /64), client (the key, else the address), route, header:NAME, or all
	// (default): everybody together. A call without a key, tenant or address falls
	// under no limit of these; calls without the header share one meter.
	Per string `yaml:"per"`

	// Routes are those whose calls fall under the limit; default all.
	Routes []string `yaml:"routes"`

	// Unit says what is counted: requests (default), or tokens, which are reserved
	// by an estimate and corrected when the answer has ended.
	Unit string `yaml:"unit" oneof:"requests tokens"`

	// Rate is how much may be used: 20/s, 100/m, 5000/h, 10/30s, 2000000/24h.
	// Required.
	Rate Rate `yaml:"rate"`

	// Burst is how much may be used at once; default as much as the rate counts.
	// mode: window has none.
	Burst int `yaml:"burst" min:"1" max:"1000000000"`

	// BlockFor is the penalty box: who goes over the limit is refused for this
	// long, at least until the limit would let it in again. Default: none.
	BlockFor time.Duration `yaml:"block_for"`

	// Mode is gcra (default): what was used comes back bit by bit; or window: all of
	// it at once, when the time that began with the first call is over.
	Mode string `yaml:"mode" oneof:"gcra window"`

	// Compat makes mode: window do what rate-limiter-flexible does: refused calls
	// count too, and the penalty box replaces the window.
	Compat bool `yaml:"compat"`

	// Shadow counts what would be refused and refuses nothing.
	Shadow bool `yaml:"shadow"`

	// MaxKeys is about how many meters are kept; default 65536. Above it new ones
	// share meters; one that is not full is never forgotten.
	MaxKeys int `yaml:"max_keys" min:"1" max:"16777216"`
}

// Budget is what one client key, tenant or route may spend in a calendar day
// (UTC), and what one call of it may ask for. What was spent is forgotten when
// the process ends.
type Budget struct {
	// USDPerDay is how many US dollars may be spent in a day, by the prices of this
	// file. A call is refused when what it is expected to cost does not fit.
	USDPerDay float64 `yaml:"usd_per_day"`

	// TokensPerDay is how many tokens, in and out, may be used in a day: 200k, 5M.
	TokensPerDay Tokens `yaml:"tokens_per_day"`

	// MaxTokens is the most output that one call may ask for. A call that names no
	// limit is refused.
	MaxTokens int `yaml:"max_tokens" min:"1" max:"1000000000"`

	// MaxChoices is the most answers that one call may ask for (n).
	MaxChoices int `yaml:"max_choices" min:"1" max:"1000000"`

	// MaxTools is the most tools that one call may offer.
	MaxTools int `yaml:"max_tools" min:"1" max:"1000000"`

	// MaxBody is the largest request body.
	MaxBody Size `yaml:"max_body"`
}

// Tenant is one of those who pay, as the keys' tenant names them.
type Tenant struct {
	// Name is what keys call it.
	Name string `yaml:",key"`

	// Limits are what all its keys together may use up.
	Limits Limits `yaml:"limits"`

	// Budget is what all its keys together may spend.
	Budget Budget `yaml:"budget"`
}

// Price is what a model costs, in US dollars for a million tokens.
type Price struct {
	// Model is the name under which a target asks for it, else the one that callers
	// use; * stands for any text.
	Model string `yaml:",key"`

	// Input is the price of what is sent.
	Input float64 `yaml:"input"`

	// Output is the price of what is answered, reasoning among it.
	Output float64 `yaml:"output"`

	// Cached is the price of what is sent and read from a cache; default that of
	// input.
	Cached float64 `yaml:"cached"`
}

// Rate is a number of events in a time.
type Rate struct {
	Count int
	Per   time.Duration
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

func (r *Rate) set(text string) error {
	count, unit, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per := rateUnits[strings.TrimSpace(unit)]
	if per == 0 {
		per, _ = time.ParseDuration(strings.TrimSpace(unit))
	}
	if !ok || err != nil || n < 1 || n > 1_000_000_000 || per <= 0 {
		return errors.New("want a rate: 20/s, 100/m, 5000/h, 10/30s")
	}
	*r = Rate{n, per}
	return nil
}

// String writes a rate as the file would hold it.
func (r Rate) String() string {
	for unit, d := range rateUnits {
		if r.Per == d {
			return fmt.Sprintf("%d/%s", r.Count, unit)
		}
	}
	return fmt.Sprintf("%d/%s", r.Count, r.Per)
}

// Tokens is a number of tokens: 200k, 2M, 150000.
type Tokens int64

func (t *Tokens) set(text string) error {
	digits, unit := text, int64(1)
	if d, ok := strings.CutSuffix(text, "k"); ok {
		digits, unit = d, 1000
	} else if d, ok := strings.CutSuffix(text, "M"); ok {
		digits, unit = d, 1_000_000
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 1_000_000_000_000/unit {
		return errors.New("want a number of tokens: 200k, 2M, 150000")
	}
	*t = Tokens(n * unit)
	return nil
}

// holdfast returns the limits of one key, tenant or route as the front door
// takes them.
func (l Limits) holdfast(per, of string) []holdfast.Limit {
	var list []holdfast.Limit
	if l.Rate.Count > 0 || l.Concurrency > 0 {
		list = append(list, holdfast.Limit{Name: per, Per: per, Of: of, Concurrency: l.Concurrency, Config: ratelimit.Config{
			Points: int64(l.Rate.Count), Duration: l.Rate.Per, Burst: int64(l.Burst), BlockFor: l.BlockFor}})
	}
	if l.TokensPerMinute > 0 {
		list = append(list, holdfast.Limit{Name: per + "-tokens", Per: per, Of: of, Unit: "tokens",
			Config: ratelimit.Config{Points: int64(l.TokensPerMinute), Duration: time.Minute}})
	}
	return list
}

func (l Limit) holdfast() holdfast.Limit {
	per := l.Per
	if per == "all" {
		per = holdfast.PerAll
	}
	return holdfast.Limit{Name: l.Name, Per: per, Routes: l.Routes, Unit: l.Unit, Config: ratelimit.Config{
		Points: int64(l.Rate.Count), Duration: l.Rate.Per, Burst: int64(l.Burst), BlockFor: l.BlockFor,
		Mode: l.Mode, Compat: l.Compat, Shadow: l.Shadow, MaxKeys: l.MaxKeys}}
}

// profileLimits adds the limits that come with the profile, where the file has
// none.
func (s *shower) profileLimits() {
	if s.places.keys[placeOf("limits")] != nil {
		return
	}
	for _, l := range s.File.profileLimits() {
		add := func(key, value string) { s.add("limits."+l.Name+"."+key, value, "profile "+s.Profile) }
		add("per", l.Per)
		add("rate", Rate{int(l.Points), l.Duration}.String())
		add("block_for", l.BlockFor.String())
		add("mode", l.Mode)
	}
}

func (b Budget) spend() spend.Config {
	return spend.Config{USDPerDay: b.USDPerDay, TokensPerDay: int64(b.TokensPerDay),
		MaxTokens: b.MaxTokens, MaxChoices: b.MaxChoices, MaxTools: b.MaxTools, MaxBody: int64(b.MaxBody)}
}

// bound is one of those who have limits and a budget.
type bound struct {
	per, of string
	path    []string // where it stands
	limits  Limits
	budget  Budget
}

func (f *File) bounds() []bound {
	var list []bound
	for _, k := range f.Keys {
		list = append(list, bound{holdfast.PerKey, k.Name, []string{"keys", k.Name}, k.Limits, k.Budget})
	}
	for _, t := range f.Tenants {
		list = append(list, bound{holdfast.PerTenant, t.Name, []string{"tenants", t.Name}, t.Limits, t.Budget})
	}
	for _, r := range f.Routes {
		list = append(list, bound{holdfast.PerRoute, r.Name, []string{"routes", r.Name}, r.Limits, r.Budget})
	}
	return list
}

// limited adds limits, budgets and prices to what the front door takes. A file
// with limits of its own has none of the profile's.
func (f *File) limited(c *holdfast.Config) {
	c.Limits = []holdfast.Limit{} // and not the profile's
	for _, l := range f.Limits {
		c.Limits = append(c.Limits, l.holdfast())
	}
	if f.places.keys[placeOf("limits")] == nil {
		c.Limits = f.profileLimits()
	}
	for _, b := range f.bounds() {
		c.Limits = append(c.Limits, b.limits.holdfast(b.per, b.of)...)
		if s := b.budget.spend(); !s.Zero() {
			c.Budgets = append(c.Budgets, holdfast.Budget{Per: b.per, Of: b.of, Config: s})
		}
	}
	for _, p := range f.Prices {
		if c.Prices == nil {
			c.Prices = spend.Prices{}
		}
		c.Prices[p.Model] = spend.Price{Input: p.Input, Output: p.Output, Cached: p.Cached}
	}
}

// profileLimits are those that come with the profile.
func (f *File) profileLimits() []holdfast.Limit {
	c, err := holdfast.Config{Profile: f.Profile}.Effective()
	if err != nil {
		return nil
	}
	return slices.Clone(c.Limits)
}

// TrustedNetworks are those of the proxies whose word on a caller's
// address is taken.
func (f *File) TrustedNetworks() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range f.TrustedProxies {
		if p, err := network(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// network reads 10.0.0.0/8, or one address.
func network(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, errors.New("want a network or an address: 10.0.0.0/8, 192.0.2.7, 2001:db8::/32")
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// locateLimit does so for limits, budgets and prices.
func (f *File) locateLimit(problem string) (path []string, rest string, ok bool) {
	problem, _ = strings.CutPrefix(problem, "limits: ")
	for _, b := range f.bounds() {
		for _, name := range []string{"limit " + b.per + " of " + b.of + ": ", "limit " + b.per + "-tokens of " + b.of + ": "} {
			if rest, ok := strings.CutPrefix(problem, name); ok {
				return append(b.path, "limits"), rest, true
			}
		}
		if rest, ok := strings.CutPrefix(problem, "budget of "+b.per+" "+b.of+": "); ok {
			return append(b.path, "budget"), rest, true
		}
	}
	for _, l := range f.Limits {
		if rest, ok := strings.CutPrefix(problem, "limit "+l.Name+": "); ok {
			return []string{"limits", l.Name}, rest, true
		}
	}
	for _, p := range f.Prices {
		if rest, ok := strings.CutPrefix(problem, "prices: "+p.Model+": "); ok {
			return []string{"prices", p.Model}, rest, true
		}
	}
	return nil, problem, false
}

// limits finds what is wrong with limits, budgets and prices.
func (c *checker) limits() {
	for i, text := range c.TrustedProxies {
		if _, err := network(text); err != nil {
			c.fail([]string{"trusted_proxies", strconv.Itoa(i)}, "%s", err)
		}
	}
	for _, l := range c.Limits {
		c.limit(l)
	}
	for _, b := range c.bounds() {
		at := func(more ...string) []string {
			return append(slices.Clone(b.path), append([]string{"limits"}, more...)...)
		}
		if l := b.limits; l.Rate.Count == 0 && l.Burst > 0 {
			c.fail(at("burst"), "needs a rate: without one any number of calls may begin at once")
		} else if l.Rate.Count == 0 && l.BlockFor > 0 {
			c.fail(at("block_for"), "needs a rate: without one nobody goes over it")
		}
		c.priced(b)
	}
	for _, t := range c.Tenants {
		if !slices.ContainsFunc(c.Keys, func(k ClientKey) bool { return k.Tenant == t.Name }) {
			c.fail([]string{"tenants", t.Name}, "no key belongs to this tenant%s", suggest(t.Name, c.tenantNames()))
		}
	}
}

func (c *checker) tenantNames() []string {
	var names []string
	for _, k := range c.Keys {
		if k.Tenant != "" && !slices.Contains(names, k.Tenant) {
			names = append(names, k.Tenant)
		}
	}
	return names
}

func (c *checker) limit(l Limit) {
	if l.Rate.Count == 0 {
		c.fail([]string{"limits", l.Name}, "rate is missing: how much may be used, as 20/s")
	}
	for i, name := range l.Routes {
		if !slices.Contains(c.routeNames(), name) {
			c.fail([]string{"limits", l.Name, "routes", strconv.Itoa(i)}, "unknown route %q%s", name, suggest(name, c.routeNames()))
		}
	}
}

// priced reports a model without a price that a budget in dollars would need.
func (c *checker) priced(b bound) {
	if b.budget.USDPerDay <= 0 {
		return
	}
	prices := spend.Prices{}
	for _, p := range c.Prices {
		prices[p.Model] = spend.Price{}
	}
	for _, r := range c.Routes {
		if b.per == holdfast.PerRoute && r.Name != b.of || len(r.models()) == 0 {
			continue
		}
		for _, t := range r.Targets {
			_, model, _ := strings.Cut(t.Target, "/")
			names := append([]string{model}, r.models()...)
			if _, ok := prices.Find(names...); !ok && model != "*" {
				c.fail(append(slices.Clone(b.path), "budget", "usd_per_day"),
					"prices has none for %q, which route %s may ask for: what is spent could not be counted", model, r.Name)
				return
			}
		}
	}
}
