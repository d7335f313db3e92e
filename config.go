package holdfast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/spend"
	"github.com/holdfast-gateway/holdfast/target"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// Config says where calls may go and under which policies. The zero value is
// useful: it guards whatever host a request names, with the standard profile.
// A zero field means the default beside it; settings of a Route or Target that
// are zero are taken from the Config, and those of the Config from the Profile.
type Config struct {
	Profile string  // "standard" (default) or "interactive" (chat users wait: 9 s in all, few in flight)
	Routes  []Route // in order of matching; none: every request goes to the host it names

	Timeout     timeout.Config     // clocks and deadlines
	Retry       retry.Config       // attempts, backoff, budgets
	Queue       admission.Config   // the waiting room, one per route
	Breaker     breaker.Config     // one per target and model
	Concurrency concurrency.Config // permits per target
	Health      target.Config      // ejection and pauses of keys, memory of pins
	Cache       cache.Config       // answers from memory, and one for several calls; off unless set

	Limits  []Limit      // what callers may ask for; the profile's when nil, none when empty
	Budgets []Budget     // what keys, tenants and routes may spend in a day
	Prices  spend.Prices // of models, for budgets in US dollars

	// MaxBody is the largest request body that is buffered, and so can be sent
	// again; in bytes, default 32 MiB. A larger one is refused with 413 on paths
	// whose bodies are read, and streamed with one attempt on others.
	MaxBody int64
	// MaxAnswer is the largest answer, not streamed, that is held until it is
	// whole; in bytes, default 8 MiB. A larger one is passed on as it comes.
	MaxAnswer int

	// HTTP says which client speaks to the providers: "lean" (default), HTTP/1.1 by
	// package http1, which costs the least; "net", http.Transport, which speaks
	// HTTP/2 where it is offered. Requests that a proxy of the environment takes
	// always go through http.Transport.
	HTTP string

	Transport http.RoundTripper // to the providers; nil: one of our own, as HTTP says
	Recorder  call.Recorder     // hears every Event; nil: nobody. Must not block.
	Rand      func() float64    // in [0,1); nil: math/rand/v2. For tests with a seed.

	// Dial opens the connections of our own client, within Timeout.Connect;
	// nil: a net.Dialer. Update does not change it. An attempt that it refuses was
	// not sent.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Headers changes the headers of each attempt, counted from 1, before its
	// credential is put in: to hand a trace on, or to keep one. It may add, replace
	// and delete; the values themselves belong to the caller's request. It must not
	// block and must not keep h. nil: they go as they came.
	Headers func(h http.Header, c *call.Call, attempt int)
}

// Route says which calls it takes and which targets may answer them.
type Route struct {
	Name    string   // unique; in logs, metrics and x-holdfast-route
	Models  []string // model names as callers write them, "*" matches any text; none: every model
	Targets []Target // in the order of failover

	// Paths are where tools stand: a request for "/tools/weather/berlin" goes to
	// the route with the path "/tools/weather", and "/berlin" is put behind its
	// target's base URL. The longest path wins. Only targets of vendor "http" may
	// stand there, and a route with Paths and no Models takes no model.
	Paths []string

	// Priority is that of calls without one of their own: from 50 critical, from 1
	// high, 0 (default) normal, below 0 batch; -100 to 100. See WithPriority.
	Priority int

	Timeout timeout.Config
	Retry   retry.Config
	Queue   admission.Config
	Cache   cache.Config

	// Recovery says what happens when a stream breaks after its first word
	// reached the caller: "error" (default) ends it with the dialect's own error
	// event.
	Recovery string
	// ClientRetries tells SDKs whether to try again after our final error:
	// "stop" (default, x-should-retry: false) or "pace" (true, with Retry-After
	// at the next probe).
	ClientRetries string
	// TerminalStatus is the status of our final error, when attempts are spent or
	// every circuit is open: 429, 500, 502, 503, 504 or 529; 0 (default) keeps the
	// provider's, or that of our refusal. It is for clients that know only the
	// status: Codex asks up to 30 times after a 5xx and once after a 429. Body,
	// code and headers stay, and x-holdfast-original-status says what it would have been.
	// Errors of the request, its policy or a credential, exhausted quotas and full
	// queues keep theirs, and so does a stream that has begun.
	TerminalStatus int
	// Shift moves a share of the calls to another target.
	Shift Shift
	// OnPolicyViolation is "stop" (default) or "fallback": ask the next target.
	OnPolicyViolation string
	// ErrorCodes is "" for the codes of the reference, or "seed" for
	// queue_overflow, too_many_requests and provider_unavailable.
	ErrorCodes string
}

// Target is one place that can answer a Route's calls.
type Target struct {
	Name     string // unique within the Config unless equal in every field but Weight; default "provider/model"
	Provider string // the operator's name for the provider; default: the vendor
	Vendor   string // whose dialects and error tables apply: "openai", "anthropic", "azure", "compatible", ...; see the reference of classes
	BaseURL  string // default: the vendor's public address. A path is put before the request's
	// APIVersion goes into the query of vendors that want it there (azure); "" for
	// the newest paths, which need none.
	APIVersion string
	Model      string // asked for instead of the caller's; "" keeps the caller's
	Keys       []Key  // none: the caller's credential, if the host is the one it was meant for
	Weight     int    // > 0 shares its place with neighbours that have a weight; 0: a place of its own
	Context    int    // context window in tokens; 0 unknown

	Breaker     breaker.Config
	Concurrency concurrency.Config

	// Quota is what the provider allows each key to spend on a model; zero: nobody
	// knows. Targets that share a key's secret, address and model share what is left
	// of it. Without Keys it is for the target as a whole. Its Accounting is, by
	// default, that of the Vendor.
	Quota quota.Config

	// PassCredential sends the caller's own credential along when the target has
	// no keys: for a gateway whose callers bring their provider keys. It never goes
	// to another host than that of the route's first such target.
	PassCredential bool

	// Idempotent says that repeating a request cannot act twice, whatever its
	// method: a tool that promises so.
	Idempotent bool

	// LenientEnd accepts a stream that ends after its finish reason without the
	// dialect's terminator, as some OpenAI-compatible servers do.
	LenientEnd bool
}

// Key is one credential of a Target.
type Key struct {
	Name   string // alias in logs and metrics; default "key1", "key2", ...
	Secret string
	Weight int // share among the keys; 0 means 1
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	var errs []error
	add := func(where string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	if _, err := profile(c.Profile); err != nil {
		add("profile", err)
	}
	add("http", oneOf(c.HTTP, "", httpLean, httpNet))
	add("timeout", c.Timeout.Validate())
	add("retry", c.Retry.Validate())
	add("queue", c.Queue.Validate())
	add("breaker", c.Breaker.Validate())
	add("concurrency", c.Concurrency.Validate())
	add("health", c.Health.Validate())
	add("cache", c.Cache.Validate())
	add("limits", c.validateLimits())
	add("prices", c.Prices.Validate())
	if c.MaxBody < 0 {
		add("max_body", fmt.Errorf("%d is negative", c.MaxBody))
	}
	if c.MaxAnswer < 0 {
		add("max_answer", fmt.Errorf("%d is negative", c.MaxAnswer))
	}
	names, mounts := map[string]bool{}, map[string]bool{}
	targets := map[string]Target{}
	for i, r := range c.Routes {
		where := fmt.Sprintf("routes[%d]", i)
		if r.Name == "" {
			add(where, errors.New("name is missing"))
		} else {
			where = "route " + r.Name
		}
		if names[r.Name] {
			add(where, errors.New("another route has this name"))
		}
		names[r.Name] = true
		for _, p := range r.Paths {
			if mounts[p] {
				add(where, fmt.Errorf("paths: %q belongs to another route", p))
			}
			mounts[p] = true
		}
		add(where, r.validate(targets))
	}
	add("quota", clashingQuotas(c.Routes))
	return errors.Join(errs...)
}

func (r Route) validate(targets map[string]Target) error {
	var errs []error
	add := func(where string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	add("timeout", r.Timeout.Validate())
	add("retry", r.Retry.Validate())
	add("queue", r.Queue.Validate())
	add("cache", r.Cache.Validate())
	if r.Priority < -100 || r.Priority > 100 {
		add("priority", fmt.Errorf("%d is not between -100 and 100", r.Priority))
	}
	add("recovery", oneOf(r.Recovery, "", "error"))
	add("client_retries", oneOf(r.ClientRetries, "", "stop", "pace"))
	add("terminal_status", oneOfNumbers(r.TerminalStatus, 0, 429, 500, 502, 503, 504, 529))
	add("shift", r.Shift.within(r.Targets))
	add("on_policy_violation", oneOf(r.OnPolicyViolation, "", "stop", "fallback"))
	add("error_codes", oneOf(r.ErrorCodes, "", "seed"))
	for _, m := range r.Models {
		if m == "" {
			add("models", errors.New("an empty name matches nothing"))
		}
	}
	for _, p := range r.Paths {
		add("paths", r.mountable(p))
	}
	if len(r.Targets) == 0 {
		errs = append(errs, errors.New("targets: none; a route needs at least one"))
	}
	seen := map[string]bool{}
	for i, t := range r.Targets {
		t.fill()
		where := fmt.Sprintf("targets[%d]", i)
		if t.Name != "" {
			where = "target " + t.Name
		}
		add(where, t.validate())
		if seen[t.Name] {
			add(where, errors.New("stands twice in this route: a call asks each target once"))
		}
		seen[t.Name] = true
		shared := t
		shared.Weight = 0 // a target may weigh differently in each route
		if other, ok := targets[t.Name]; ok && !reflect.DeepEqual(other, shared) {
			add(where, errors.New("another route has a different target of this name; give one of them another name"))
		}
		targets[t.Name] = shared
	}
	return errors.Join(errs...)
}

// mountable says what is wrong with one of the route's paths.
func (r Route) mountable(p string) error {
	if len(p) < 2 || p[0] != '/' || path.Clean(p) != p {
		return fmt.Errorf("%q: want a path as /tools/weather, without a slash at its end", p)
	}
	for _, t := range r.Targets {
		t.fill()
		if v := all.ByName(t.Vendor); v != nil && v.Dialect != nil {
			return fmt.Errorf("%q: only tools (vendor http) stand at a path, and %s is %s", p, t.Name, t.Vendor)
		}
	}
	return nil
}

func (t Target) validate() error {
	var errs []error
	if all.Described(t.Vendor) {
		errs = append(errs, fmt.Errorf("vendor %q %s", t.Vendor, all.NotYet))
	} else if all.ByName(t.Vendor) == nil {
		errs = append(errs, fmt.Errorf("vendor %q is not known (known: %s)", t.Vendor, strings.Join(vendorNames(), ", ")))
	}
	if v := all.ByName(t.Vendor); v != nil && v.BaseURL == "" && t.BaseURL == "" {
		errs = append(errs, fmt.Errorf("base URL is missing: %s has no address of its own", t.Vendor))
	} else if u, err := url.Parse(t.BaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, errors.New("base URL must be http:// or https:// with a host"))
	} else if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		errs = append(errs, errors.New("base URL may not hold a user, query or fragment"))
	}
	if t.Weight < 0 {
		errs = append(errs, fmt.Errorf("weight %d is negative", t.Weight))
	}
	if t.Context < 0 {
		errs = append(errs, fmt.Errorf("context %d is negative", t.Context))
	}
	if err := t.Breaker.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("breaker: %w", err))
	}
	if err := t.Concurrency.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("concurrency: %w", err))
	}
	if err := t.Quota.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("quota: %w", err))
	}
	if t.PassCredential && len(t.Keys) > 0 {
		errs = append(errs, errors.New("keys and pass_credential exclude each other: whose credential should go?"))
	}
	names := map[string]bool{}
	for i, k := range t.Keys {
		if k.Secret == "" {
			errs = append(errs, fmt.Errorf("keys[%d]: the secret is empty", i))
		}
		if k.Weight < 0 {
			errs = append(errs, fmt.Errorf("keys[%d]: weight %d is negative", i, k.Weight))
		}
		if names[k.Name] {
			errs = append(errs, fmt.Errorf("keys[%d]: another key of this target is named %q", i, k.Name))
		}
		names[k.Name] = true
	}
	return errors.Join(errs...)
}

// fill sets what follows from other fields.
func (t *Target) fill() {
	if t.Vendor == "" && t.BaseURL == "" {
		t.Vendor = all.Default
	}
	if t.Vendor == "" {
		if u, err := url.Parse(t.BaseURL); err == nil {
			t.Vendor = vendorOf(u.Hostname())
		}
	}
	if v := all.ByName(t.Vendor); v != nil && t.BaseURL == "" {
		t.BaseURL = v.BaseURL
	}
	if t.Quota.Accounting == "" && t.Quota.Limits() {
		t.Quota.Accounting = quota.AccountingFor(t.Vendor)
	}
	if t.Provider == "" {
		t.Provider = t.Vendor
	}
	if t.Name == "" {
		t.Name = t.Provider
		if t.Model != "" {
			t.Name += "/" + t.Model
		}
	}
	t.Keys = slices.Clone(t.Keys)
	for i := range t.Keys {
		if t.Keys[i].Name == "" {
			t.Keys[i].Name = fmt.Sprintf("key%d", i+1)
		}
	}
}

// vendorOf returns the vendor whose tables fit a host: its own, else the
// OpenAI-compatible one, which most servers speak.
func vendorOf(host string) string {
	if v := all.ByHost(host); v != nil {
		return v.Name
	}
	return all.Default
}

// adaptiveBy says whether a target's limit finds out by itself what the target
// bears: on for servers of one's own, which queue what they cannot take at once.
func adaptiveBy(t Target) string {
	v := all.ByName(t.Vendor)
	if v == nil || !v.OwnServer {
		return concurrency.Off
	}
	if u, err := url.Parse(t.BaseURL); err != nil || all.ByHost(u.Hostname()) != nil {
		return concurrency.Off // the same software, run by its vendor
	}
	return concurrency.On
}

func vendorNames() []string {
	var names []string
	for _, v := range all.Vendors() {
		names = append(names, v.Name)
	}
	return names
}

func oneOf(got string, allowed ...string) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	named := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
	return fmt.Errorf("%q is none of %s", got, strings.Join(named, ", "))
}

func oneOfNumbers(got int, allowed ...int) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("%d is none of %s", got, strings.Trim(fmt.Sprint(allowed), "[]"))
}

// defaults holds one profile's figures.
type defaults struct {
	Timeout     timeout.Config
	Retry       retry.Config
	Queue       admission.Config
	Breaker     breaker.Config
	Concurrency concurrency.Config
	Limits      []Limit
	ErrorCodes  string
}

// profile returns the figures of a named profile; the rooms' own defaults fill
// what it leaves zero.
func profile(name string) (defaults, error) {
	switch name {
	case "", "standard":
		return defaults{}, nil
	case "interactive":
		return defaults{
			Timeout: timeout.Config{Attempt: 8 * time.Second, AttemptFixed: true, FirstToken: 8 * time.Second, FirstTokenReasoning: 8 * time.Second, Total: 9 * time.Second},
			Retry:   retry.Config{MaxAttempts: 3, MinDelay: 500 * time.Millisecond, MaxDelay: 2500 * time.Millisecond},
			Queue:   admission.Config{Running: 4, MaxDepth: 50},
			Breaker: breaker.Config{
				Consecutive: 5, OpenForConsecutive: 30 * time.Second,
				Ratio: 0.5, Window: 60 * time.Second, OpenForRatio: 15 * time.Second,
				SlowAfter: 4 * time.Second,
			},
			Concurrency: concurrency.Config{Max: 5},
			Limits: []Limit{{Name: "client", Per: PerClient,
				Config: ratelimit.Config{Points: 20, Duration: time.Second, BlockFor: 2 * time.Second, Mode: ratelimit.ModeWindow}}},
			ErrorCodes: "seed",
		}, nil
	}
	return defaults{}, fmt.Errorf("%q is none of standard, interactive", name)
}

// inherit returns own with every zero field taken from base. Both are structs of
// settings, where zero means "not set".
func inherit[T any](own, base T) T {
	o, b := reflect.ValueOf(&own).Elem(), reflect.ValueOf(base)
	for i := range o.NumField() {
		if o.Field(i).CanSet() && o.Field(i).IsZero() {
			o.Field(i).Set(b.Field(i))
		}
	}
	return own
}

// Effective returns c as it acts: what a route or target leaves open is taken
// from c, and what c leaves open from its profile. The error is that of Validate.
func (c Config) Effective() (Config, error) { return c.resolve() }

// resolve returns c with profile, config, route and target settings merged, so
// that every route and target stands for itself.
func (c Config) resolve() (Config, error) {
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("holdfast: invalid configuration:\n%w", err)
	}
	p, _ := profile(c.Profile)
	c.Timeout = inherit(c.Timeout, p.Timeout)
	c.Retry = inherit(c.Retry, p.Retry)
	c.Queue = inherit(c.Queue, p.Queue)
	c.Breaker = inherit(c.Breaker, p.Breaker)
	c.Concurrency = inherit(c.Concurrency, p.Concurrency)
	if c.Limits == nil {
		c.Limits = p.Limits
	}
	if c.MaxBody == 0 {
		c.MaxBody = 32 << 20
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = 8 << 20
	}
	c.Routes = slices.Clone(c.Routes)
	for i := range c.Routes {
		r := &c.Routes[i]
		r.Timeout = inherit(r.Timeout, c.Timeout).WithDefaults()
		r.Retry = inherit(r.Retry, c.Retry).WithDefaults()
		r.Queue = inherit(r.Queue, c.Queue)
		r.Cache = inherit(r.Cache, c.Cache).WithDefaults()
		if r.ErrorCodes == "" {
			r.ErrorCodes = p.ErrorCodes
		}
		r.Targets = slices.Clone(r.Targets)
		for j := range r.Targets {
			t := &r.Targets[j]
			t.fill()
			t.Breaker = inherit(t.Breaker, c.Breaker)
			t.Concurrency = inherit(t.Concurrency, c.Concurrency)
			if t.Concurrency.Adaptive == "" {
				t.Concurrency.Adaptive = adaptiveBy(*t)
			}
		}
	}
	return c, nil
}
