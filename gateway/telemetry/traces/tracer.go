package traces

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Options are what a Tracer asks for while it works. A nil function means there
// is nothing to say.
type Options struct {
	Outcome func(*call.Event) string   // sums up a CallEnded event in one word
	Target  func(name string) Upstream // what is known of a target
	Log     *slog.Logger               // hears when spans are not taken; must not block
	Version string                     // of the gateway

	// Dial opens connections to the collector; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Upstream is what a span says of a target besides its name.
type Upstream struct {
	Vendor  string // whose API it speaks
	Address string // host
	Port    int    // 0: unknown
}

// Tracer makes spans of events. Make it with New, tell it with Use where spans
// go, end it with Close. It is safe for concurrent use.
type Tracer struct {
	options Options
	live    atomic.Pointer[pipeline]
	dropped atomic.Int64

	mu      sync.Mutex
	closed  bool
	leaving sync.WaitGroup // pipelines that Use replaced
}

// New returns a Tracer that sends nothing yet.
func New(o Options) *Tracer {
	if o.Outcome == nil {
		o.Outcome = func(*call.Event) string { return "" }
	}
	if o.Target == nil {
		o.Target = func(string) Upstream { return Upstream{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tracer{options: o}
	t.live.Store(&pipeline{})
	return t
}

// Use puts c in force. Spans that wait for the collector of the configuration
// before get five seconds, in the background. A mistake changes nothing.
func (t *Tracer) Use(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.live.Load()
	if t.closed || before.started && reflect.DeepEqual(before.config, c) {
		return nil
	}
	next, err := t.start(c)
	if err != nil {
		return err
	}
	t.live.Store(next)
	t.leaving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		before.close(ctx)
	})
	return nil
}

// Close sends what waits and ends. Spans that the collector does not take before
// ctx ends are dropped and counted, as are later ones. It may be called twice.
func (t *Tracer) Close(ctx context.Context) {
	t.mu.Lock()
	t.closed = true
	last := t.live.Load()
	t.mu.Unlock()
	last.close(ctx)
	t.leaving.Wait()
}

// Dropped returns how many spans were not delivered since t was made.
func (t *Tracer) Dropped() int64 { return t.dropped.Load() }

// Identify places a call in a trace. Where no spans are sent it is that of the
// caller, whose span then stands for the call's.
func (t *Tracer) Identify(c *call.Call) Identity {
	if c == nil {
		return Identity{}
	}
	p := t.live.Load()
	if p.queue != nil {
		return identify(c, p.config.Ratio)
	}
	if c.Trace == "" {
		return Identity{}
	}
	id, _ := parse(c.Trace)
	id.Span = id.Parent
	return id
}

// Headers keeps the caller's trace from providers: tracestate and baggage, which
// belong to the caller's other services, always, and traceparent unless the
// configuration says propagate. It fits holdfast.Config.Headers.
func (t *Tracer) Headers(h http.Header, c *call.Call, n int) {
	h.Del("Tracestate")
	h.Del("Baggage")
	p := t.live.Load()
	if !p.config.Propagate {
		h.Del("Traceparent")
		return
	}
	id := t.Identify(c)
	switch {
	case !id.Trace.IsValid():
		h.Del("Traceparent")
	case p.queue != nil:
		h.Set("Traceparent", traceparent(id, attempt(c.ID, n)))
	}
}

// Record takes in an event. It never blocks.
func (t *Tracer) Record(e *call.Event) {
	p := t.live.Load()
	if p.queue == nil || e.Call == nil || e.Kind != call.CallEnded && e.Kind != call.AttemptEnded {
		return
	}
	id := identify(e.Call, p.config.Ratio)
	if !id.Sampled {
		return
	}
	i := note(e, id)
	if e.Kind == call.CallEnded {
		i.word = t.options.Outcome(e)
	}
	p.put(i)
}
