package traces

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-gateway/holdfast/call"
)

// item is what a span is made of, copied out of an event: the event itself may
// not be kept, and a call holds its whole body.
type item struct {
	kind       call.EventKind
	id         Identity
	callID     string
	start, end time.Time
	op         call.Op
	method     string
	path       string
	asked      string // the model, as the caller named it
	route      string
	stream     bool
	maxTokens  int

	target, provider, model, key string
	answered                     string // the model, as the provider named it
	attempt, status              int
	source, reason               string
	outcome                      call.Outcome
	own                          time.Duration
	word                         string // the outcome of a call in one word
}

// longest is how much of a text from outside is kept, in bytes.
const longest = 128

// note copies what a span needs.
func note(e *call.Event, id Identity) item {
	c := e.Call
	i := item{
		kind: e.Kind, id: id, callID: c.ID, start: c.Arrived, end: e.At,
		op: c.Op, method: method(c.Method), path: kept(c.Path), asked: kept(c.Request.Model), route: c.Route,
		stream: c.Request.Stream, maxTokens: c.Request.MaxTokens,
		target: e.Target, provider: e.Provider, model: e.Model, key: e.Key,
		answered: kept(e.Answered), attempt: e.Attempt, status: e.Status, source: e.Source, reason: e.Reason, outcome: e.Outcome, own: e.Own,
	}
	i.outcome.Err = nil // may hold on to a connection
	if e.Kind == call.AttemptEnded {
		i.start = e.At.Add(-e.Outcome.Duration)
	}
	return i
}

// kept bounds a text and frees it from the body it may be a part of.
func kept(s string) string {
	if len(s) > longest {
		s = s[:longest]
	}
	return strings.Clone(s)
}

// method is a known method, or what the conventions call any other.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return m
	}
	return "_OTHER"
}

// make makes the span of an item; ending it puts it into the batch.
func (p *pipeline) make(i item) {
	for _, foreign := range []*string{&i.path, &i.asked, &i.answered} {
		*foreign = strings.ToValidUTF8(*foreign, "")
	}
	ctx, options := p.opening(i)
	_, span := p.spans.Start(ctx, i.name(), options...)
	if failed := i.failed(); failed != "" {
		span.SetAttributes(attribute.String("error.type", failed))
		if i.isFault() {
			span.SetStatus(codes.Error, failed)
		}
	}
	span.End(trace.WithTimestamp(i.end))
}

// opening is how a span begins: where in the trace, as what, with what.
func (p *pipeline) opening(i item) (context.Context, []trace.SpanStartOption) {
	options := []trace.SpanStartOption{trace.WithTimestamp(i.start)}
	if i.kind == call.AttemptEnded {
		below := trace.NewSpanContext(trace.SpanContextConfig{TraceID: i.id.Trace, SpanID: i.id.Span, TraceFlags: trace.FlagsSampled})
		ctx := withIDs(context.Background(), i.id.Trace, attempt(i.callID, i.attempt))
		return trace.ContextWithSpanContext(ctx, below),
			append(options, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(p.attemptAttributes(i)...))
	}
	ctx := withIDs(context.Background(), i.id.Trace, i.id.Span)
	if i.id.Parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: i.id.Trace, SpanID: i.id.Parent, TraceFlags: trace.FlagsSampled, Remote: true}))
	}
	return ctx, append(options, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(p.callAttributes(i)...))
}

// name is the operation and the model, or the method where nothing was read.
func (i item) name() string {
	operation := operations[i.op]
	if operation == "" {
		operation = string(i.op)
	}
	if operation == "" {
		return i.method
	}
	return strings.TrimSpace(operation + " " + i.modelAsked())
}

// modelAsked is the model that the provider was asked for, or the one the caller
// named.
func (i item) modelAsked() string {
	if i.kind == call.AttemptEnded && i.model != "" {
		return i.model
	}
	return i.asked
}

// failed names what went wrong, "" when nothing did.
func (i item) failed() string {
	switch {
	case i.outcome.Class == call.OK || i.outcome.Superseded:
		return ""
	case i.outcome.Class == call.Refused && i.reason != "":
		return i.reason
	}
	return i.outcome.Class.String()
}

// isFault tells what is an error of the service from what the caller did or meant.
func (i item) isFault() bool {
	if i.kind == call.AttemptEnded {
		return i.outcome.Class != call.Canceled
	}
	switch i.outcome.Class {
	case call.ClientError, call.ContextLength, call.Canceled, call.PolicyViolation:
		return false
	case call.Auth:
		return !i.outcome.CallersKey
	case call.Refused:
		return i.status >= 500
	default:
		return true
	}
}

func (p *pipeline) callAttributes(i item) []attribute.KeyValue {
	a := attributes{
		attribute.String("http.request.method", i.method),
		attribute.String("url.path", i.path),
		attribute.String("holdfast.request_id", i.callID),
		attribute.Int("holdfast.attempts", i.attempt),
		attribute.Float64("holdfast.overhead_seconds", i.own.Seconds()),
	}
	a.number("http.response.status_code", i.status)
	a.text("holdfast.route", i.route)
	a.text("holdfast.outcome", i.word)
	a.text("holdfast.source", i.source)
	a.text("holdfast.reason", i.reason)
	a.text("holdfast.target", i.target)
	n := profiles[p.config.profile()]
	if operation := operations[i.op]; n != nil && operation != "" {
		a.text(n.operation, operation)
		a.text(n.requestModel, i.asked)
	}
	return a
}

func (p *pipeline) attemptAttributes(i item) []attribute.KeyValue {
	up, o := p.tracer.options.Target(i.target), i.outcome
	a := attributes{
		attribute.String("http.request.method", i.method),
		attribute.String("holdfast.request_id", i.callID),
		attribute.String("holdfast.class", o.Class.String()),
		attribute.Int("holdfast.attempt", i.attempt),
		attribute.Bool("holdfast.sent", o.Sent),
		attribute.Bool("holdfast.committed", o.Committed),
	}
	a.number("http.request.resend_count", i.attempt-1)
	a.number("http.response.status_code", o.Status)
	a.text("server.address", up.Address)
	a.number("server.port", up.Port)
	a.text("holdfast.target", i.target)
	a.text("holdfast.provider", i.provider)
	a.text("holdfast.key", i.key)
	a.text("holdfast.clock", o.Clock)
	a.text("holdfast.code", strings.ToValidUTF8(kept(o.Code), ""))
	if n := profiles[p.config.profile()]; n != nil && operations[i.op] != "" {
		a.genAI(n, i, up)
	}
	return a
}

// genAI adds what OpenTelemetry's conventions for models ask for.
func (a *attributes) genAI(n *names, i item, up Upstream) {
	o := i.outcome
	a.text(n.operation, operations[i.op])
	a.text(n.provider, providerName(up.Vendor))
	a.text(n.requestModel, i.modelAsked())
	a.text(n.responseModel, i.answered)
	a.number(n.maxTokens, i.maxTokens)
	if i.stream {
		*a = append(*a, attribute.Bool(n.requestStream, true))
		if o.FirstToken > 0 {
			*a = append(*a, attribute.Float64(n.firstChunk, o.FirstToken.Seconds()))
		}
	}
	if o.Usage.Known {
		*a = append(*a, attribute.Int(n.inputTokens, o.Usage.Input), attribute.Int(n.outputTokens, o.Usage.Output))
		a.number(n.cachedTokens, o.Usage.Cached)
		a.number(n.reasoningTokens, o.Usage.Reasoning)
	}
}

// attributes is a list in the making; what is empty is left out.
type attributes []attribute.KeyValue

func (a *attributes) text(name, value string) {
	if value != "" {
		*a = append(*a, attribute.String(name, value))
	}
}

func (a *attributes) number(name string, value int) {
	if value > 0 {
		*a = append(*a, attribute.Int(name, value))
	}
}
