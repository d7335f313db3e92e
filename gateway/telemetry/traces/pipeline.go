package traces

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	queueSpans = 4096             // wait to be sent; about 2 MB
	batchSpans = 512              // are sent at once
	batchWait  = time.Second      // a span waits this long for company
	sendTime   = 10 * time.Second // for one batch, tries included
)

// pipeline is the way to one collector. The zero pipeline leads nowhere.
type pipeline struct {
	config  Config
	started bool
	queue   chan item // nil: no spans are sent
	stop    chan struct{}
	left    chan struct{} // closed when nobody takes from the queue any more
	done    chan struct{} // closed when all is sent or counted
	once    sync.Once

	tracer   *Tracer
	spans    trace.Tracer
	provider *sdk.TracerProvider
	batch    collector
	exporter *otlptrace.Exporter
	idle     func()
	sending  context.Context // ends when nobody waits for the rest any more
	giveUp   context.CancelFunc
}

// start returns the way to the collector that c names.
func (t *Tracer) start(c Config) (*pipeline, error) {
	p := &pipeline{config: c, started: true, tracer: t}
	if c.Endpoint == "" {
		return p, nil
	}
	wire := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: t.options.Dial, MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true}
	exporter, err := otlptracehttp.New(context.Background(), // only keeps it; nothing is sent
		otlptracehttp.WithEndpointURL(c.spansAddress()),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: wire, CheckRedirect: stay}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 2 * time.Second, MaxElapsedTime: sendTime}))
	if err != nil {
		return nil, err
	}
	p.exporter, p.idle = exporter, wire.CloseIdleConnections
	p.provider = sdk.NewTracerProvider(sdk.WithSampler(sdk.AlwaysSample()), // decided by Record
		sdk.WithIDGenerator(given{}), sdk.WithResource(about(t.options.Version)), sdk.WithSpanProcessor(&p.batch))
	p.spans = p.provider.Tracer("github.com/holdfast-gateway/holdfast", trace.WithInstrumentationVersion(t.options.Version), trace.WithSchemaURL(p.schema()))
	p.queue, p.stop, p.left, p.done = make(chan item, queueSpans), make(chan struct{}), make(chan struct{}), make(chan struct{})
	p.sending, p.giveUp = context.WithCancel(context.Background())
	go p.run()
	return p, nil
}

// stay keeps spans from following a redirect to somewhere nobody configured.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (p *pipeline) schema() string {
	if n := profiles[p.config.profile()]; n != nil {
		return n.schema
	}
	return ""
}

// about says who sends: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the
// last word.
func about(version string) *resource.Resource {
	own := resource.NewSchemaless(attribute.String("service.name", "holdfast"), attribute.String("service.version", version))
	if given, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithFromEnv()); err == nil {
		if both, err := resource.Merge(own, given); err == nil {
			return both
		}
	}
	return own
}

// put queues a span, or drops and counts it when there is no room or it is too
// late.
func (p *pipeline) put(i item) {
	select {
	case <-p.stop:
		p.tracer.dropped.Add(1)
		return
	default:
	}
	select {
	case p.queue <- i:
	default:
		p.tracer.dropped.Add(1)
	}
	select {
	case <-p.left: // it ended in between: nobody comes for what was just queued
		p.forfeit()
	default:
	}
}

// forfeit drops and counts what is queued when nobody sends any more.
func (p *pipeline) forfeit() {
	for {
		select {
		case <-p.queue:
			p.tracer.dropped.Add(1)
		default:
			return
		}
	}
}

// run makes spans and sends them until it is stopped and the queue is empty.
func (p *pipeline) run() {
	defer close(p.done)
	defer p.forfeit() // what came between the last look and now
	defer close(p.left)
	timer := time.NewTicker(batchWait)
	defer timer.Stop()
	for {
		select {
		case i := <-p.queue:
			p.add(i)
		case <-timer.C:
			p.send()
		case <-p.stop:
			p.rest()
			return
		}
	}
}

func (p *pipeline) add(i item) {
	p.make(i)
	if len(p.batch.spans) >= batchSpans {
		p.send()
	}
}

// rest sends what was queued before the stop.
func (p *pipeline) rest() {
	for {
		select {
		case i := <-p.queue:
			p.add(i)
		default:
			p.send()
			return
		}
	}
}

// send sends the batch, or drops and counts it.
func (p *pipeline) send() {
	n := len(p.batch.spans)
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(p.sending, sendTime)
	defer cancel()
	err := p.exporter.ExportSpans(ctx, p.batch.spans)
	clear(p.batch.spans)
	p.batch.spans = p.batch.spans[:0]
	if err != nil {
		p.tracer.dropped.Add(int64(n))
		p.tracer.options.Log.Warn("spans were not taken", "spans", n, "collector", p.config.Endpoint, "error", err.Error())
	}
}

// close sends what waits, for as long as ctx lasts.
func (p *pipeline) close(ctx context.Context) {
	if p.queue == nil {
		return
	}
	p.once.Do(func() { close(p.stop) })
	select {
	case <-p.done:
	case <-ctx.Done():
		p.giveUp()
		<-p.done
	}
	p.giveUp()
	ctx = context.WithoutCancel(ctx)
	_ = p.exporter.Shutdown(ctx) // has nothing left to do
	_ = p.provider.Shutdown(ctx)
	p.idle()
}

// collector keeps finished spans for the next batch. Only run's goroutine ends
// spans, so it needs no lock.
type collector struct{ spans []sdk.ReadOnlySpan }

func (c *collector) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (c *collector) OnEnd(s sdk.ReadOnlySpan)                   { c.spans = append(c.spans, s) }
func (c *collector) Shutdown(context.Context) error             { return nil }
func (c *collector) ForceFlush(context.Context) error           { return nil }

// given makes the SDK use the ids that a context holds.
type given struct{}

type idsKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

func withIDs(ctx context.Context, t trace.TraceID, s trace.SpanID) context.Context {
	return context.WithValue(ctx, idsKey{}, ids{t, s})
}

// NewIDs returns the ids of a span without parent.
func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	i, _ := ctx.Value(idsKey{}).(ids)
	return i.trace, i.span
}

// NewSpanID returns the id of a span below another.
func (given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	i, _ := ctx.Value(idsKey{}).(ids)
	return i.span
}
