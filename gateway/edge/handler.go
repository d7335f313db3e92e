package edge

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
)

// Config says how a Handler treats its callers. A zero field means the default
// beside it; Transport is required.
type Config struct {
	Transport http.RoundTripper // answers the calls

	MaxBody   func() int64  // largest request body that is buffered, in bytes; nil or 0: 32 MiB
	Buffers   int64         // all buffered bodies together, in bytes; 256 MiB
	BodyTime  time.Duration // a body that is buffered must be here in this time; 5m
	BodyGrace time.Duration // how long a body may wait before the minimum rate counts; 10s
	BodyRate  int64         // the minimum rate of a body, in bytes per second of waiting; 500

	WriteStall func() time.Duration // a caller who does not read, or pauses while sending, for this long is cut; nil or 0: 60s

	Secrets func() []string // never told to callers, should a provider send them back; those under 8 bytes are words; nil: none

	// Keys are the client keys in force. required false: everybody may call; a nil
	// Set although keys are required: nobody may, for now (503). nil: no keys.
	Keys func() (set *keys.Set, required bool)
	// Route names the route that takes a model, "" for none; for keys that may not
	// use everything. nil: no route does.
	Route func(model string) string
	// Tool names the route whose tool stands at a path, "" for none; for the same
	// keys. nil: no tool stands anywhere.
	Tool func(path string) string

	// Proxies are the networks of the proxies whose X-Forwarded-For and Forwarded
	// are believed. nil: nobody's.
	Proxies func() []netip.Prefix

	// Named reports whether a caller may use a host, without its port and in lower
	// case, for this address. nil: every name is good.
	Named func(host string) bool

	Realtime func() bool // WebSockets on /v1/realtime are tunnelled; nil: refused with 426

	Models func() []string   // names that GET /v1/models lists, in order; nil: none
	Record func(*call.Event) // hears of calls that are refused here, as CallEnded; must not block; nil: nobody does
	Log    *slog.Logger      // panics and broken answers; nil: nobody hears of them
}

func (c Config) withDefaults() Config {
	if c.MaxBody == nil {
		c.MaxBody = func() int64 { return 0 }
	}
	if c.Record == nil {
		c.Record = func(*call.Event) {}
	}
	if c.Buffers <= 0 {
		c.Buffers = 256 << 20
	}
	if c.BodyTime <= 0 {
		c.BodyTime = 5 * time.Minute
	}
	if c.BodyGrace <= 0 {
		c.BodyGrace = 10 * time.Second
	}
	if c.BodyRate <= 0 {
		c.BodyRate = 500
	}
	if c.Secrets == nil {
		c.Secrets = func() []string { return nil }
	}
	if c.WriteStall == nil {
		c.WriteStall = func() time.Duration { return 0 }
	}
	if c.Models == nil {
		c.Models = func() []string { return nil }
	}
	if c.Proxies == nil {
		c.Proxies = func() []netip.Prefix { return nil }
	}
	if c.Tool == nil {
		c.Tool = func(string) string { return "" }
	}
	if c.Route == nil {
		c.Route = func(string) string { return "" }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) writeStall() time.Duration { return cmp.Or(c.WriteStall(), time.Minute) }

// Handler answers calls through a Transport. It is safe for concurrent use.
type Handler struct {
	config  Config
	buffers budget
	origins *http.CrossOriginProtection
	started time.Time
	looked  atomic.Pointer[wanted] // as last asked for
}

// invalid is the error type, in both vocabularies, of what the caller should not
// have sent.
const invalid = "invalid_request_error"

// New returns a Handler. It panics when c.Transport is nil, which is a mistake
// in the program.
func New(c Config) *Handler {
	if c.Transport == nil {
		panic("edge: no Transport")
	}
	c = c.withDefaults()
	return &Handler{config: c, buffers: budget{left: c.Buffers}, origins: http.NewCrossOriginProtection(), started: time.Now()}
}

const defaultMaxBody = 32 << 20

func (h *Handler) maxBody() int64 { return cmp.Or(h.config.MaxBody(), defaultMaxBody) }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := newReply(w, r, h.config.writeStall())
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		out.asked = &paced{ReadCloser: r.Body, control: out.control, config: &h.config}
	}
	defer out.finish()
	defer h.recover(out, r)
	problem := odd(r)
	if problem == nil {
		problem = h.misdirected(r)
	}
	if problem != nil {
		h.refuse(out, r, *problem)
		return
	}
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		h.refuse(out, r, call.Problem{Status: http.StatusMethodNotAllowed, Type: invalid, Code: "method_not_allowed",
			Message: "The method " + r.Method + " is not served here."})
	case r.URL.Path == "/" && (r.Method == http.MethodHead || r.Method == http.MethodGet):
		out.Header().Set("Content-Type", "text/plain; charset=utf-8")
		out.WriteHeader(http.StatusOK) // SDKs and load balancers knock here
	default:
		h.known(out, r)
	}
}

// known answers a caller who may call.
func (h *Handler) known(out *reply, r *http.Request) {
	var problem *call.Problem
	if out.who, problem = h.authenticate(r); problem != nil {
		h.refuse(out, r, *problem)
		return
	}
	switch {
	case isUpgrade(r):
		h.upgrade(out, r)
	case h.origins.Check(r) != nil: // a web page somewhere must not spend what this machine may
		h.refuse(out, r, call.Problem{Status: http.StatusForbidden, Type: invalid, Code: "cross_origin",
			Message: "Web pages of other origins may not call this gateway."})
	case r.Method == http.MethodGet && isModels(r.URL.Path):
		h.models(out, r)
	default:
		h.forward(out, r)
	}
}

// refuse answers with an error of our own and tells the recorder: the Transport
// has never seen this call.
func (h *Handler) refuse(out *reply, r *http.Request, p call.Problem) {
	arrived := out.arrived
	p.Request = requestID()
	status := out.refuse(r, p)
	class := call.ClientError
	switch p.Reason {
	case call.ReasonShed, call.ReasonInternal, call.ReasonDraining:
		class = call.Refused
	}
	h.config.Record(&call.Event{
		Kind: call.CallEnded, At: time.Now(), Status: status, Source: "gateway", Reason: cmp.Or(p.Reason, call.ReasonBadRequest),
		Outcome: call.Outcome{Verdict: call.Verdict{Class: class, Scope: call.ScopeRequest, Code: p.Code}},
		Call:    &call.Call{ID: p.Request, Method: r.Method, Path: r.URL.Path, Op: operation(r), Arrived: arrived, Trace: traceparent(r)},
	})
}

// traceparent is the caller's trace, if it names exactly one.
func traceparent(r *http.Request) string {
	if all := r.Header["Traceparent"]; len(all) == 1 {
		return all[0]
	}
	return ""
}

// recover turns a panic into a 500, or into a broken connection when the answer
// has begun. http.ErrAbortHandler is no accident and passes through.
func (h *Handler) recover(out *reply, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
		panic(p)
	}
	h.config.Log.Error("panic while answering a request",
		"panic", panicText(p), "method", r.Method, "path", capped(r.URL.Path), "stack", stack())
	if out.began {
		panic(http.ErrAbortHandler)
	}
	h.refuse(out, r, call.Problem{Reason: call.ReasonInternal,
		Message: "The gateway failed while it answered this request."})
}

// forward sends the request through the Transport and its answer back.
func (h *Handler) forward(out *reply, r *http.Request) {
	body, release, problem := h.readBody(out, r)
	if problem != nil {
		h.refuse(out, r, *problem)
		return
	}
	defer release()
	if problem = ambiguous(r, body.buffered); problem != nil {
		h.refuse(out, r, *problem)
		return
	}
	if problem = h.permitted(&out.who, r, body.buffered); problem != nil {
		h.refuse(out, r, *problem)
		return
	}
	upstream, err := h.upstream(&out.who, r, body)
	if err != nil {
		h.refuse(out, r, call.Problem{Reason: call.ReasonBadRequest,
			Message: "The request's address cannot be used."})
		return
	}
	resp, err := h.config.Transport.RoundTrip(upstream)
	if err != nil {
		h.failed(out, r, err)
		return
	}
	h.answer(out, r, resp)
}

// answer gives the caller what the Transport returned. An answer that breaks off
// ends the connection: nothing may look whole that is not.
func (h *Handler) answer(out *reply, r *http.Request, resp *http.Response) {
	if err := out.relay(resp, h.wanted()); err != nil && r.Context().Err() == nil {
		h.config.Log.Debug("an answer broke off", "error", err.Error(), "request_id", resp.Header.Get("X-Holdfast-Request-Id"))
	}
	if out.broken {
		panic(http.ErrAbortHandler)
	}
}

// failed answers when the Transport returned an error. It does so only when the
// caller has gone, or in a way that is our own fault.
func (h *Handler) failed(out *reply, r *http.Request, err error) {
	if errors.Is(context.Cause(r.Context()), holdfast.ErrDraining) { // the caller is still there
		h.refuse(out, r, call.Problem{Reason: call.ReasonDraining,
			Message: "This gateway is shutting down; send the call to another one."})
		return
	}
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		h.config.Log.Warn("the transport ended a call", "error", err.Error())
	} else {
		h.config.Log.Error("the transport failed", "error", err.Error())
	}
	h.refuse(out, r, call.Problem{Reason: call.ReasonInternal,
		Message: "The gateway could not answer this request."})
}

// placeholder is the host of every request to the Transport: its routes say
// where a call goes. The name cannot exist (RFC 2606).
const placeholder = "holdfast.invalid"

// upstream returns the request that the Transport takes. It takes the headers
// of the caller's, which has no further use for most of them.
func (h *Handler) upstream(who *caller, r *http.Request, body *payload) (*http.Request, error) {
	address := addressOf(r, h.config.Proxies())
	ctx := holdfast.WithCaller(r.Context(), holdfast.Caller{Route: who.route,
		Key: who.Name, Tenant: who.Tenant, Priority: who.Priority, Address: address, Client: clientDigest(who, r, address)})
	req := (&http.Request{
		Method: r.Method,
		URL: &url.URL{
			Scheme: "http", Host: placeholder,
			Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
		},
		Host:   placeholder,
		Proto:  "HTTP/1.1",
		Header: r.Header,
	}).WithContext(ctx)
	endToEnd(req.Header)
	req.ProtoMajor, req.ProtoMinor = 1, 1
	if !strings.HasPrefix(req.URL.Path, "/") {
		return nil, errors.New("path does not begin with a slash")
	}
	body.attach(req)
	return req, nil
}

// clientDigest names the client without naming its credential: the digest of
// the credential, or of the address for a caller who sends none.
func clientDigest(who *caller, r *http.Request, address netip.Addr) string {
	if who.known {
		return "key " + who.Name
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		if value := r.Header.Get(name); value != "" {
			return digest(value)
		}
	}
	return digest("address " + address.String())
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func requestID() string { return "hf_" + rand.Text() }

func isUpgrade(r *http.Request) bool {
	return headerHas(r.Header, "Connection", "upgrade") && headerHas(r.Header, "Upgrade", "websocket")
}
