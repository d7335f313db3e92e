package holdfast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// What the cache of a route did with a call, as X-Holdfast-Cache and CallEnded
// say it.
const (
	cacheHit    = "hit"    // a fresh answer; nobody was asked
	cacheStale  = "stale"  // an old answer stands in for an error
	cacheShared = "shared" // the answer, or error, of the same call under way
	cacheMiss   = "miss"   // a provider was asked
	cacheBypass = "bypass" // no call for the cache
)

// larder is the cache of one route. It outlives configurations.
type larder struct {
	store   *cache.Store
	flights cache.Flights[*landing]
	on      bool // guarded by the memory's mu
}

// larder returns what a route keeps answers in, nil when it keeps none and
// shares none.
func (m *memory) larder(r Route) *larder {
	on := r.Cache.Keeps() || r.Cache.Shares()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.larders[r.Name]
	switch {
	case l == nil && on:
		l = &larder{store: cache.NewStore(r.Cache)}
		m.larders[r.Name] = l
	case l != nil:
		l.store.Reconfigure(r.Cache)
	}
	if l == nil {
		return nil
	}
	if l.on = on; !on {
		return nil
	}
	return l
}

// answerers is a text that names who answers a route's calls: other targets,
// models or shares of them are another cache.
func answerers(r Route) string {
	d := cache.NewDigest()
	d.Text(fmt.Sprint(r.Shift))
	for _, t := range r.Targets {
		for _, part := range []string{t.Name, t.Vendor, t.BaseURL, t.APIVersion, t.Model} {
			d.Text(part)
		}
	}
	key := d.Key()
	return string(key[:])
}

// recall is what the cache has to do with one call. Only did changes.
type recall struct {
	*larder
	config cache.Config
	key    cache.Key
	did    string // what the caller is told
	why    string // of a bypass
	anew   bool   // the caller wants no old answer
}

// recallOf looks at a call of a route that has a cache.
func (in *incoming) recallOf() *recall {
	r := &recall{larder: in.route.larder, config: in.route.Cache, did: cacheMiss}
	asked := strings.ToLower(strings.Join(in.req.Header["Cache-Control"], ","))
	r.anew = strings.Contains(asked, "no-cache")
	if strings.Contains(asked, "no-store") || in.NoMove && len(in.Request.Refs) == 0 && !in.Request.Pinned {
		r.why = cache.WhyAsked
	} else {
		r.why = r.config.Refuses(in.Op, &in.Request, in.Body)
	}
	if r.why != "" {
		r.did = cacheBypass
		return r
	}
	r.key = in.cacheKey(r.config.Scope)
	return r
}

// cacheKey names the call: what is asked, of whom, and for whom. Whatever may
// change the answer, or whose it is, goes in.
func (in *incoming) cacheKey(scope string) cache.Key {
	d := cache.NewDigest()
	for _, part := range []string{in.Route, in.route.answerers, string(in.Op), in.Method, in.asked().RequestURI()} {
		d.Text(part)
	}
	own := in.carriesCredential()
	switch {
	case scope == cache.ScopeAll && !own:
		d.Text(cache.ScopeAll)
	case scope == cache.ScopeTenant && !own && in.Tenant != "":
		d.Text(cache.ScopeTenant)
		d.Text(in.Tenant)
	default:
		for _, part := range []string{cache.ScopeKey, in.Tenant, in.who.key, in.Client} {
			d.Text(part)
		}
	}
	h := in.req.Header
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if slices.Contains(provider.CredentialHeaders, name) && !own || aboutSender(name) {
			continue
		}
		d.Text(name)
		d.Text(strconv.Itoa(len(h[name])))
		for _, v := range h[name] {
			d.Text(v)
		}
	}
	d.Bytes(in.Body)
	return d.Key()
}

// carriesCredential reports whether a target may be asked with the caller's own
// credential: the provider then decides who may have the answer.
func (in *incoming) carriesCredential() bool {
	for _, p := range in.route.posts {
		if len(p.target.Keys) == 0 && (p.pass || strings.EqualFold(p.target.URL.Host, in.req.URL.Host)) {
			return true
		}
	}
	return false
}

// aboutSender reports whether a header speaks of who asks and how, and not of
// what is asked.
func aboutSender(name string) bool {
	if connectionOnly(name) || speaksToUs(name) {
		return true
	}
	switch name {
	case "Accept-Encoding", "Accept-Language", "Baggage", "Cache-Control", "Content-Length", "Date", "Forwarded", "Idempotency-Key",
		"Origin", "Pragma", "Priority", "Referer", "Traceparent", "Tracestate", "User-Agent", "Via",
		"X-Client-Request-Id", "X-Correlation-Id", "X-Real-Ip", "X-Request-Id":
		return true
	}
	for _, prefix := range []string{"Sec-", "X-B3-", "X-Forwarded-", "X-Stainless-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// throughCache answers a call of a route that has a cache: from memory, with
// others, or as any other call, and then remembers the answer.
func (in *incoming) throughCache(ctx context.Context) (*http.Response, error) {
	r := in.recallOf()
	in.recall = r
	if r.why != "" {
		return in.ask(ctx)
	}
	if a, age, fresh := r.store.Get(r.key); fresh && !r.anew {
		return in.serve(a, age, cacheHit, good), nil
	}
	if r.config.Shares() && !r.anew && !in.Request.Stream {
		return in.share(ctx)
	}
	return in.alone(ctx)
}

// alone has the call answered by a target, and keeps the answer.
func (in *incoming) alone(ctx context.Context) (*http.Response, error) {
	resp, err := in.ask(ctx)
	if err == nil && !in.counted && in.recall.config.Keeps() {
		in.collect(in.recall, resp)
	}
	return resp, err
}

// collect sees to it that the answer is kept, if it is worth it: a stream when its
// caller has had it to the end, another at once.
func (in *incoming) collect(r *recall, resp *http.Response) {
	if isStream(resp.Header) {
		resp.Body = &recording{ReadCloser: resp.Body, room: r.config.MaxEntry, over: func(body []byte) { in.keep(r, resp, body) }}
	} else if body, whole := swallow(resp, r.config.MaxEntry); whole {
		in.keep(r, resp, body)
	}
}

// recording is a stream that is taken down while it goes to its caller.
type recording struct {
	io.ReadCloser
	room int64  // bytes that may still be taken down; below 0: it was too large
	text []byte // so far
	over func([]byte)
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.note(p[:n])
	if errors.Is(err, io.EOF) {
		r.end()
	}
	return n, err
}

// WriteTo leaves it to the stream how much is written at once.
func (r *recording) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(noting{r, w}, r.ReadCloser)
	if err == nil {
		r.end()
	}
	return n, err
}

func (r *recording) note(b []byte) {
	if r.room -= int64(len(b)); r.room < 0 {
		r.text = nil
		return
	}
	r.text = append(r.text, b...)
}

func (r *recording) end() {
	if r.room >= 0 && r.over != nil {
		r.over(r.text)
	}
	r.over = nil
}

// noting writes what a recording takes down.
type noting struct {
	to *recording
	w  io.Writer
}

func (n noting) Write(b []byte) (int, error) {
	n.to.note(b)
	return n.w.Write(b)
}

// good is how a call ends that has a good answer.
var good = call.Verdict{Class: call.OK}

// serve answers with what was kept, or with what another call was told.
func (in *incoming) serve(a *cache.Answer, age time.Duration, did string, v call.Verdict) *http.Response {
	in.recall.did = did
	h := a.Header.Clone()
	in.stamp(h)
	h.Set("X-Holdfast-Provider", a.Provider)
	h.Set("X-Holdfast-Model", header(a.Model))
	if did != cacheShared {
		h.Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	}
	if did == cacheStale {
		h.Set("X-Holdfast-Degraded", cacheStale)
	}
	in.ended(call.Outcome{Verdict: v, Status: a.Status}, a.Status, "provider", "")
	return in.held(a.Status, h, a.Body)
}

// held is an answer that is in memory.
func (in *incoming) held(status int, h http.Header, body []byte) *http.Response {
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return in.response(status, h, io.NopCloser(bytes.NewReader(body)), int64(len(body)))
}

// standIn is an old answer in place of an error that is not the request's own;
// nil when there is none, or the call may not have one.
func (in *incoming) standIn(o call.Outcome) *http.Response {
	r := in.recall
	if r == nil || r.why != "" || r.anew || in.turnedDown || o.CallersKey || o.Class.Row().SLO != call.SLOBad {
		return nil
	}
	a, age, _ := r.store.Get(r.key)
	if a == nil {
		return nil
	}
	return in.serve(a, age, cacheStale, good)
}

// swallow reads an answer to its end and puts what was read in its place. One
// that is larger than most, that breaks, or is a stream goes on as it was.
func swallow(resp *http.Response, most int64) (body []byte, whole bool) {
	if isStream(resp.Header) || resp.ContentLength > most {
		return nil, false
	}
	from := resp.Body
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(from, most+1))
	body = buf.Bytes()
	if err == nil && int64(len(body)) <= most {
		_ = from.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return body, true
	}
	rest := io.Reader(from)
	if err != nil {
		rest = broken{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), from}
	return nil, false
}

// broken is the end of an answer that did not come whole.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// answerOf is a whole answer as others may have it.
func (in *incoming) answerOf(resp *http.Response, body []byte) *cache.Answer {
	a := &cache.Answer{Status: resp.StatusCode, Header: http.Header{}, Body: body, Made: time.Now()}
	for _, name := range []string{"Content-Type", http.CanonicalHeaderKey(in.vendor.RequestID)} {
		for _, v := range resp.Header[name] {
			a.Header[name] = append(a.Header[name], strings.Clone(v)) // not all of the headers that it is a part of
		}
	}
	if n := len(in.state.Steps); n > 0 {
		last := in.state.Steps[n-1]
		a.Provider, a.Model = last.Target.Provider, strings.Clone(last.Model)
	}
	return a
}

// keep remembers a whole answer if it is a good one: in full, with nothing that it
// left at its account, and by whom the route wants to answer. A substitute's does
// not outlive the outage.
func (in *incoming) keep(r *recall, resp *http.Response, body []byte) {
	o := in.event.Outcome
	whole := o.Class == call.OK && o.Code == "" && resp.StatusCode == http.StatusOK && !in.made && plain(resp.Header) && (isJSON(resp.Header) || isStream(resp.Header))
	if n := len(in.state.Steps); whole && n > 0 && in.asPlanned(in.state.Steps[n-1].Target) {
		if cap(body)-len(body) > len(body)/8 { // what is kept takes what it counts
			body = bytes.Clone(body)
		}
		r.store.Put(r.key, in.answerOf(resp, body))
	}
}

// landing is how a call under way for several callers ended.
type landing struct {
	worker *incoming
	cancel context.CancelCauseFunc

	header   http.Header   // of the provider's answer: the leader's alone
	answer   *cache.Answer // whole: everybody's
	degraded string        // what X-Holdfast-Degraded says of it
	failure  *failure      // an error: everybody's

	mu   sync.Mutex
	resp *http.Response // an answer too large to be held: who comes first has it
}

// failure is an error before it is told to anybody.
type failure struct {
	problem *call.Problem // of ours; nil: the provider's own words
	wait    time.Duration
	outcome call.Outcome

	status         int
	header         http.Header
	body           []byte
	source, reason string
}

// errLate ends the waiting of a caller whose deadline has passed.
var errLate = errors.New("holdfast: the call's deadline has passed")

// share lets the call be one with those that are the same and under way. Its
// deadline and its leaving are its own; what the others do is theirs.
func (in *incoming) share(ctx context.Context) (*http.Response, error) {
	waits := ctx
	if !in.CommitBy.IsZero() {
		var stop context.CancelFunc
		waits, stop = context.WithDeadlineCause(ctx, in.CommitBy, errLate)
		defer stop()
	}
	w := in.worker(ctx)
	got, err := in.recall.flights.Do(waits, in.flight(), w.fly)
	if !got.Led {
		in.recall.did = cacheShared
	}
	if err == nil {
		return in.receive(ctx, got)
	}
	if got.Led && got.Landed {
		in.adopt(got.Result.worker)
	}
	if ctx.Err() != nil {
		return nil, in.left(ctx)
	}
	late := call.Outcome{Verdict: call.Verdict{Class: call.Timeout}, Clock: timeout.ClockCommitBy}
	return in.tellProblem(call.Problem{Reason: call.ReasonDeadlineExceeded, Class: call.Timeout, Request: in.ID}, late, 0), nil
}

// flight names the flight that the call may take: more urgent calls do not wait
// for less urgent ones, and one with a single attempt is not made for one that may
// have more.
func (in *incoming) flight() cache.Key {
	d := cache.NewDigest()
	d.Bytes(in.recall.key[:])
	d.Text(in.class().String())
	d.Text(strconv.FormatBool(in.NoRetry))
	return d.Key()
}

// worker is the call as it is made for everybody who waits for it: with the
// identity of the one who came first, and with no deadline but the route's.
func (in *incoming) worker(ctx context.Context) *incoming {
	w := &incoming{Call: in.Call, house: in.house, route: in.route, req: in.req.Clone(context.WithoutCancel(ctx)), dialect: in.dialect,
		vendor: in.vendor, named: in.named, mount: in.mount, guarded: in.guarded, who: in.who, pinKey: in.pinKey,
		talk: in.talk, talkTarget: in.talkTarget, talkKey: in.talkKey, shifted: in.shifted}
	w.state.Targets = slices.Clone(in.state.Targets)
	w.CommitBy = timeout.CommitBy(time.Now(), in.route.Timeout.Total, nil)
	w.landing = &landing{worker: w}
	w.recall = in.recall
	return w
}

// fly makes the call for everybody.
func (w *incoming) fly(ctx context.Context) *landing {
	l, r := w.landing, w.recall
	w.recall = nil // it belongs to the leader
	ctx, l.cancel = context.WithCancelCause(ctx)
	resp, err := w.ask(ctx)
	if err != nil || l.failure != nil {
		return l
	}
	body, whole := swallow(resp, int64(w.house.config.MaxAnswer))
	if !whole {
		l.resp = resp
		context.AfterFunc(ctx, func() { // nobody wants it
			if resp := l.claim(); resp != nil {
				_ = resp.Body.Close()
			}
		})
		return l
	}
	l.header, l.answer, l.degraded = resp.Header, w.answerOf(resp, body), resp.Header.Get("X-Holdfast-Degraded")
	w.keep(r, resp, body)
	return l
}

// crash ends the call with an error that those who wait for it tell, each in its
// own words. The answer is nobody's.
func (w *incoming) crash(f *failure) *http.Response {
	w.landing.failure = f
	w.ended(f.outcome, f.status, f.source, f.reason)
	return w.held(http.StatusBadGateway, http.Header{}, nil)
}

// claim takes the answer that only one can have.
func (l *landing) claim() *http.Response {
	l.mu.Lock()
	defer l.mu.Unlock()
	resp := l.resp
	l.resp = nil
	return resp
}

// adopt makes what was done for the call its own. It gives nothing back: that is
// done.
func (in *incoming) adopt(w *incoming) {
	in.state.Attempts, in.state.Steps = w.state.Attempts, w.state.Steps
	in.place, in.gates, in.asks, in.turnedDown = w.place, w.gates, w.asks, w.turnedDown
	in.gave = true
}

// receive answers with how the flight ended. What cannot be shared, the leader's
// own limits and answers too large to be held, is for the leader; the others go
// alone.
func (in *incoming) receive(ctx context.Context, got cache.Landing[*landing]) (*http.Response, error) {
	l := got.Result
	if resp := l.claim(); resp != nil {
		return in.takeOver(ctx, l, resp, got.Led), nil
	}
	w := l.worker
	switch {
	case l.answer == nil && l.failure == nil || w.turnedDown && !got.Led:
		in.recall.did = cacheMiss
		return in.alone(ctx)
	case got.Led:
		in.adopt(w)
	}
	switch o := w.event.Outcome; {
	case l.failure != nil:
		return in.replay(l.failure), nil
	case got.Led:
		in.stamp(l.header)
		in.ended(o, l.answer.Status, "provider", "")
		return in.held(l.answer.Status, l.header, l.answer.Body), nil
	default:
		resp := in.serve(l.answer, 0, cacheShared, o.Verdict)
		if l.degraded != "" {
			resp.Header.Set("X-Holdfast-Degraded", l.degraded)
		}
		return resp, nil
	}
}

// replay tells an error to one of those who waited, in its own words.
func (in *incoming) replay(f *failure) *http.Response {
	if f.problem != nil {
		p := *f.problem
		p.Request = in.ID
		return in.tellProblem(p, f.outcome, f.wait)
	}
	h := f.header.Clone()
	for _, name := range []string{"X-Should-Retry", "Retry-After", "X-Holdfast-Retry-After-S"} {
		h.Del(name)
	}
	in.retryHeaders(h, call.ReasonUpstreamExhausted, f.outcome.Wait)
	return in.whole(f.status, h, f.body, f.outcome, f.source, f.reason)
}

// takeOver passes an answer on that is too large to be held, to the one caller
// who has it.
func (in *incoming) takeOver(ctx context.Context, l *landing, resp *http.Response, led bool) *http.Response {
	w := l.worker
	if led {
		in.adopt(w)
	} else {
		resp.Header.Del("X-Holdfast-Attempt-Log")
	}
	in.stamp(resp.Header)
	stop := context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	var once sync.Once
	resp.Body = &passing{resp.Body, func() {
		once.Do(func() {
			stop()
			in.ended(w.event.Outcome, resp.StatusCode, "provider", w.event.Reason)
		})
	}}
	resp.Request = in.req
	return resp
}

// passing is a body that tells when it has ended.
type passing struct {
	io.ReadCloser
	over func()
}

func (p *passing) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if err != nil {
		p.over()
	}
	return n, err
}

func (p *passing) Close() error {
	err := p.ReadCloser.Close()
	p.over()
	return err
}
