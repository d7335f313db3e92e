package holdfast

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/stream"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// maxErrorBody is how much of a provider's error answer is kept, in bytes.
const maxErrorBody = 1 << 20

// sending is one attempt: the gates it passed, its clocks and its end.
type sending struct {
	in       *incoming
	post     *post
	upstream call.Upstream
	number   int
	first    bool // the call's first attempt on this target
	permit   breaker.Permit
	held     quota.Reservation
	clocks   timeout.Clocks
	ctx      context.Context
	cancel   context.CancelCauseFunc
	began    time.Time
	sent     atomic.Bool // request bytes may have left
	crossed  atomic.Bool // the slow threshold passed before any content
	outcome  call.Outcome
	answered string     // the model that the answer names
	event    call.Event // told at its end; nobody keeps it
}

// answer is what an attempt returned: open, or failed with or without words of
// the provider.
type answer struct {
	sending *sending
	resp    *http.Response  // nil when there was none; its Body is not to be read
	attempt *stream.Attempt // open
	tunnel  *tunnel         // open, and another protocol
	body    []byte          // the provider's error, whole
	fault   *stream.Fault   // a 2xx that broke before its commit point
}

// try is one attempt: the gates, then translation, credential, transport.
func (in *incoming) try(ctx context.Context, _ *call.Call, u call.Upstream, n int, first, force bool) (*answer, bool, call.Outcome, error) {
	s, err := in.admit(ctx, u, n, first, force)
	if err != nil {
		return nil, false, call.Outcome{}, err
	}
	a := s.send()
	return a, a.attempt != nil || a.tunnel != nil, s.outcome, nil
}

// admit passes an attempt's gates, in order: concurrency permit, quota, breaker
// permit (last, so that a half-open probe is never held by a waiter), clocks.
func (in *incoming) admit(ctx context.Context, u call.Upstream, n int, first, force bool) (*sending, error) {
	p := in.route.byTarget[u.Target]
	streamed := in.body != nil
	if !p.acquire(streamed) {
		return nil, dispatch.ErrBusy
	}
	held, err := in.reserve(p, u)
	if err != nil {
		p.release(streamed)
		return nil, err
	}
	if in.place != nil {
		in.place.Took() // the next of those who wait may be asked
	}
	s := &in.sending
	if s.in != nil { // taken: this is another attempt
		s = &sending{}
	}
	s.in, s.post, s.upstream, s.number, s.first, s.held = in, p, u, n, first, held
	s.began = in.now()
	if err := p.breaker(u.Model).AdmitTo(&s.permit, force); err != nil {
		held.Return()
		p.release(streamed)
		return nil, closed(err)
	}
	if first {
		p.budget.ReachedAt(s.began)
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	limits := s.limits()
	var slow func()
	if limits.Slow > 0 {
		slow = s.slow
	}
	s.clocks.Start(s.began, limits, s.cancel, slow)
	return s, nil
}

func closed(err error) error {
	var open *breaker.OpenError
	if errors.As(err, &open) {
		return &dispatch.ClosedError{Wait: open.Wait}
	}
	shed := errors.Is(err, breaker.ErrShed)
	return &dispatch.ClosedError{Shed: shed, Soft: !shed}
}

// limits are the attempt's clocks: the route's, cut to the call's deadline.
func (s *sending) limits() timeout.Limits {
	in := s.in
	reasoning := s.reasoning()
	l := in.route.Timeout.Limits(&in.Request, reasoning)
	if in.upgrade != "" { // both sides may be silent for as long as they like
		l.Idle = 0
		l.StreamTotal = max(in.route.Timeout.StreamTotal, 0)
	}
	if in.body != nil { // an upload may take as long as a call may
		l.Attempt = max(in.route.Timeout.Total, 0)
	}
	if !in.CommitBy.IsZero() {
		left := max(in.CommitBy.Sub(s.began), time.Nanosecond)
		if l.Attempt == 0 || left < l.Attempt {
			l.Attempt = left
		}
	}
	if in.Request.Stream && s.post.slow > 0 {
		l.Slow = s.post.slow
		if reasoning {
			l.Slow = max(l.Slow, l.FirstToken*6/10)
		}
	}
	return l
}

func (s *sending) reasoning() bool {
	return s.upstream.Target.Reasoning || s.post.vendor.Reasoning(s.upstream.Model)
}

// slow is told when the slow threshold passes before any content.
func (s *sending) slow() {
	s.crossed.Store(true)
	s.permit.Slow()
}

// send sends the request and reads up to the commit point.
func (s *sending) send() *answer {
	req, err := s.request()
	if err != nil {
		return s.failed(err)
	}
	resp, err := s.in.house.config.Transport.RoundTrip(req)
	if err != nil {
		return s.failed(err)
	}
	s.sent.Store(true)
	s.clocks.Headers()
	s.held.Headers(resp.Header)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return s.dig(resp)
	}
	if resp.StatusCode >= 300 || resp.StatusCode < 200 {
		return s.refusedBy(resp)
	}
	a := &answer{sending: s, resp: resp}
	attempt := stream.NewAttempt(s.source(resp))
	if a.fault = attempt.Open(); a.fault == nil {
		a.attempt = attempt
	}
	return a
}

// request makes the upstream request: a clone, at the target's address, with
// the target's model and credential, and without what was said to Holdfast.
func (s *sending) request() (*http.Request, error) {
	in, t := s.in, s.upstream.Target
	ctx := httptrace.WithClientTrace(s.ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { s.clocks.Connecting() },
		GotConn:      func(httptrace.GotConnInfo) { s.clocks.Connected() },
		WroteHeaders: func() { s.sent.Store(true) },
	})
	req := in.req.WithContext(ctx)
	req.Header = copied(in.req.Header)
	req.URL = s.post.vendor.URL(provider.Place{Base: t.URL, Asked: in.asked(), Model: s.upstream.Model, Version: s.post.version})
	if !strings.EqualFold(req.URL.Host, in.req.URL.Host) {
		req.Host = ""
	}
	req.RequestURI = ""
	s.headers(req)
	if in.upgrade != "" {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", in.upgrade)
	}
	if !in.guarded && in.Request.Model != "" && s.upstream.Model != in.Request.Model {
		query := req.URL.Query()
		query.Set("model", s.upstream.Model)
		req.URL.RawQuery = query.Encode()
	}
	if in.body != nil {
		req.Body = in.body
		return req, nil
	}
	parts := [][]byte{in.Body}
	if in.guarded && s.upstream.Model != in.Request.Model {
		spliced, ok := call.Value(in.Body).Splice("model", s.upstream.Model)
		switch {
		case ok:
			parts = spliced
		case s.post.vendor.Address == nil: // else the address has said it
			return nil, errors.New("holdfast: the request names no model to replace")
		}
	}
	carry(req, parts)
	return req, nil
}

// copied returns a copy of a caller's headers without those of one connection and
// those that were for Holdfast. The values are shared: nobody may change one, only
// put another one in its place.
func copied(from http.Header) http.Header {
	to := make(http.Header, len(from)+2) // Accept-Encoding and a credential
	for name, values := range from {
		if !connectionOnly(name) && !speaksToUs(name) {
			to[name] = values[:len(values):len(values)]
		}
	}
	withoutNamed(to, from["Connection"])
	return to
}

// smallBody is up to where a body in parts is copied into one piece, in bytes: a
// write less. A larger one is sent as it lies.
const smallBody = 64 << 10

// carry gives a request the body that the parts make together.
func carry(req *http.Request, parts [][]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	req.ContentLength, req.TransferEncoding = int64(size), nil
	req.Body, req.GetBody = nil, nil
	if size == 0 {
		return
	}
	if len(parts) > 1 && size <= smallBody {
		parts = [][]byte{bytes.Join(parts, nil)}
	}
	req.GetBody = func() (io.ReadCloser, error) {
		if len(parts) == 1 {
			return io.NopCloser(bytes.NewReader(parts[0])), nil
		}
		readers := make([]io.Reader, len(parts))
		for i, p := range parts {
			readers[i] = bytes.NewReader(p)
		}
		return io.NopCloser(io.MultiReader(readers...)), nil
	}
	req.Body, _ = req.GetBody()
}

// identity is shared by all requests: nobody may change it.
var identity = []string{"identity"}

// speaksToUs reports whether a header is one of ours, in any spelling: a server
// may take an underscore for a hyphen.
func speaksToUs(name string) bool {
	const ours = "x-holdfast-"
	if len(name) < len(ours) || name[0]|0x20 != 'x' {
		return false
	}
	return strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), ours)
}

// headers puts in what is not the caller's to say, the credential last.
func (s *sending) headers(req *http.Request) {
	h, t := req.Header, s.upstream.Target
	if change := s.in.house.config.Headers; change != nil {
		change(h, &s.in.Call, s.number)
	}
	if s.in.guarded {
		h["Accept-Encoding"] = identity // answers are read as they come
	}
	if s.upstream.Key != nil {
		s.post.vendor.Sign(h, s.upstream.Key.Secret)
	} else if !s.meantFor(t) { // a credential travels only to the host it was meant for
		provider.StripCredentials(h)
	}
}

// meantFor reports whether the caller's own credential was meant for a target:
// for the host its request names, or, where the gateway passes credentials on,
// for the host of the route's primary.
func (s *sending) meantFor(t *call.Target) bool {
	if strings.EqualFold(t.URL.Host, s.in.req.URL.Host) {
		return true
	}
	first := s.in.primary()
	return s.post.pass && first != nil && s.in.route.byTarget[first].pass && strings.EqualFold(first.URL.Host, t.URL.Host)
}

// failed ends an attempt that got no answer.
func (s *sending) failed(err error) *answer {
	o := call.Outcome{Sent: s.sent.Load(), Err: err}
	var clock *timeout.Error
	switch cause := context.Cause(s.ctx); {
	case errors.As(cause, &clock):
		o.Class, o.Clock = call.Timeout, clock.Clock
	case cause != nil:
		o.Class = call.Canceled
	case s.in.body != nil && s.in.body.broken.Load():
		o.Class = call.ClientError // the caller's framing, not the provider
	default:
		o.Class = call.Transport
	}
	s.end(o)
	return &answer{sending: s}
}

// refusedBy ends an attempt that the provider answered with an error status.
func (s *sending) refusedBy(resp *http.Response) *answer {
	s.clocks.Reading(true)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil && context.Cause(s.ctx) != nil {
		_ = resp.Body.Close()
		return s.failed(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // what little is left lets the connection serve again
	_ = resp.Body.Close()
	v := s.post.vendor.Classify(provider.Evidence{Status: resp.StatusCode, Header: resp.Header, Body: body, PassThrough: !s.in.guarded, Now: time.Now()})
	v.CallersKey = v.Class == call.Auth && s.upstream.Key == nil
	s.end(call.Outcome{Verdict: v, Status: resp.StatusCode, Sent: true, Bytes: int64(len(body))})
	return &answer{sending: s, resp: resp, body: body}
}

// source says how the body of a 2xx answer is to be read.
func (s *sending) source(resp *http.Response) stream.Source {
	src := stream.Source{
		Body: resp.Body, Status: resp.StatusCode, Request: &s.in.Request, Op: s.in.Op, Strict: s.post.strict, Sent: s.began,
		Linger: s.in.route.Timeout.Linger, Clocks: &s.clocks, Context: s.ctx, Cancel: s.cancel, FirstToken: s.firstToken,
		Classify: s.classify, End: s.end,
	}
	if src.Linger <= 0 {
		src.Linger = time.Second
	}
	if !s.in.guarded {
		if s.in.Method == http.MethodPost && plain(resp.Header) && isJSON(resp.Header) {
			src.Head = s.made
		}
		return src
	}
	if !plain(resp.Header) {
		return src
	}
	src.Dialect = s.post.vendor.Endpoint(s.in.Method, s.in.Path).Dialect
	src.Framing = s.framing(resp)
	return src
}

// made remembers who made what an unread answer speaks of: a file, a batch, a
// container, a vector store. Its id stands near the beginning.
func (s *sending) made(head []byte) {
	_ = call.Value(head).Members(func(key []byte, val call.Value) bool {
		if string(key) != "id" {
			return true
		}
		if ids := pathIDs(val.Text()); len(ids) == 1 {
			s.pin(ids[0])
		}
		return false
	})
}

// pin remembers that this target and key made what the id names.
func (s *sending) pin(id string) {
	s.in.house.memory.pool.Pin(id, s.upstream.Target.Name, s.upstream.KeyName())
}

func isJSON(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/json")
}

func plain(h http.Header) bool {
	e := h.Get("Content-Encoding")
	return e == "" || strings.EqualFold(e, "identity")
}

// framing chooses by the answer's content type. An answer that was asked for as
// a stream and is none is read whole, and judged for it.
func (s *sending) framing(resp *http.Response) stream.Framing {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "text/event-stream":
		return stream.NewSSE()
	case "application/x-ndjson", "application/jsonl":
		return stream.NewNDJSON()
	case "application/vnd.amazon.eventstream":
		return stream.NewEventStream()
	}
	return stream.NewWhole(s.in.house.config.MaxAnswer)
}

// firstToken is told at the first meaningful event.
func (s *sending) firstToken(after time.Duration) {
	s.permit.FirstToken()
	s.post.wake() // a half-open probe has given its lease back
	if s.in.Request.Stream {
		s.in.house.memory.pool.Observe(s.upstream, after)
		if s.post.limit.FirstToken(s.in.Request.InputTokens, after) {
			s.post.wake()
		}
	}
}

// classify names how a 2xx answer ended.
func (s *sending) classify(f *stream.Fault, st *call.Stream) call.Verdict {
	s.answered = st.Model
	committed := st.Content || st.Finishes > 0 || st.Ended
	broken := func(before call.Class) call.Verdict {
		if committed {
			return call.Verdict{Class: call.Truncated, Code: f.Kind.String()}
		}
		return call.Verdict{Class: before, Code: f.Kind.String()}
	}
	if f == nil {
		if st.Policy != "" {
			return call.Verdict{Class: call.PolicyViolation, Scope: call.ScopeRequest, Category: st.Policy}
		}
		return call.Verdict{Class: call.OK, Code: st.Note}
	}
	switch f.Kind {
	case stream.InBand:
		v := s.post.vendor.Classify(provider.Evidence{InBand: true, Problem: f.Problem, Header: http.Header{}, Now: time.Now()})
		if v.Class == call.Unclassified {
			v.Class = call.ProviderFault
		}
		return v
	case stream.Left, stream.Draining:
		return call.Verdict{Class: call.Canceled}
	case stream.Cut:
		return broken(call.Transport)
	case stream.Clock:
		return broken(call.Timeout)
	case stream.Unterminated:
		return call.Verdict{Class: call.Truncated, Code: f.Kind.String()}
	default:
		return broken(call.BadResponse)
	}
}

// end ends the attempt, once: every gate it passed hears how.
func (s *sending) end(o call.Outcome) {
	s.clocks.Stop()
	s.cancel(nil)
	in, p := s.in, s.post
	now := in.now()
	if o.Duration == 0 {
		o.Duration = now.Sub(s.began)
	}
	if o.Class == call.Timeout && !in.CommitBy.IsZero() && !now.Before(in.CommitBy) {
		o.Clock = timeout.ClockCommitBy
	}
	o.Slow = s.wasSlow(o)
	o.Code, o.Category, s.answered = s.unspoken(o.Code), s.unspoken(o.Category), s.unspoken(s.answered)
	s.outcome = o
	s.cost(&o)
	s.permit.EndAt(now, blame(o))
	s.held.End(o)
	s.observeEnd(o)
	p.release(in.body != nil)
	in.house.memory.pool.Report(s.upstream, o)
	if o.Class == call.OK {
		s.remember()
	}
	if s.first && o.Class == call.OK {
		p.budget.SuccessAt(now, in.Tokens())
	}
	p.count(o.Class)
	t := s.upstream.Target
	s.event = call.Event{Kind: call.AttemptEnded, At: now, Target: t.Name, Provider: t.Provider, Model: t.Model, Answered: s.answered, Key: s.upstream.KeyName(), Attempt: s.number, Outcome: o, Status: o.Status}
	in.tell(&s.event)
	p.wake()
}

// unspoken is a word of the provider's for listeners, who write it down: one in
// which a credential stands is not passed on.
func (s *sending) unspoken(word string) string {
	if word == "" {
		return word
	}
	if s.upstream.Key != nil && s.upstream.Key.Secret != "" && strings.Contains(word, string(s.upstream.Key.Secret)) {
		return "hidden"
	}
	for _, name := range provider.CredentialHeaders {
		value := strings.TrimPrefix(s.in.req.Header.Get(name), "Bearer ")
		if len(value) >= 8 && strings.Contains(word, value) {
			return "hidden"
		}
	}
	return word
}

// wasSlow says whether an attempt that somebody else ended had been hanging: an
// impatient caller must not hide a provider that is.
func (s *sending) wasSlow(o call.Outcome) bool {
	if s.crossed.Load() || o.Committed {
		return s.crossed.Load()
	}
	if o.Class != call.Canceled && o.Clock != timeout.ClockCommitBy || s.post.slow <= 0 {
		return false
	}
	usual := s.in.house.memory.pool.Typical(s.upstream.Target.Name, s.upstream.Model)
	return o.Duration >= max(s.post.slow, 4*usual)
}

// blame is the outcome as the breaker hears it: a deadline that the caller set
// is no fault of the target, unless it was hanging.
func blame(o call.Outcome) call.Outcome {
	if o.Clock == timeout.ClockCommitBy {
		o.Class = call.Canceled
	}
	return o
}
