package holdfast

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/spend"
	"github.com/holdfast-gateway/holdfast/stream"
	"github.com/holdfast-gateway/holdfast/target"
)

// ErrClosed is returned by RoundTrip after Close.
var ErrClosed = errors.New("holdfast: transport is closed")

// ErrDraining as the cause with which a request's context is cancelled
// (context.WithCancelCause) ends a call because this process is shutting down.
// An event stream then ends with its dialect's error event and io.EOF, as the
// caller is still there to read it; RoundTrip returns ErrDraining.
var ErrDraining = stream.ErrDraining

// Transport is an http.RoundTripper that survives its providers. Make it with
// NewTransport; it is safe for concurrent use.
type Transport struct {
	house  atomic.Pointer[house]
	memory *memory
	own    wire   // nil when the Config brought a Transport
	kind   string // of own: lean or net
	closed atomic.Bool
	update sync.Mutex
}

// NewTransport returns a Transport for c, or everything that is wrong with c.
func NewTransport(c Config) (*Transport, error) {
	t := &Transport{}
	rnd := c.Rand
	if rnd == nil {
		rnd = rand.Float64
	}
	t.memory = &memory{rand: rnd, record: t.record, clients: retry.NewClients(0, 0), posts: map[string]*post{},
		doors: map[string]*admission.Door{}, tally: map[string]*tally{}, larders: map[string]*larder{}}
	t.memory.ledger.rand = rnd
	t.memory.pool = target.NewPool(c.Health, target.Options{Rand: rnd, Event: t.health})
	if err := t.Update(c); err != nil {
		return nil, err
	}
	return t, nil
}

// Update makes c the configuration of calls that begin from now on; calls under
// way end under the one they began with. What was learnt of targets whose name
// and address stay is kept. It returns everything that is wrong with c, and then
// changes nothing.
func (t *Transport) Update(c Config) error {
	t.update.Lock()
	defer t.update.Unlock()
	if t.closed.Load() {
		return ErrClosed
	}
	resolved, err := c.resolve()
	if err != nil {
		return err
	}
	if resolved.Transport == nil {
		resolved.Transport = t.wireFor(resolved)
	}
	t.memory.pool.Reconfigure(resolved.Health)
	t.house.Store(build(resolved, t.memory))
	return nil
}

// newTransport returns the http.Transport to the providers: many idle
// connections per host, HTTP/2 with pings that notice dead connections, no
// transparent gzip (answers are read as they are).
func newTransport(c Config) *http.Transport {
	clocks := c.Timeout.WithDefaults()
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial(c.Dial, max(clocks.Connect, 0)),
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    max(clocks.Connect, 0),
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// dial returns what opens connections: open, or a net.Dialer, for at most so long;
// 0 means for as long as it takes.
func dial(open func(context.Context, string, string) (net.Conn, error), connect time.Duration) func(context.Context, string, string) (net.Conn, error) {
	if open == nil {
		return (&net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if connect > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, connect)
			defer cancel()
		}
		return open(ctx, network, address)
	}
}

// RoundTrip sends a call through the stack. The answer is the provider's, or a
// refusal in the caller's dialect with a precise code. The only errors are those
// of the request's own context, ErrClosed, and a request without a URL.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.closed.Load() {
		closeBody(req)
		return nil, ErrClosed
	}
	return t.house.Load().roundTrip(req)
}

// Close frees the idle connections of the Transport's own making. Calls
// under way go on; new ones get ErrClosed. It may be called twice.
func (t *Transport) Close() error {
	t.closed.Store(true)
	t.update.Lock()
	defer t.update.Unlock()
	if t.own != nil {
		t.own.CloseIdleConnections()
	}
	return nil
}

// CloseIdleConnections frees idle connections to the providers.
func (t *Transport) CloseIdleConnections() {
	if h := t.house.Load(); h != nil {
		if c, ok := h.config.Transport.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// record gives an event to the configured Recorder.
func (t *Transport) record(e *call.Event) {
	if h := t.house.Load(); h != nil && h.config.Recorder != nil {
		h.config.Recorder.Record(e)
	}
}

// health tells of pauses and ejections.
func (t *Transport) health(kind call.EventKind, name, key, reason string, wait time.Duration) {
	e := &call.Event{Kind: kind, At: time.Now(), Target: name, Key: key, Reason: reason, Wait: wait}
	if p := t.memory.post(name); p != nil {
		e.Provider, e.Model = p.target.Provider, p.target.Model
	}
	t.record(e)
}

func (m *memory) post(name string) *post {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.posts[name]
}

// house is one configuration, built: the order of the rooms.
type house struct {
	config Config
	memory *memory
	routes []*route

	gates  *gates
	purses map[owner]*spend.Account

	mu    sync.Mutex
	hosts map[string]*route // zero configuration: one route per host
}

// route is one Route, built.
type route struct {
	Route
	house     *house
	posts     []*post
	byTarget  map[*call.Target]*post
	targets   []*call.Target
	scheduler dispatch.Scheduler[*answer]
	door      *admission.Door
	tally     *tally
	larder    *larder // nil: no answers are kept or shared
	answerers string  // who answers, in a few bytes
}

// build makes a house. Targets of the same name share their state, whatever
// routes they stand in.
func build(c Config, m *memory) *house {
	h := &house{config: c, memory: m, hosts: map[string]*route{}, gates: m.gatesFor(c.Limits), purses: m.pursesFor(c.Budgets)}
	fresh := map[string]*post{}
	for _, r := range c.Routes {
		h.routes = append(h.routes, h.route(r, fresh))
	}
	for _, p := range fresh {
		p.servesThrough(h.doorsOf(p))
	}
	m.settle(c, fresh)
	return h
}

// doorsOf returns the waiting rooms of the routes that a target stands in.
func (h *house) doorsOf(p *post) []*admission.Door {
	var doors []*admission.Door
	for _, r := range h.routes {
		if slices.Contains(r.posts, p) {
			doors = append(doors, r.door)
		}
	}
	return doors
}

// settle makes fresh what is known, and forgets targets and routes that are no
// longer configured. Without configured routes hosts are remembered as they come.
func (m *memory) settle(c Config, fresh map[string]*post) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.posts, fresh)
	if len(c.Routes) == 0 {
		return
	}
	maps.DeleteFunc(m.posts, func(name string, _ *post) bool { return fresh[name] == nil })
	m.ledger.keep(m.posts)
	gone := func(name string) bool {
		return !slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Name == name })
	}
	maps.DeleteFunc(m.doors, func(name string, _ *admission.Door) bool { return gone(name) })
	maps.DeleteFunc(m.tally, func(name string, _ *tally) bool { return gone(name) })
	maps.DeleteFunc(m.larders, func(name string, _ *larder) bool { return gone(name) })
}

// route builds one Route; fresh collects the posts of this configuration.
func (h *house) route(r Route, fresh map[string]*post) *route {
	built := &route{Route: r, house: h, byTarget: map[*call.Target]*post{}}
	built.door, built.tally = h.memory.room(r)
	if built.larder = h.memory.larder(r); built.larder != nil {
		built.answerers = answerers(r)
	}
	for _, t := range r.Targets {
		p := fresh[t.Name]
		if p == nil {
			p = h.memory.newPost(t, r.Retry, h.memory.post(t.Name))
			fresh[t.Name] = p
		}
		placed := *p.target // a target weighs differently in each route
		placed.Weight = t.Weight
		built.posts = append(built.posts, p)
		built.targets = append(built.targets, &placed)
		built.byTarget[&placed] = p
	}
	built.scheduler = h.scheduler(built)
	return built
}

// room returns the route's waiting room and counters, which outlive
// configurations.
func (m *memory) room(r Route) (*admission.Door, *tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.doors[r.Name]
	if d == nil {
		d = admission.NewDoor(r.Name, r.Queue)
		m.doors[r.Name], m.tally[r.Name] = d, &tally{}
	} else {
		d.Reconfigure(r.Queue)
	}
	return d, m.tally[r.Name]
}

// guarded returns the route for a request when nothing is configured: the host
// it names, under the standard policies. A host that speaks the dialects of
// several vendors is a target for each.
func (h *house) guarded(req *http.Request) *route {
	host, vendor := strings.ToLower(req.URL.Host), vendorFor(req)
	base := strings.ToLower(req.URL.Scheme) + "://" + host
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.hosts[base+" "+vendor]; r != nil {
		return r
	}
	if len(h.hosts) >= maxHosts {
		h.forgetHost()
	}
	t := Target{Name: host, Provider: host, Vendor: vendor, BaseURL: base, Breaker: h.config.Breaker, Concurrency: h.config.Concurrency,
		LenientEnd: !known(req.URL.Hostname())}
	if vendor != vendorOf(req.URL.Hostname()) {
		t.Name += "/" + vendor
	}
	r := Route{Name: "default", Targets: []Target{t}, Timeout: h.config.Timeout.WithDefaults(), Retry: h.config.Retry.WithDefaults(), Queue: h.config.Queue, Cache: h.config.Cache.WithDefaults()}
	built := h.route(r, map[string]*post{})
	built.posts[0].servesThrough([]*admission.Door{built.door})
	h.memory.mu.Lock()
	h.memory.posts[t.Name] = built.posts[0]
	h.memory.mu.Unlock()
	h.hosts[base+" "+vendor] = built
	return built
}

// forgetHost makes room for another host: any one goes, as a program that asks
// so many has no favourite.
func (h *house) forgetHost() {
	for key, r := range h.hosts {
		delete(h.hosts, key)
		h.memory.mu.Lock()
		delete(h.memory.posts, r.posts[0].target.Name)
		h.memory.mu.Unlock()
		return
	}
}

// find returns the route for a call: by name, else by model.
func (h *house) find(name, model string) *route {
	for _, r := range h.routes {
		if name != "" {
			if r.Name == name {
				return r
			}
			continue
		}
		if len(r.Models) == 0 && len(r.Paths) == 0 || slices.ContainsFunc(r.Models, func(p string) bool { return call.Matches(p, model) }) {
			return r
		}
	}
	return nil
}

// ToolAt names the route whose tool stands at a path, "" for none: a call there
// goes to it and to no other route.
func (t *Transport) ToolAt(path string) string {
	if r, _ := t.house.Load().mounted(path); r != nil {
		return r.Name
	}
	return ""
}

// mounted returns the route of the tool that stands at a path, and the part of
// the path that says so; nil for none. A path that climbs is nobody's.
func (h *house) mounted(asked string) (found *route, prefix string) {
	if strings.Contains(asked, "..") && slices.Contains(strings.Split(asked, "/"), "..") {
		return nil, ""
	}
	for _, r := range h.routes {
		for _, p := range r.Paths {
			if len(p) > len(prefix) && (asked == p || strings.HasPrefix(asked, p+"/")) {
				found, prefix = r, p
			}
		}
	}
	return found, prefix
}

// Status returns what the Transport knows of itself now.
func (t *Transport) Status() Status {
	var s Status
	m := t.memory
	m.mu.Lock()
	for name, d := range m.doors {
		r := m.tally[name].status(name, d.Snapshot())
		if l := m.larders[name]; l != nil && l.on {
			kept := l.store.Contents()
			r.Cache = &kept
		}
		s.Routes = append(s.Routes, r)
	}
	posts := make([]*post, 0, len(m.posts))
	for _, p := range m.posts {
		posts = append(posts, p)
	}
	m.mu.Unlock()
	s.Limits, s.Budgets = t.house.Load().limits()
	resting := m.pool.Snapshot()
	for _, p := range posts {
		s.Targets = append(s.Targets, p.status(resting))
	}
	slices.SortFunc(s.Routes, func(a, b RouteStatus) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Targets, func(a, b TargetStatus) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// status is the post's share of a Status. Of several models the breaker that is
// worst is shown.
func (p *post) status(resting []target.KeyState) TargetStatus {
	s := TargetStatus{Name: p.target.Name, Provider: p.target.Provider, Model: p.target.Model, Breaker: "closed",
		InFlight: p.limit.InFlight(), Permits: max(0, p.limit.Max()), RetryBudget: p.budget.Remaining(), Classes: map[string]int64{}}
	s.Quotas = p.quotas()
	if l := p.limit.Snapshot(); l.Adaptive {
		s.Adaptive = &AdaptiveStatus{Min: l.Min, Max: l.Max, Ratio: ratioOf(l.Ratio)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.breakers {
		if snap := b.Snapshot(); snap.State.String() != "closed" && (s.Breaker == "closed" || snap.OpenUntil.After(s.OpenUntil)) {
			s.Breaker, s.OpenUntil = snap.State.String(), snap.OpenUntil
		}
	}
	for c := range p.classes {
		if n := p.classes[c].Load(); n > 0 {
			s.Classes[call.Class(c).String()] = n
			s.Attempts += n
		}
	}
	for _, k := range p.target.Keys {
		s.Keys = append(s.Keys, KeyStatus{Name: k.Name})
	}
	for _, rest := range resting {
		if rest.Target != p.target.Name {
			continue
		}
		if rest.Key == "" && rest.Reason == target.ReasonOutlier {
			s.EjectedUntil = rest.Until
		}
		for i := range s.Keys {
			if k := &s.Keys[i]; k.Name == rest.Key {
				k.Reason = rest.Reason
				if rest.State == target.StatePaused {
					k.PausedUntil = rest.Until
				} else {
					k.EjectedUntil = rest.Until
				}
			}
		}
	}
	return s
}

// Breaker moves the circuits of a target by hand, for all its models, also those
// that are asked for later: action is "open" (for a time; 0: until another
// action), "close" or "reset". It returns an error for an unknown target or action.
func (t *Transport) Breaker(name, action, reason string, during time.Duration) error {
	p := t.memory.post(name)
	if p == nil {
		return fmt.Errorf("holdfast: no target is named %q", name)
	}
	if err := oneOf(action, "open", "close", "reset"); err != nil {
		return fmt.Errorf("holdfast: breaker action %w", err)
	}
	o := byHand{action: action, reason: reason}
	if during > 0 {
		o.until = time.Now().Add(during)
	}
	p.order(o)
	return nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
