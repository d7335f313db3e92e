package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Logs writes events as log lines: one per call at info, one per attempt at
// debug, what operators should see at warn.
type Logs struct {
	// To is where the lines go. Its handler must not block; see Queue.
	To *slog.Logger
	// Outcome sums up a CallEnded event in one word.
	Outcome func(*call.Event) string
	// Limit bounds lines of one kind; nil: every line is written.
	Limit *Limit
	// Trace names the trace of a call; nil: lines name none.
	Trace Trace
}

// Record writes an event.
func (l Logs) Record(e *call.Event) {
	switch e.Kind {
	case call.CallEnded:
		l.write(e, slog.LevelInfo, "call", l.callAttrs)
	case call.AttemptEnded:
		l.write(e, slog.LevelDebug, "attempt", attemptAttrs)
	case call.BreakerMoved:
		l.write(e, slog.LevelWarn, "breaker", func(to []slog.Attr, e *call.Event) []slog.Attr {
			return append(to, slog.String("target", e.Target), slog.String("model", e.Model), slog.String("from", e.From), slog.String("to", e.To),
				slog.String("cause", e.Reason), milliseconds("open_for_ms", e.Wait))
		})
	case call.KeyPaused, call.KeyEjected, call.TargetEjected:
		l.write(e, slog.LevelWarn, e.Kind.String(), func(to []slog.Attr, e *call.Event) []slog.Attr {
			return append(to, slog.String("target", e.Target), slog.String("key", e.Key), slog.String("reason", e.Reason), milliseconds("for_ms", e.Wait))
		})
	case call.Queued:
		if e.Wait > 0 || e.Reason != "" { // most calls do not wait
			l.write(e, slog.LevelDebug, e.Kind.String(), stepAttrs)
		}
	case call.RetryPlanned, call.MovedOn, call.BudgetDenied, call.ClientRetried, call.PassedOver, call.Stopped, call.Limited:
		l.write(e, slog.LevelDebug, e.Kind.String(), stepAttrs)
	default: // that a call began is told when it ends
	}
}

func (l Logs) write(e *call.Event, level slog.Level, message string, attrs func([]slog.Attr, *call.Event) []slog.Attr) {
	ctx := context.Background()
	if !l.To.Enabled(ctx, level) {
		return
	}
	to := l.To.Handler()
	if l.Limit != nil && !l.Limit.allow(ctx, l.kind(e, level, message), to) {
		return
	}
	r := slog.NewRecord(e.At, level, message, 0)
	r.AddAttrs(attrs(l.names(make([]slog.Attr, 0, 32), e), e)...)
	_ = to.Handle(ctx, r) // the Queue's, which cannot fail
}

// kind says which lines count as the same: what happened, where, and how it ended.
func (l Logs) kind(e *call.Event, level slog.Level, message string) kind {
	k := kind{level: level, message: message, where: e.Target, how: e.Reason}
	if e.Call != nil {
		k.where = e.Call.Route
	}
	switch e.Kind {
	case call.CallEnded:
		k.how = l.Outcome(e)
	case call.AttemptEnded:
		k.how = e.Outcome.Class.String()
	default: // their reason says it
	}
	return k
}

func (l Logs) callAttrs(attrs []slog.Attr, e *call.Event) []slog.Attr {
	o := e.Outcome
	if c := e.Call; c != nil {
		attrs = append(attrs,
			slog.String("op", string(c.Op)), slog.String("method", capped(c.Method)), slog.String("path", capped(c.Path)),
			slog.String("asked", capped(c.Request.Model)), slog.Bool("stream", c.Request.Stream),
			milliseconds("duration_ms", e.At.Sub(c.Arrived)))
		if c.Tenant != "" {
			attrs = append(attrs, slog.String("tenant", capped(c.Tenant)))
		}
	}
	attrs = append(attrs,
		slog.Int("status", e.Status), slog.String("outcome", l.Outcome(e)), slog.String("class", o.Class.String()),
		slog.String("source", e.Source), slog.String("reason", e.Reason), slog.Int("attempts", e.Attempt),
		slog.String("target", e.Target), slog.String("model", e.Model), slog.String("key", e.Key))
	if e.Cached != "" {
		attrs = append(attrs, slog.String("cache", e.Cached), slog.String("cache_why", e.To))
	}
	if e.Original != 0 {
		attrs = append(attrs, slog.Int("original_status", e.Original))
	}
	return ends(attrs, o)
}

func attemptAttrs(attrs []slog.Attr, e *call.Event) []slog.Attr {
	o := e.Outcome
	attrs = append(attrs,
		slog.Int("attempt", e.Attempt), slog.String("target", e.Target), slog.String("model", e.Model), slog.String("key", e.Key),
		slog.Int("status", o.Status), slog.String("class", o.Class.String()), slog.String("scope", o.Scope.String()),
		slog.Bool("sent", o.Sent), slog.Bool("committed", o.Committed), milliseconds("duration_ms", o.Duration), slog.Int64("bytes", o.Bytes))
	if o.HasWait {
		attrs = append(attrs, milliseconds("retry_after_ms", o.Wait))
	}
	return ends(attrs, o)
}

func stepAttrs(to []slog.Attr, e *call.Event) []slog.Attr {
	return append(to,
		slog.String("target", e.Target), slog.String("from", e.From), slog.String("to", e.To),
		slog.Int("attempt", e.Attempt), slog.String("reason", e.Reason), milliseconds("wait_ms", e.Wait))
}

// names says which call a line is about, and where its trace is found.
func (l Logs) names(attrs []slog.Attr, e *call.Event) []slog.Attr {
	if e.Call == nil {
		return attrs
	}
	attrs = append(attrs, slog.String("request_id", e.Call.ID), slog.String("route", e.Call.Route))
	if l.Trace != nil {
		if trace, span := l.Trace(e.Call); trace != "" {
			attrs = append(attrs, slog.String("trace_id", trace), slog.String("span_id", span))
		}
	}
	return attrs
}

// ends says how an attempt ended, as far as there is something to say.
func ends(attrs []slog.Attr, o call.Outcome) []slog.Attr {
	if o.FirstToken > 0 {
		attrs = append(attrs, milliseconds("first_token_ms", o.FirstToken))
	}
	if o.Usage.Known {
		attrs = append(attrs, slog.Int("tokens_in", o.Usage.Input), slog.Int("tokens_out", o.Usage.Output))
	}
	if o.Usage.Odd {
		attrs = append(attrs, slog.Bool("odd_usage", true))
	}
	for _, word := range []struct{ name, value string }{{"code", o.Code}, {"category", o.Category}, {"clock", o.Clock}} {
		if word.value != "" {
			attrs = append(attrs, slog.String(word.name, capped(word.value)))
		}
	}
	if o.Err != nil {
		attrs = append(attrs, slog.String("error", capped(o.Err.Error())))
	}
	return attrs
}

func milliseconds(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
}

// capped bounds what a caller or a provider can put into a line.
func capped(s string) string {
	const limit = 256
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

// Both returns a Recorder that tells several others, in order.
func Both(recorders ...call.Recorder) call.Recorder {
	return call.RecorderFunc(func(e *call.Event) {
		for _, r := range recorders {
			r.Record(e)
		}
	})
}
