package telemetry

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
)

// Metrics counts what the Transport's events tell. It is safe for concurrent
// use. Make it with NewMetrics.
type Metrics struct {
	families
	degraded func(route, target string) bool
	trace    Trace

	requests, attempts, retries, clientRetries, fallbacks *prometheus.CounterVec
	transitions, shed, truncated, tokens, policy          *prometheus.CounterVec
	denied, pauses, ejections, targetEjections, oddUsage  *prometheus.CounterVec
	cached                                                *prometheus.CounterVec
	duration, firstToken, queueWait, overhead             *prometheus.HistogramVec
	reloaded, reloadTime                                  *prometheus.GaugeVec

	categories, reasons, causes closed
}

// Trace names the trace of a call and the span that stands for it in there, in
// hexadecimal digits; both are empty where nobody keeps them.
type Trace func(*call.Call) (trace, span string)

// Sources is what Metrics asks when it is scraped, and what it cannot know by
// itself. A nil function means there is nothing to say.
type Sources struct {
	Status   func() holdfast.Status
	Degraded func(route, target string) bool // an answer of this target is not the route's first choice
	Dropped  map[string]func() int64         // what each sink (log, traces) lost so far
	Withheld func() int64                    // log lines summed up instead of written so far
	Trace    Trace                           // for exemplars
	Version  string
	Go       string
}

// Buckets hold the limits that objectives are set at, 4 s among them.
var (
	callBuckets  = []float64{.05, .1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1800, 3600}
	firstBuckets = []float64{.05, .1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 180, 300}
	queueBuckets = []float64{.0001, .001, .005, .01, .05, .1, .25, .5, 1, 2, 4, 8}
	ownBuckets   = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}
)

// NewMetrics returns Metrics with everything at zero, in a registry of its own.
func NewMetrics(s Sources) *Metrics {
	m := &Metrics{families: families{registry: prometheus.NewRegistry()}, degraded: s.Degraded, trace: s.Trace,
		categories: closed{most: 64}, reasons: closed{most: 64}, causes: closed{most: 64}}
	if m.degraded == nil {
		m.degraded = func(string, string) bool { return false }
	}
	if m.trace == nil {
		m.trace = func(*call.Call) (string, string) { return "", "" }
	}
	m.requests = m.counter("holdfast_requests_total", "Calls that ended. outcome is ok, degraded (not the first target, or an old answer from the cache), error, timeout, shed, policy, client_error or canceled; reason is why the gateway itself answered.", "route", "dialect", "outcome", "reason")
	m.duration = m.histogram("holdfast_request_duration_seconds", "Time from a call's arrival to the last byte of its answer.", callBuckets, "route", "outcome")
	m.firstToken = m.histogram("holdfast_time_to_first_token_seconds", "Time from a call's arrival to the first meaningful event of its answer; waits and failed attempts included.", firstBuckets, "route", "provider")
	m.overhead = m.histogram("holdfast_overhead_seconds", "What Holdfast itself took of a call that it sent on: not attempts, pauses between them or the waiting room.", ownBuckets)
	m.attempts = m.counter("holdfast_attempts_total", "Attempts that ended, by how they ended.", "provider", "model", "class")
	m.retries = m.counter("holdfast_retries_total", "Attempts planned on the target that had just failed, by the class of the failure.", "provider", "class")
	m.clientRetries = m.counter("holdfast_client_retries_total", "Calls recognised as a client's own retry; they get one attempt.", "route")
	m.fallbacks = m.counter("holdfast_fallbacks_total", "Calls that moved from one target to another, by the class of the failure.", "route", "from", "to", "reason")
	m.transitions = m.counter("holdfast_breaker_transitions_total", "State changes of circuits, by the state entered.", "target", "to")
	m.shed = m.counter("holdfast_shed_total", "Calls turned away by the waiting room.", "route", "reason")
	m.cached = m.counter("holdfast_cache_requests_total", "Calls of routes with a cache, by what it did: hit, stale (an old answer in place of an error), shared (that of the same call under way), miss, bypass (no call for the cache).", "route", "result")
	m.queueWait = m.histogram("holdfast_queue_wait_seconds", "Time that admitted calls spent in the waiting room.", queueBuckets, "route")
	m.truncated = m.counter("holdfast_streams_truncated_total", "Answers that broke after their first meaningful event had reached the caller.", "provider", "cause")
	m.tokens = m.counter("holdfast_tokens_total", "Tokens as providers reported them; cached and reasoning tokens are part of input and output.", "provider", "model", "direction")
	m.oddUsage = m.counter("holdfast_odd_usage_total", "Attempts whose provider reported a usage that cannot be: negative, absurdly large, no number. An estimate is charged instead.", "provider")
	m.policy = m.counter("holdfast_policy_events_total", "Attempts that ended with a content policy's refusal.", "provider", "category")
	m.denied = m.counter("holdfast_retry_budget_denials_total", "Further attempts that a budget denied.", "target", "reason")
	m.pauses = m.counter("holdfast_key_pauses_total", "Times a key was paused because its provider asked to wait.", "target", "key")
	m.ejections = m.counter("holdfast_key_ejections_total", "Times a key was taken out of use.", "target", "key", "reason")
	m.targetEjections = m.counter("holdfast_target_ejections_total", "Times a target was taken out of use.", "target", "reason")
	m.reloaded = m.gauge("holdfast_config_last_reload_successful", "1 if the configuration file was good when it was last read, else 0; then the one before is in force.")
	m.reloadTime = m.gauge("holdfast_config_last_reload_success_timestamp_seconds", "When a configuration was last put in force, in Unix time.")
	info := m.gauge("holdfast_build_info", "1, with the version that runs.", "version", "goversion")
	info.WithLabelValues(s.Version, s.Go).Set(1)
	m.registry.MustRegister(newStatusCollector(&m.families, s),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Families lists the metrics of our own, by name.
func (m *Metrics) Families() []Family { return m.sorted() }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}

// Reloaded notes that the configuration file was read, and whether it was good.
func (m *Metrics) Reloaded(good bool) {
	if !good {
		m.reloaded.WithLabelValues().Set(0)
		return
	}
	m.reloaded.WithLabelValues().Set(1)
	m.reloadTime.WithLabelValues().Set(float64(time.Now().Unix()))
}

// Record counts an event.
func (m *Metrics) Record(e *call.Event) {
	switch e.Kind {
	case call.CallEnded:
		m.callEnded(e)
	case call.AttemptEnded:
		m.attemptEnded(e)
	case call.RetryPlanned:
		m.retries.WithLabelValues(e.Provider, m.reason(e)).Inc()
	case call.MovedOn:
		m.fallbacks.WithLabelValues(route(e), e.From, e.To, m.reason(e)).Inc()
	case call.BreakerMoved:
		m.transitions.WithLabelValues(e.Target, e.To).Inc()
	case call.KeyPaused:
		m.pauses.WithLabelValues(e.Target, e.Key).Inc()
	case call.KeyEjected:
		m.ejections.WithLabelValues(e.Target, e.Key, m.reason(e)).Inc()
	case call.TargetEjected:
		m.targetEjections.WithLabelValues(e.Target, m.reason(e)).Inc()
	case call.BudgetDenied:
		m.denied.WithLabelValues(e.Target, m.reason(e)).Inc()
	case call.ClientRetried:
		m.clientRetries.WithLabelValues(route(e)).Inc()
	case call.Queued:
		m.queued(e)
	default: // counted when the call ends
	}
}

func (m *Metrics) callEnded(e *call.Event) {
	outcome := m.Outcome(e)
	m.requests.WithLabelValues(route(e), dialect(e), outcome, m.reason(e)).Inc()
	if e.Cached != "" {
		m.cached.WithLabelValues(route(e), e.Cached).Inc()
	}
	if e.Call == nil {
		return
	}
	trace := m.example(e)
	observe(m.duration.WithLabelValues(route(e), outcome), trace, e.At.Sub(e.Call.Arrived))
	if e.Attempt > 0 {
		observe(m.overhead.WithLabelValues(), trace, e.Own)
	}
}

// example names the call's trace; nil where nobody keeps it.
func (m *Metrics) example(e *call.Event) prometheus.Labels {
	if trace, span := m.trace(e.Call); trace != "" {
		return prometheus.Labels{"trace_id": trace, "span_id": span}
	}
	return nil
}

// observe notes a length of time, with a trace for an example if there is one.
func observe(o prometheus.Observer, trace prometheus.Labels, d time.Duration) {
	seconds := max(0, d.Seconds())
	if trace != nil {
		o.(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, trace)
		return
	}
	o.Observe(seconds)
}

// reason is a word of a closed list, and held to that.
func (m *Metrics) reason(e *call.Event) string {
	if e.Reason == "" {
		return ""
	}
	return m.reasons.value(label(e.Reason))
}

func (m *Metrics) attemptEnded(e *call.Event) {
	o := e.Outcome
	m.attempts.WithLabelValues(e.Provider, model(e), o.Class.String()).Inc()
	if e.Call != nil && o.Committed && o.FirstToken > 0 {
		// The event is told when the body has ended; sending began Duration before.
		waited := e.At.Sub(e.Call.Arrived) - o.Duration + o.FirstToken
		observe(m.firstToken.WithLabelValues(route(e), e.Provider), m.example(e), waited)
	}
	switch o.Class {
	case call.Truncated:
		m.truncated.WithLabelValues(e.Provider, m.causes.value(label(o.Code))).Inc()
	case call.PolicyViolation:
		m.policy.WithLabelValues(e.Provider, m.categories.value(label(o.Category))).Inc()
	default: // counted as an attempt of its class
	}
	if o.Usage.Odd {
		m.oddUsage.WithLabelValues(e.Provider).Inc()
	}
	if !o.Usage.Known {
		return
	}
	for _, t := range []struct {
		direction string
		count     int
	}{
		{"input", o.Usage.Input}, {"output", o.Usage.Output},
		{"cached", o.Usage.Cached}, {"reasoning", o.Usage.Reasoning},
	} {
		if t.count > 0 {
			m.tokens.WithLabelValues(e.Provider, model(e), t.direction).Add(float64(t.count))
		}
	}
}

func (m *Metrics) queued(e *call.Event) {
	if e.Reason != "" {
		m.shed.WithLabelValues(route(e), m.reason(e)).Inc()
		return
	}
	m.queueWait.WithLabelValues(route(e)).Observe(e.Wait.Seconds())
}

// Outcome sums up how a call ended, in one word of the closed list of
// holdfast_requests_total.
func (m *Metrics) Outcome(e *call.Event) string {
	switch o := e.Outcome; o.Class {
	case call.OK:
		if e.Cached == "stale" {
			return "degraded"
		}
		if m.degraded(route(e), e.Target) {
			return "degraded"
		}
		return "ok"
	case call.Timeout:
		return "timeout"
	case call.PolicyViolation:
		return "policy"
	case call.Canceled:
		return "canceled"
	case call.ClientError, call.ContextLength:
		return "client_error"
	case call.Auth:
		if o.CallersKey {
			return "client_error"
		}
	case call.Refused:
		return refusedOutcome(e.Reason)
	default: // the provider's fault, or its key's
	}
	return "error"
}

// refusedOutcome sorts the gateway's own refusals: what was turned away because
// there is too much, what the caller got wrong, what ran out of time.
func refusedOutcome(reason string) string {
	switch reason {
	case call.ReasonQueueFull, call.ReasonQueueTimeout, call.ReasonShed, call.ReasonRateLimited, call.ReasonBudgetExhausted, call.ReasonDraining:
		return "shed"
	case call.ReasonBadRequest, call.ReasonTooLarge, call.ReasonUnauthorized, call.ReasonUnknownRoute, call.ReasonContextLength:
		return "client_error"
	case call.ReasonDeadlineExceeded:
		return "timeout"
	case call.ReasonPolicyStop:
		return "policy"
	}
	return "error"
}

func route(e *call.Event) string {
	if e.Call == nil {
		return ""
	}
	return e.Call.Route
}

// dialect names the wire format of a call by its operation, which is a closed
// list.
func dialect(e *call.Event) string {
	if e.Call == nil {
		return "other"
	}
	switch e.Call.Op {
	case call.OpChat, call.OpEmbeddings:
		return "chat"
	case call.OpResponses:
		return "responses"
	case call.OpMessages, call.OpCountTokens:
		return "messages"
	default:
		return "other"
	}
}

// model is the configured model: what a caller asks for is no label.
func model(e *call.Event) string {
	if e.Model == "" {
		return "other"
	}
	return e.Model
}

// closed bounds how many values one label may have.
type closed struct {
	most int

	mu   sync.Mutex
	seen map[string]bool
}

func (c *closed) value(s string) string {
	if s == "" {
		s = "unknown"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	if !c.seen[s] && len(c.seen) >= c.most {
		return "other"
	}
	c.seen[s] = true
	return s
}
