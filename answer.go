package holdfast

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/stream"
)

// The bounds of a Retry-After that SDKs obey: openai-node retries at once after
// 0 and ignores more than 60.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 60 * time.Second
)

// show returns an open answer: the provider's status, headers and bytes.
func (in *incoming) show(a *answer) *http.Response {
	if a.tunnel != nil {
		return in.join(a)
	}
	h := a.resp.Header
	foreign(h)
	for _, name := range []string{"X-Should-Retry", "Trailer"} {
		h.Del(name)
	}
	streamed := in.guarded && isStream(h)
	length := a.resp.ContentLength
	if streamed {
		h.Del("Content-Length")
		length = -1
	}
	in.stamp(h)
	if t := a.sending.upstream.Target; !in.asPlanned(t) {
		h.Set("X-Holdfast-Degraded", "fallback")
	}
	var dialect call.Dialect
	if in.guarded {
		dialect = in.dialect
	}
	in.learn(a)
	body := stream.NewBody(a.attempt, dialect, streamed, in.problem, func(r stream.Result) {
		in.learn(a)
		o := a.sending.outcome
		reason := ""
		if r.Fault != nil {
			reason = r.Fault.Kind.String()
		}
		in.ended(o, a.resp.StatusCode, "provider", reason)
	})
	return in.response(a.resp.StatusCode, h, body, length)
}

// primary is the target a call of this route goes to when all is well.
func (in *incoming) primary() *call.Target {
	if in.NoMove {
		return in.state.Targets[0]
	}
	for _, t := range in.route.targets {
		if in.eligible(in.route.byTarget[t].vendor) {
			return t
		}
	}
	return nil
}

// learn remembers which target and key made what later calls may refer to.
func (in *incoming) learn(a *answer) {
	if a.attempt == nil {
		return
	}
	st := a.attempt.Stream()
	if in.Op == call.OpResponses && st.ID != "" {
		a.sending.pin(st.ID)
	}
	in.made = in.made || len(st.Made) > 0
	for _, id := range st.Made {
		a.sending.pin(id)
	}
}

func isStream(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
}

// foreign removes from a provider's headers what belongs to one connection, and
// what speaks in our name.
func foreign(h http.Header) {
	withoutNamed(h, h["Connection"])
	for name := range h {
		if connectionOnly(name) || speaksToUs(name) {
			delete(h, name)
		}
	}
}

// connectionOnly reports whether a header belongs to one connection.
func connectionOnly(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate":
		return true
	}
	return false
}

// withoutNamed removes the headers that Connection names.
func withoutNamed(h http.Header, connection []string) {
	for _, field := range connection {
		for name := range strings.SplitSeq(field, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
}

// stamp says what happened. The names are canonical, the values share one array.
func (in *incoming) stamp(h http.Header) {
	values := make([]string, 0, 7)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("X-Holdfast-Request-Id", in.ID)
	if in.route != nil {
		set("X-Holdfast-Route", in.route.Name)
	}
	set("X-Holdfast-Attempts", strconv.Itoa(in.state.Attempts))
	if n := len(in.state.Steps); n > 0 {
		last := in.state.Steps[n-1]
		set("X-Holdfast-Provider", last.Target.Provider)
		set("X-Holdfast-Model", header(last.Model))
		set("X-Holdfast-Attempt-Log", attemptLog(in.state.Steps))
	}
	if in.recall != nil {
		h["X-Holdfast-Cache"] = []string{in.recall.did}
	}
	set("Server-Timing", in.timing())
	if len(in.asks) > 0 {
		ratelimit.WriteFields(h, in.asks, in.unit)
	}
}

// attemptLog tells the attempts in one line: "openai;429;1.0s, openai;503,
// anthropic;200"; the pause is the one that followed.
func attemptLog(steps []dispatch.Step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Target.Provider)
		b.WriteByte(';')
		switch {
		case s.Open:
			b.WriteString("200")
		case s.Status != 0 && s.Status != http.StatusOK:
			b.WriteString(strconv.Itoa(s.Status))
		case s.Clock != "":
			b.WriteString(s.Clock)
		default:
			b.WriteString(s.Class.String())
		}
		if i+1 < len(steps) && steps[i+1].Wait > 0 {
			fmt.Fprintf(&b, ";%.1fs", steps[i+1].Wait.Seconds())
		}
	}
	return b.String()
}

// timing is the Server-Timing header, in milliseconds: time in the waiting room
// and time in the attempt that answered.
func (in *incoming) timing() string {
	var queue, upstream time.Duration
	if in.place != nil {
		queue = in.place.Wait()
	}
	if n := len(in.state.Steps); n > 0 {
		upstream = in.state.Steps[n-1].Took
	}
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64) }
	return "queue;dur=" + ms(queue) + ", upstream;dur=" + ms(upstream) + ", total;dur=" + ms(time.Since(in.Arrived))
}

// header makes a text from a caller fit into a header.
func header(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '_'
		}
		return r
	}, short(s))
}

func (in *incoming) response(status int, h http.Header, body io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: body, ContentLength: length, Request: in.req,
	}
}

// whole returns an answer that is complete, and reports the call's end.
func (in *incoming) whole(status int, h http.Header, body []byte, o call.Outcome, source, reason string) *http.Response {
	if in.landing != nil {
		return in.crash(&failure{status: status, header: h, body: body, outcome: o, source: source, reason: reason})
	}
	if kept := in.standIn(o); kept != nil {
		return kept
	}
	in.stamp(h)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Holdfast-Error-Source", source)
	if reason != "" {
		h.Set("X-Holdfast-Reason", reason)
	}
	if told := in.terminal(status, reason, o.Class); told != status {
		h.Set("X-Holdfast-Original-Status", strconv.Itoa(status))
		in.original, status = status, told
	}
	if o.Class.Row().SLO == call.SLOBad && in.Replay && len(in.Body) > 0 && !in.turnedDown {
		wait, _ := strconv.Atoi(h.Get("Retry-After"))
		in.house.memory.clients.Failed(in.Client, in.hash(), time.Duration(wait)*time.Second)
	}
	in.ended(o, status, source, reason)
	return in.response(status, h, io.NopCloser(bytes.NewReader(body)), int64(len(body)))
}

// terminal is the status of a final error: the route's, where it names one and
// nothing is wrong with the request itself.
func (in *incoming) terminal(status int, reason string, c call.Class) int {
	if in.route == nil || in.route.TerminalStatus == 0 || in.turnedDown {
		return status
	}
	switch reason {
	case call.ReasonCircuitOpen, call.ReasonNoTarget, call.ReasonRateLimited, call.ReasonUpstreamUnreachable, call.ReasonBadResponse, call.ReasonDeadlineExceeded:
		return in.route.TerminalStatus
	case call.ReasonUpstreamExhausted:
		switch c {
		case call.Throttled, call.Overloaded, call.ProviderFault, call.Timeout, call.Transport, call.BadResponse, call.Truncated:
			return in.route.TerminalStatus
		default: // what is wrong with the request, a credential or an account
		}
	}
	return status
}

// seedCodes are the codes of the "seed" set; the others keep their names.
var seedCodes = map[string]string{
	call.ReasonQueueFull: "queue_overflow", call.ReasonQueueTimeout: "queue_overflow",
	call.ReasonRateLimited: "too_many_requests", call.ReasonCircuitOpen: "provider_unavailable",
}

// refuse answers in the caller's dialect what Holdfast itself decided. wait is
// when it may work again; 0 unknown.
func (in *incoming) refuse(reason, message string, wait time.Duration) *http.Response {
	p := call.Problem{Reason: reason, Message: message, Class: call.Refused, Request: in.ID}
	if in.route != nil && in.route.ErrorCodes == "seed" {
		p.Code = seedCodes[reason]
	}
	o := call.Outcome{Verdict: call.Verdict{Class: call.Refused, Code: reason}}
	switch reason {
	case call.ReasonBadRequest, call.ReasonTooLarge, call.ReasonUnknownRoute:
		o.Class = call.ClientError
	}
	return in.tellProblem(p, o, wait)
}

// turnDown answers a call that a limit or a budget does not let in.
func (in *incoming) turnDown(r *refusedCall) *http.Response {
	in.turnedDown = true // nothing was tried: when the caller comes again it is no retry, and its body is not worth a digest
	p := r.problem
	p.Class, p.Request = r.class, in.ID
	if p.Code == "" && in.route.ErrorCodes == "seed" {
		p.Code = seedCodes[p.Reason]
	}
	return in.tellProblem(p, call.Outcome{Verdict: call.Verdict{Class: r.class, Code: cmp.Or(p.Code, p.Reason)}}, r.wait)
}

// tellProblem answers with an error of ours.
func (in *incoming) tellProblem(p call.Problem, o call.Outcome, wait time.Duration) *http.Response {
	if in.landing != nil {
		return in.crash(&failure{problem: &p, outcome: o, wait: wait, source: "gateway", reason: p.Reason})
	}
	if p.Message == "" {
		p.Message = in.words(p.Reason, o, wait)
	}
	status, body := in.dialect.Refusal(p)
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(in.vendor.RequestID, in.ID)
	in.retryHeaders(h, p.Reason, wait)
	o.Status = 0
	return in.whole(status, h, body, o, "gateway", p.Reason)
}

// words says what happened, where, and what to do.
func (in *incoming) words(reason string, o call.Outcome, wait time.Duration) string {
	after := "."
	if wait > 0 {
		after = fmt.Sprintf("; the next attempt is allowed in %s.", wait.Round(time.Second).String())
	}
	route := ""
	if in.route != nil {
		route = in.route.Name
	}
	switch reason {
	case call.ReasonCircuitOpen:
		return fmt.Sprintf("Every target of route %q is failing and its circuit is open%s", route, after)
	case call.ReasonQueueFull:
		return fmt.Sprintf("Route %q is busy and its waiting room is full%s", route, after)
	case call.ReasonQueueTimeout:
		return fmt.Sprintf("Route %q is busy; the call waited as long as it may%s", route, after)
	case call.ReasonShed:
		return fmt.Sprintf("Every target of route %q refuses so much that this call was thrown away; try again%s", route, after)
	case call.ReasonDraining:
		return "This gateway is shutting down; send the call to another one."
	case call.ReasonRateLimited:
		return fmt.Sprintf("Every key of route %q is rate limited by its provider%s", route, after)
	case call.ReasonDeadlineExceeded:
		return fmt.Sprintf("No provider answered in time, after %d attempt(s)%s", in.state.Attempts, ended(o))
	case call.ReasonUpstreamUnreachable:
		return fmt.Sprintf("No provider of route %q could be reached in %d attempt(s)%s", route, in.state.Attempts, ended(o))
	case call.ReasonBadResponse:
		return fmt.Sprintf("The provider answered with status 200 but without a valid answer (%s), %d attempt(s).", o.Code, in.state.Attempts)
	}
	return fmt.Sprintf("Route %q cannot answer this call (%s)%s", route, reason, after)
}

func ended(o call.Outcome) string {
	if o.Clock != "" {
		return "; the " + o.Clock + " clock ended the last one."
	}
	return "."
}

// fail answers a call that no target could answer.
func (in *incoming) fail(ctx context.Context, r dispatch.Result[*answer]) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, in.left(ctx)
	}
	if !r.Has {
		wait := r.Wait
		return in.refuse(r.Reason, "", wait), nil
	}
	a, o := r.Answer, r.Last
	switch {
	case a.body != nil || a.resp != nil && a.fault == nil:
		return in.relay(a, o), nil
	case a.fault != nil && a.fault.Kind == stream.InBand:
		p := a.fault.Problem
		p.Reason, p.Status, p.Class, p.Request = call.ReasonUpstreamExhausted, in.statusFor(o), o.Class, in.ID
		return in.tellProblem(p, o, o.Wait), nil
	case o.Class == call.Timeout || r.Reason == dispatch.Deadline:
		return in.tellProblem(call.Problem{Reason: call.ReasonDeadlineExceeded, Class: o.Class, Request: in.ID}, o, 0), nil
	case o.Class == call.ClientError:
		return in.tellProblem(call.Problem{Reason: call.ReasonBadRequest, Class: o.Class, Request: in.ID, Message: "The request body could not be read to its end."}, o, 0), nil
	case o.Class == call.Transport:
		return in.tellProblem(call.Problem{Reason: call.ReasonUpstreamUnreachable, Class: o.Class, Request: in.ID}, o, 0), nil
	}
	return in.tellProblem(call.Problem{Reason: call.ReasonBadResponse, Class: o.Class, Request: in.ID}, o, 0), nil
}

// statusFor is the status a provider's in-band error would have had.
func (in *incoming) statusFor(o call.Outcome) int {
	switch o.Class {
	case call.Throttled, call.QuotaExhausted:
		return http.StatusTooManyRequests
	case call.Overloaded:
		status, _ := in.dialect.Refusal(call.Problem{Reason: call.ReasonShed}) // each dialect has its own word for it
		return status
	case call.ClientError, call.ContextLength, call.PolicyViolation:
		return http.StatusBadRequest
	case call.Auth:
		return http.StatusUnauthorized
	case call.NotFound:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

// relay passes the provider's own error on, with its status and every byte of
// its body, and with our word on whether to try again.
func (in *incoming) relay(a *answer, o call.Outcome) *http.Response {
	h := a.resp.Header
	foreign(h)
	for _, name := range []string{"X-Should-Retry", "Retry-After", "Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		h.Del(name)
	}
	wait := time.Duration(0)
	if o.HasWait {
		wait = o.Wait
	}
	in.retryHeaders(h, call.ReasonUpstreamExhausted, wait)
	reason := ""
	if row := o.Class.Row(); row.OtherTarget || row.Same != call.SameNever {
		reason = call.ReasonUpstreamExhausted
	}
	return in.whole(a.resp.StatusCode, h, a.body, o, "provider", reason)
}

// retryHeaders says whether and when an SDK should try again. Never 0, never
// above 60 s: SDKs disagree wildly outside these bounds.
func (in *incoming) retryHeaders(h http.Header, reason string, wait time.Duration) {
	again := false
	switch reason {
	case call.ReasonRateLimited, call.ReasonQueueFull, call.ReasonQueueTimeout, call.ReasonShed, call.ReasonDraining:
		again = in.ClientRetry == 0
		wait = max(wait, minRetryAfter)
	case call.ReasonCircuitOpen, call.ReasonUpstreamExhausted, call.ReasonUpstreamUnreachable, call.ReasonBadResponse:
		if in.route != nil && in.route.ClientRetries == "pace" && in.retriable() {
			again = true
			wait = max(wait, minRetryAfter)
			if probes := in.probes(nil); len(probes) > 0 {
				wait = max(wait, slices.Min(probes))
			}
		}
	}
	if wait > maxRetryAfter {
		again = false
		h.Set("X-Holdfast-Retry-After-S", strconv.FormatInt(seconds(wait), 10))
		wait = 0
	}
	h.Set("X-Should-Retry", strconv.FormatBool(again))
	if wait > 0 {
		jittered := min(wait+time.Duration(in.house.memory.rand()*float64(min(wait/10, time.Second))), maxRetryAfter)
		h.Set("Retry-After", strconv.FormatInt(seconds(max(jittered, minRetryAfter)), 10))
	}
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// retriable reports whether the last failure may pass with time.
func (in *incoming) retriable() bool {
	n := len(in.state.Steps)
	if n == 0 {
		return true
	}
	switch in.state.Steps[n-1].Class {
	case call.QuotaExhausted, call.PolicyViolation, call.ClientError, call.Auth, call.NotFound, call.ContextLength:
		return false
	default:
		return true
	}
}

// problem words a fault after the commit point for the caller.
func (in *incoming) problem(f *stream.Fault) call.Problem {
	p := call.Problem{Class: call.Truncated, Request: in.ID, Status: http.StatusBadGateway, Code: "upstream_" + f.Kind.String()}
	switch f.Kind {
	case stream.InBand:
		p = f.Problem
		p.Request = in.ID
		if p.Message == "" {
			p.Message = "The provider ended the answer with an error."
		}
		return p
	case stream.Draining:
		return call.Problem{Reason: call.ReasonDraining, Class: call.Canceled, Request: in.ID,
			Message: "This gateway is shutting down and could not wait for the end; the answer so far is not complete."}
	case stream.Clock:
		p.Code = "upstream_timeout"
		p.Message = "The provider stopped sending (" + f.Clock + " clock); the answer so far is not complete."
	case stream.Malformed:
		p.Message = "The provider sent an event that cannot be read; the answer so far is not complete."
	case stream.Unterminated:
		p.Message = "The provider ended the stream without its terminator; the answer may not be complete."
	default:
		p.Message = "The connection to the provider broke; the answer so far is not complete."
	}
	return p
}
