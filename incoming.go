package holdfast

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/dispatch"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/spend"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// The request headers that speak to Holdfast. None of them goes upstream.
const (
	headerTimeout    = "X-Holdfast-Timeout-Ms"
	headerNoRetry    = "X-Holdfast-No-Retry"
	headerNoFallback = "X-Holdfast-No-Fallback"
	headerPriority   = "X-Holdfast-Priority"
	headerRetryCount = "X-Stainless-Retry-Count"
)

// incoming is one call on its way through the house.
type incoming struct {
	call.Call
	house   *house
	route   *route
	req     *http.Request
	dialect call.Dialect     // the caller's: how refusals and broken streams are told
	vendor  *provider.Vendor // whose client asks
	named   bool             // the caller named the route, or its path does
	mount   string           // the part of the path that named it
	guarded bool             // requests and answers of this operation are read
	upgrade string           // the protocol the caller wants to switch to; "" none
	body    *upload          // streamed once; nil when buffered in Call.Body

	state   dispatch.State[*answer]
	place   *admission.Place // &seat, once inside
	seat    admission.Place
	who     caller               // as limits know them
	gates   []*gate              // the limits that the call falls under
	asks    []ratelimit.Ask      // what they said
	running []*concurrency.Limit // places held in limits of calls at once
	hold    *spend.Hold          // held of budgets; nil: nothing
	used    atomic.Int64         // tokens, of all attempts
	pinKey  string

	talk                uint64 // digest of the conversation; 0: it is none, or nobody wants to know
	talkTarget, talkKey string // who answered it last
	shifted             bool   // the route's shift moved it

	digest  [sha256.Size]byte
	hashed  bool
	counted bool
	gave    bool     // back what it held
	made    bool     // the answer left something at its account
	recall  *recall  // what the cache does with it; nil: the route has none
	landing *landing // it is made for several callers; nil: for its own

	lacks      atomic.Uint32 // what it waits for: forPermit, forQuota; 0 unknown
	turn       uint64        // number among the calls that wait for quota; 0 none yet
	placed     atomic.Bool   // it may have a place at an account whose quota it waited for
	turnedDown bool          // by a limit or a budget
	original   int           // the final error's status before the route's replaced it; 0 none

	event call.Event // the one that is told now; nobody keeps it

	// Room for what most calls need, so that it is not asked for piece by piece.
	gateRoom   [4]*gate
	askRoom    [4]ratelimit.Ask
	targetRoom [4]*call.Target
	sending    sending // the first attempt
}

// refusal is a call that ends before it began.
type refusal struct {
	reason, message string
}

// read makes a Call of a request. The request's body is consumed and closed,
// unless it is to be streamed.
func (h *house) read(req *http.Request) (*incoming, *refusal) {
	o := optionsFrom(req.Context())
	in := &incoming{house: h, req: req}
	in.ID, in.Arrived = newID(), time.Now()
	in.Method, in.Path = req.Method, req.URL.Path
	if trace := req.Header["Traceparent"]; len(trace) == 1 {
		in.Trace = trace[0]
	}
	in.Tenant, in.Client, in.Priority, in.who = o.tenant, o.client, o.priority, o.who
	in.NoRetry = o.noRetry || req.Header.Get(headerNoRetry) != ""
	in.NoMove = req.Header.Get(headerNoFallback) != ""
	if in.Client == "" {
		in.Client = credentialDigest(req.Header)
	}
	in.recognise()
	if refused := in.readBody(); refused != nil {
		closeBody(req)
		return in, refused
	}
	in.named = in.named || o.route != ""
	if refused := in.chooseRoute(o.route); refused != nil {
		return in, refused
	}
	in.Route = in.route.Name
	in.CommitBy = timeout.CommitBy(in.Arrived, in.route.Timeout.Total, req.Header)
	in.clientRetry()
	return in, in.pin()
}

// newID returns a request id: 130 random bits.
func newID() string { return "hf_" + rand.Text() }

func credentialDigest(h http.Header) string {
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key"} {
		if v := h.Get(name); v != "" {
			sum := sha256.Sum256([]byte(v))
			return hex.EncodeToString(sum[:16])
		}
	}
	return ""
}

// recognise finds out which dialect's operation this is.
func (in *incoming) recognise() {
	if r, prefix := in.house.mounted(in.Path); r != nil {
		in.route, in.mount, in.named = r, prefix, true
		in.passThrough()
		return
	}
	if v, ep := all.Reading(in.Method, in.Path); v != nil {
		in.Op, in.dialect, in.vendor, in.guarded = ep.Op, ep.Dialect, v, true
		in.Request.Model = ep.Model
		in.Safe = true
		return
	}
	in.passThrough()
}

// passThrough is a request that is not read.
func (in *incoming) passThrough() {
	in.vendor = all.Claiming(in.req.Header, in.Path)
	in.dialect = in.vendor.Dialect
	if in.upgrade = upgradeOf(in.req); in.upgrade != "" {
		in.NoRetry = true // a conversation of its own begins: one attempt
	}
	if strings.HasSuffix(in.Path, realtimePath) {
		in.Request.Model = in.req.URL.Query().Get("model")
	}
	switch in.Method {
	case http.MethodPost, http.MethodPatch, http.MethodConnect:
		in.Safe = in.req.Header.Get("Idempotency-Key") != ""
	default: // RFC 9110, 9.2.2: asking again changes nothing
		in.Safe = true
	}
}

// asked is the address that the caller asked for, without the part of the path
// that chose the route.
func (in *incoming) asked() *url.URL {
	if in.mount == "" {
		return in.req.URL
	}
	u := *in.req.URL
	u.Path = strings.TrimPrefix(u.Path, in.mount)
	u.RawPath = strings.TrimPrefix(u.RawPath, in.mount)
	return &u
}

// vendorFor returns the vendor whose tables fit a request to a host nobody
// configured.
func vendorFor(req *http.Request) string {
	if v := all.ByHost(req.URL.Hostname()); v != nil {
		return v.Name
	}
	return all.Claiming(req.Header, req.URL.Path).Name
}

func known(host string) bool { return all.ByHost(host) != nil }

// readBody buffers the body, so that it can be sent again, and looks at it.
func (in *incoming) readBody() *refusal {
	req, limit := in.req, in.house.config.MaxBody
	if req.Body == nil || req.Body == http.NoBody {
		in.Replay = true
	} else if !in.guarded && (req.ContentLength < 0 || req.ContentLength > limit || multipart(req)) {
		in.body = &upload{ReadCloser: req.Body}
		return nil
	} else {
		body, err := readBounded(req, limit)
		closeBody(req)
		switch {
		case errors.Is(err, errTooLarge):
			return &refusal{call.ReasonTooLarge, "The request body is larger than " + strconv.FormatInt(limit, 10) + " bytes."}
		case err != nil:
			return &refusal{call.ReasonBadRequest, "The request body could not be read to its end."}
		}
		in.Body, in.Replay = body, true
	}
	if !in.guarded {
		return nil
	}
	byPath := in.Request.Model
	if err := in.dialect.Read(in.Body, &in.Request); err != nil {
		return &refusal{call.ReasonBadRequest, "The request body cannot be read: " + err.Error() + "."}
	}
	if in.Request.Model == "" {
		in.Request.Model = byPath
	}
	return nil
}

// upload is a body that streams past us to the provider. It remembers whether
// the caller's side broke, which is no fault of the provider's.
type upload struct {
	io.ReadCloser
	broken atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		u.broken.Store(true)
	}
	return n, err
}

func multipart(req *http.Request) bool {
	return strings.HasPrefix(req.Header.Get("Content-Type"), "multipart/")
}

var errTooLarge = errors.New("body too large")

// readBounded reads the body; a length that was told is refused unread when it
// is too large.
func readBounded(req *http.Request, limit int64) ([]byte, error) {
	if req.ContentLength > limit {
		return nil, errTooLarge
	}
	if b, ok := req.Body.(interface{ Bytes() []byte }); ok { // an edge that has it all
		if body := b.Bytes(); int64(len(body)) <= limit {
			return body, nil
		}
		return nil, errTooLarge
	}
	var buf bytes.Buffer
	if req.ContentLength > 0 {
		buf.Grow(int(req.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(req.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

// chooseRoute finds the route: the host the request names when nothing is
// configured, the named one, the one for the model, or for a path nobody reads
// the only provider of its dialect.
func (in *incoming) chooseRoute(name string) *refusal {
	h := in.house
	if in.route != nil { // a tool stands at the path, whatever else is named
		if name != "" && name != in.route.Name {
			return &refusal{call.ReasonUnknownRoute, "The path " + strconv.Quote(short(in.Path)) + " belongs to another route than the one that is named."}
		}
		return nil
	}
	if len(h.routes) == 0 {
		if in.req.URL.Host == "" {
			return &refusal{call.ReasonUnknownRoute, "The request names no host and no route is configured."}
		}
		in.route = h.guarded(in.req)
		return nil
	}
	if name == "" && !in.guarded && in.Request.Model == "" {
		if in.route = h.routeOfState(in.Path); in.route == nil {
			in.route = h.passThrough(in.vendor)
		}
		if in.route == nil {
			return &refusal{call.ReasonUnknownRoute, "No single provider is configured for the path " + strconv.Quote(in.Path) + "; only the paths of chat, responses, embeddings and messages are routed by model."}
		}
		return nil
	}
	if in.route = h.find(name, in.Request.Model); in.route == nil {
		return &refusal{call.ReasonUnknownRoute, "No route is configured for the model " + strconv.Quote(short(in.Request.Model)) + "."}
	}
	return nil
}

func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// passThrough returns a route to the only provider whose vendor speaks the
// dialect, nil when there is none or more than one.
func (h *house) passThrough(want *provider.Vendor) *route {
	var found *route
	address := ""
	for _, r := range h.routes {
		for _, p := range r.posts {
			if d := p.vendor.Dialect; d == nil || d.Name() != want.Dialect.Name() {
				continue
			}
			if found != nil && address != p.target.URL.String() {
				return nil
			}
			if found == nil {
				found, address = r, p.target.URL.String()
			}
		}
	}
	return found
}

// routeOfState returns the route with the target that made what a path names, nil
// when nobody remembers it.
func (h *house) routeOfState(path string) *route {
	for _, id := range pathIDs(path) {
		name, _, ok := h.memory.pool.Pinned(id)
		if !ok {
			continue
		}
		for _, r := range h.routes {
			for _, p := range r.posts {
				if p.target.Name == name {
					return r
				}
			}
		}
	}
	return nil
}

// clientRetry gives a client that is itself retrying one attempt: its retries
// must not multiply ours.
func (in *incoming) clientRetry() {
	if n := retryCount(in.req.Header); n >= 1 {
		in.ClientRetry, in.NoRetry = n, true
		in.tell(&call.Event{Kind: call.ClientRetried, Reason: "header"})
		return
	}
	m := in.house.memory.clients
	if in.Replay && len(in.Body) > 0 && m.Recent() && m.Seen(in.Client, in.hash()) {
		in.NoRetry = true
		in.tell(&call.Event{Kind: call.ClientRetried, Reason: "digest"})
	}
}

// retryCount is how often the client's SDK has tried this call before.
func retryCount(h http.Header) int {
	text := h.Get(headerRetryCount)
	if text == "" || text == "0" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

func (in *incoming) hash() [sha256.Size]byte {
	if !in.hashed {
		in.digest, in.hashed = retry.Digest(in.req.URL.RequestURI(), in.Body), true
	}
	return in.digest
}

// pin orders the targets for this call. A call that refers to state of one
// account goes to the target and key that made it, else to the route's primary,
// and stays there.
func (in *incoming) pin() *refusal {
	var able []*call.Target
	for i, t := range in.route.targets {
		if in.eligible(in.route.posts[i].vendor) {
			able = append(able, t)
		}
	}
	if len(able) == 0 {
		return &refusal{call.ReasonNoTarget, "No target of route " + strconv.Quote(in.route.Name) + " speaks the " + in.dialect.Name() + " dialect."}
	}
	in.Safe = in.Safe || in.idempotent(able)
	pool := in.house.memory.pool
	refs := in.Request.Refs
	if !in.guarded {
		refs = pathIDs(in.Path)
	}
	for _, id := range refs {
		name, key, ok := pool.Pinned(id)
		if !ok {
			continue
		}
		for _, t := range able {
			if t.Name == name && (key == "" || keyNamed(t, key) != nil) {
				in.pinKey = key
				in.stay(t)
				return nil
			}
		}
	}
	if in.NoMove || in.Request.Pinned || in.guarded && len(refs) > 0 {
		in.stay(able[0])
		return nil
	}
	in.arrange(able)
	return nil
}

// idempotent reports whether every target that may be asked promises that
// repeating cannot act twice.
func (in *incoming) idempotent(able []*call.Target) bool {
	for _, t := range able {
		if !in.route.byTarget[t].idempotent {
			return false
		}
	}
	return true
}

func (in *incoming) stay(t *call.Target) {
	in.state.Targets = []*call.Target{t}
	in.NoMove = true
}

// eligible reports whether a vendor speaks the caller's dialect. A tool speaks
// none: it is asked what its route is named for, and nothing else.
func (in *incoming) eligible(v *provider.Vendor) bool {
	ep := v.Endpoint(in.Method, in.Path)
	if !in.guarded {
		if v.Dialect == nil {
			return in.named
		}
		return v.Dialect.Name() == in.vendor.Dialect.Name() || len(in.house.routes) == 0
	}
	return ep.Dialect != nil && ep.Op == in.Op
}

// pathIDs returns the parts of a path that may name provider-side state.
func pathIDs(path string) []string {
	var ids []string
	for part := range strings.SplitSeq(path, "/") {
		if part, err := url.PathUnescape(part); err == nil && len(part) >= 8 && strings.ContainsAny(part, "_-") {
			ids = append(ids, part)
		}
	}
	return ids
}

// now is the time, for half the price of time.Now: a call asks often.
func (in *incoming) now() time.Time { return in.Arrived.Add(time.Since(in.Arrived)) }

// tell gives an event about this call to the recorder.
func (in *incoming) tell(e *call.Event) {
	if e.Call = &in.Call; e.At.IsZero() {
		e.At = in.now()
	}
	in.house.memory.record(e)
}
