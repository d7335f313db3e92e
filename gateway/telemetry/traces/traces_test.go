package traces_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
	"github.com/holdfast-gateway/holdfast/gateway/internal/otlpsink"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	parent     = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	parentID   = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan = "00f067aa0ba902b7"
)

// tracing returns a Tracer that sends to a receiver of its own, and a function
// that closes it and returns what arrived.
func tracing(t *testing.T, c traces.Config) (*traces.Tracer, func() []otlpsink.Span) {
	t.Helper()
	sink := &otlpsink.Sink{}
	server := httptest.NewServer(sink)
	t.Cleanup(server.Close)
	c.Endpoint = server.URL
	tracer := traces.New(traces.Options{
		Outcome: func(*call.Event) string { return "degraded" },
		Target: func(name string) traces.Upstream {
			return map[string]traces.Upstream{
				"openai/gpt-4o": {Vendor: "openai", Address: "api.openai.com", Port: 443},
				"azure/gpt-4o":  {Vendor: "azure", Address: "example.openai.azure.com", Port: 443},
			}[name]
		},
		Version: "1.2.3",
	})
	if err := tracer.Use(c); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceValue(func() []otlpsink.Span {
		tracer.Close(context.Background())
		return sink.Spans()
	})
	t.Cleanup(func() { end() })
	return tracer, end
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// story is a call that failed at its first target and was answered by its
// second, as events.
func story(id, trace string) []*call.Event {
	c := &call.Call{ID: id, Route: "chat", Op: call.OpChat, Method: "POST", Path: "/v1/chat/completions", Trace: trace, Arrived: noon,
		Body: []byte(`{"secret prompt"}`), Request: call.Request{Model: "chat", Stream: true, MaxTokens: 64}}
	return []*call.Event{
		{Kind: call.CallStarted, Call: c, At: noon},
		{Kind: call.AttemptEnded, Call: c, At: noon.Add(2 * time.Second), Target: "openai/gpt-4o", Provider: "openai", Model: "gpt-4o", Key: "key1", Attempt: 1,
			Outcome: call.Outcome{Verdict: call.Verdict{Class: call.Overloaded, Code: "server_is_overloaded"}, Status: 503, Sent: true, Duration: time.Second}},
		{Kind: call.AttemptEnded, Call: c, At: noon.Add(6 * time.Second), Target: "azure/gpt-4o", Provider: "azure", Model: "gpt-4o", Answered: "gpt-4o-2024-08-06", Key: "key1", Attempt: 2,
			Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}, Status: 200, Sent: true, Committed: true, Duration: 3 * time.Second, FirstToken: 500 * time.Millisecond,
				Usage: call.Usage{Known: true, Input: 12, Output: 34, Cached: 5, Reasoning: 6}}},
		{Kind: call.CallEnded, Call: c, At: noon.Add(6 * time.Second), Target: "azure/gpt-4o", Provider: "azure", Model: "gpt-4o", Attempt: 2, Status: 200, Source: "provider",
			Own: 3 * time.Millisecond, Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}},
	}
}

func record(t *traces.Tracer, events []*call.Event) {
	for _, e := range events {
		t.Record(e)
	}
}

func TestACallAndItsAttemptsAreSpansOfTheCallersTrace(t *testing.T) {
	tracer, end := tracing(t, traces.Config{})
	record(tracer, story("hf_1", parent))
	spans := end()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 3: %+v", len(spans), spans)
	}
	first, second, whole := spans[0], spans[1], spans[2]
	for _, s := range spans {
		if s.Trace != parentID {
			t.Errorf("%s is in trace %s", s.Name, s.Trace)
		}
	}
	if whole.Parent != parentSpan || whole.Kind != "SPAN_KIND_SERVER" || whole.Name != "chat chat" {
		t.Errorf("the call: %+v", whole)
	}
	if !whole.Start.Equal(noon) || !whole.End.Equal(noon.Add(6*time.Second)) {
		t.Errorf("the call is said to last from %s to %s", whole.Start, whole.End)
	}
	for i, s := range []otlpsink.Span{first, second} {
		if s.Parent != whole.ID || s.Kind != "SPAN_KIND_CLIENT" || s.Name != "chat gpt-4o" {
			t.Errorf("attempt %d: %+v", i+1, s)
		}
	}
	if !first.Start.Equal(noon.Add(time.Second)) || !second.Start.Equal(noon.Add(3*time.Second)) {
		t.Errorf("attempts are said to begin at %s and %s", first.Start, second.Start)
	}
	if first.Status != "STATUS_CODE_ERROR" || second.Status != "STATUS_CODE_UNSET" || whole.Status != "STATUS_CODE_UNSET" {
		t.Errorf("status %s, %s, %s", first.Status, second.Status, whole.Status)
	}
	if _, told := first.Attributes["http.request.resend_count"]; told || second.Attributes["http.request.resend_count"] != 1.0 {
		t.Errorf("resend counts: %v, %v", first.Attributes, second.Attributes)
	}
	if s := fmt.Sprint(spans); strings.Contains(s, "secret") {
		t.Errorf("the prompt is in a span: %s", s)
	}
	if whole.Resource["service.name"] != "holdfast" || whole.Resource["service.version"] != "1.2.3" || whole.Schema != "https://opentelemetry.io/schemas/1.41.0" {
		t.Errorf("sent by %v, schema %q", whole.Resource, whole.Schema)
	}
}

// The names of gen_ai.* stand in one file, and here. Whoever changes them there
// changes what dashboards read.
func TestProfilesNameWhatTheConventionsName(t *testing.T) {
	conventions := map[string]any{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "azure.ai.openai", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
		"gen_ai.request.max_tokens": 64.0, "gen_ai.request.stream": true, "gen_ai.response.time_to_first_chunk": 0.5,
		"gen_ai.usage.input_tokens": 12.0, "gen_ai.usage.output_tokens": 34.0,
		"gen_ai.usage.cache_read.input_tokens": 5.0, "gen_ai.usage.reasoning.output_tokens": 6.0,
	}
	for profile, want := range map[string]map[string]any{"": conventions, "v1.41": conventions, "latest": conventions, "off": {}} {
		tracer, end := tracing(t, traces.Config{GenAI: profile})
		record(tracer, story("hf_1", parent))
		got := map[string]any{}
		for name, value := range end()[1].Attributes {
			if strings.HasPrefix(name, "gen_ai.") {
				got[name] = value
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("profile %q:\n got %v\nwant %v", profile, got, want)
		}
	}
}

func TestTheReferenceNamesEveryAttribute(t *testing.T) {
	tracer, end := tracing(t, traces.Config{})
	record(tracer, story("hf_1", parent))
	refused := story("hf_2", parent)[3]
	refused.Status, refused.Source, refused.Reason, refused.Outcome = 503, "gateway", "queue_full", call.Outcome{Verdict: call.Verdict{Class: call.Refused}}
	late := story("hf_3", parent)[1]
	late.Outcome = call.Outcome{Verdict: call.Verdict{Class: call.Timeout}, Sent: true, Clock: "first_token", Duration: time.Second}
	record(tracer, []*call.Event{refused, late})
	examples := map[string]map[string]any{"SPAN_KIND_SERVER": {}, "SPAN_KIND_CLIENT": {}}
	for _, s := range end() {
		maps.Copy(examples[s.Kind], s.Attributes)
	}
	var b strings.Builder
	for _, part := range []struct{ title, kind string }{{"The span of a call (SERVER)", "SPAN_KIND_SERVER"}, {"The span of an attempt (CLIENT)", "SPAN_KIND_CLIENT"}} {
		fmt.Fprintf(&b, "## %s\n\n| Attribute | For example |\n| --- | --- |\n", part.title)
		for _, name := range slices.Sorted(maps.Keys(examples[part.kind])) {
			fmt.Fprintf(&b, "| `%s` | `%v` |\n", name, examples[part.kind][name])
		}
		b.WriteString("\n")
	}
	docpage.Check(t, "../../../docs/reference/traces.md", b.String())
}

func TestTheCallerDecidesForItsCallsAndTheRatioForOthers(t *testing.T) {
	unsampled := strings.TrimSuffix(parent, "01") + "00"
	for _, c := range []struct {
		ratio float64
		trace string
		want  int // spans of calls, of 400
		slack int
	}{
		{0, "", 0, 0}, {1, "", 400, 0}, {0.25, "", 100, 45},
		{0, parent, 400, 0}, {1, unsampled, 0, 0}, {0, "not a traceparent", 0, 0}, {1, "not a traceparent", 400, 0},
	} {
		tracer, end := tracing(t, traces.Config{Ratio: c.ratio})
		kept := 0
		for i := range 400 {
			events := story(fmt.Sprintf("hf_%d", i), c.trace)
			tracer.Record(events[3])
			if tracer.Identify(events[0].Call).Sampled {
				kept++
			}
		}
		n := len(end())
		if n < c.want-c.slack || n > c.want+c.slack || n != kept {
			t.Errorf("ratio %g, traceparent %q: %d spans and %d said to be kept, want about %d", c.ratio, c.trace, n, kept, c.want)
		}
	}
}

func TestTraceparentsAreReadAsTheStandardSays(t *testing.T) {
	tracer, _ := tracing(t, traces.Config{})
	for header, good := range map[string]bool{
		parent:                                   true,
		"cc" + parent[2:] + "-what-will-come":    true,  // a later version may append
		parent + "-more":                         false, // this version may not
		"ff" + parent[2:]:                        false,
		strings.ToUpper(parent):                  false,
		parent[:54]:                              false,
		strings.Replace(parent, "-", "_", 1):     false,
		strings.Replace(parent, "4bf9", "zz", 1): false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
		strings.Repeat("0", 100_000):                              false,
		"":                                                        false,
	} {
		id := tracer.Identify(&call.Call{ID: "hf_1", Trace: header})
		if joined := id.Trace.String() == parentID; joined != good || id.Sampled != good {
			t.Errorf("%.80q: joined %v, kept %v; want %v", header, joined, id.Sampled, good)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(parent)
	tracer := traces.New(traces.Options{})
	f.Fuzz(func(t *testing.T, header string) {
		id := tracer.Identify(&call.Call{ID: "hf_1", Trace: header})
		if id.Sampled && !strings.Contains(header, id.Trace.String()) {
			t.Errorf("%q became trace %s", header, id.Trace)
		}
	})
}

func TestProvidersSeeNoTraceUnlessTheConfigurationSaysSo(t *testing.T) {
	c := &call.Call{ID: "hf_1", Trace: parent}
	sent := func(tracer *traces.Tracer, c *call.Call, n int) http.Header {
		h := http.Header{"Tracestate": {"vendor=1"}, "Baggage": {"user=alice"}, "X-Other": {"stays"}}
		if c.Trace != "" {
			h.Set("Traceparent", c.Trace)
		}
		tracer.Headers(h, c, n)
		if h.Get("Tracestate") != "" || h.Get("Baggage") != "" || h.Get("X-Other") != "stays" {
			t.Errorf("sent %v", h)
		}
		return h
	}
	private, _ := tracing(t, traces.Config{Ratio: 1})
	if got := sent(private, c, 1).Get("Traceparent"); got != "" {
		t.Errorf("a provider sees %q", got)
	}
	open, end := tracing(t, traces.Config{Ratio: 1, Propagate: true})
	record(open, story("hf_1", parent))
	got := []string{sent(open, c, 1).Get("Traceparent"), sent(open, c, 2).Get("Traceparent")}
	for i, s := range end()[:2] {
		if want := "00-" + parentID + "-" + s.ID + "-01"; got[i] != want {
			t.Errorf("attempt %d carries %q, want its own span: %q", i+1, got[i], want)
		}
	}
	through := traces.New(traces.Options{})
	if err := through.Use(traces.Config{Propagate: true}); err != nil {
		t.Fatal(err)
	}
	if got := sent(through, c, 1).Get("Traceparent"); got != parent {
		t.Errorf("without spans of our own a provider sees %q, want the caller's", got)
	}
	if got := sent(through, &call.Call{ID: "hf_2", Trace: "nonsense"}, 1).Get("Traceparent"); got != "" {
		t.Errorf("a malformed traceparent is handed on: %q", got)
	}
}

func TestWhatTheCallerChoosesIsBoundedAndValid(t *testing.T) {
	tracer, end := tracing(t, traces.Config{Ratio: 1})
	events := story("hf_1", "")
	c := events[3].Call
	c.Request.Model, c.Path, c.Method = strings.Repeat("m", 127)+"é\n\x1b[31m", "/"+strings.Repeat("p", 1<<20), "BREW"
	tracer.Record(events[3])
	s := end()[0]
	if len(s.Name) > 256 || len(fmt.Sprint(s.Attributes)) > 2000 || strings.ContainsRune(s.Name, '�') {
		t.Errorf("a span of %d bytes, named %q", len(fmt.Sprint(s)), s.Name)
	}
	if s.Attributes["http.request.method"] != "_OTHER" {
		t.Errorf("method %v", s.Attributes["http.request.method"])
	}
}

func TestFaultsAreErrorsAndWhatTheCallerDidIsNot(t *testing.T) {
	for _, c := range []struct {
		class  call.Class
		reason string
		status int
		kind   string
		fails  string
	}{
		{call.Timeout, "", 504, "STATUS_CODE_ERROR", "timeout"},
		{call.Refused, "queue_full", 503, "STATUS_CODE_ERROR", "queue_full"},
		{call.Refused, "unknown_route", 404, "STATUS_CODE_UNSET", "unknown_route"},
		{call.ClientError, "", 400, "STATUS_CODE_UNSET", "client_error"},
		{call.Canceled, "canceled", 0, "STATUS_CODE_UNSET", "canceled"},
		{call.Auth, "", 401, "STATUS_CODE_ERROR", "auth"},
	} {
		tracer, end := tracing(t, traces.Config{})
		e := story("hf_1", parent)[3]
		e.Outcome, e.Reason, e.Status = call.Outcome{Verdict: call.Verdict{Class: c.class}}, c.reason, c.status
		tracer.Record(e)
		if s := end()[0]; s.Status != c.kind || s.Attributes["error.type"] != c.fails {
			t.Errorf("%s %s: status %s, error.type %v", c.class, c.reason, s.Status, s.Attributes["error.type"])
		}
	}
}

// hanging is a collector that takes connections and never answers.
func hanging(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

func TestACollectorThatNeverAnswersCostsSpansAndNoTime(t *testing.T) {
	var log bytes.Buffer
	tracer := traces.New(traces.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if err := tracer.Use(traces.Config{Endpoint: hanging(t), Ratio: 1}); err != nil {
		t.Fatal(err)
	}
	const calls = 20_000
	began := time.Now()
	for i := range calls {
		tracer.Record(story(fmt.Sprint(i), "")[3])
	}
	took := time.Since(began)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tracer.Close(ctx)
	if tracer.Dropped() != calls {
		t.Errorf("%d of %d spans are counted as dropped", tracer.Dropped(), calls)
	}
	if took > 5*time.Second { // a wait for the collector would be ten seconds, many times
		t.Errorf("recording %d spans took %s", calls, took)
	}
	var line struct{ Level, Msg string }
	if err := json.NewDecoder(&log).Decode(&line); err != nil || line.Level != "WARN" || line.Msg != "spans were not taken" {
		t.Errorf("the log says %+v, %v", line, err)
	}
	tracer.Record(story("late", "")[3])
	if tracer.Dropped() != calls+1 {
		t.Error("a span after Close is not counted")
	}
}

func TestACollectorsKeyComesFromTheEnvironment(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame")
	t.Setenv("OTEL_SERVICE_NAME", "edge-7")
	sink, shown := &otlpsink.Sink{}, make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown <- r.Header.Get("Authorization")
		sink.ServeHTTP(w, r)
	}))
	defer server.Close()
	tracer := traces.New(traces.Options{})
	if err := tracer.Use(traces.Config{Endpoint: server.URL, Ratio: 1}); err != nil {
		t.Fatal(err)
	}
	tracer.Record(story("hf_1", "")[3])
	tracer.Close(t.Context())
	if got := <-shown; got != "Bearer sesame" {
		t.Errorf("the collector is shown %q", got)
	}
	if name := sink.Spans()[0].Resource["service.name"]; name != "edge-7" {
		t.Errorf("sent by %v", name)
	}
}

func TestUseMovesToAnotherCollectorAndKeepsTheOldOneOnAMistake(t *testing.T) {
	sinks := []*otlpsink.Sink{{}, {}}
	var ends []string
	for _, s := range sinks {
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		ends = append(ends, server.URL)
	}
	tracer := traces.New(traces.Options{})
	use := func(c traces.Config) error { c.Ratio = 1; return tracer.Use(c) }
	if err := use(traces.Config{Endpoint: ends[0]}); err != nil {
		t.Fatal(err)
	}
	tracer.Record(story("hf_1", "")[3])
	for _, bad := range []traces.Config{{Endpoint: "collector:4318"}, {Endpoint: "http://user:pw@host"}, {GenAI: "v2"}} {
		if err := use(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	tracer.Record(story("hf_2", "")[3])
	if err := use(traces.Config{Endpoint: ends[1] + "/"}); err != nil {
		t.Fatal(err)
	}
	tracer.Record(story("hf_3", "")[3])
	tracer.Close(t.Context())
	if a, b := len(sinks[0].Spans()), len(sinks[1].Spans()); a != 2 || b != 1 {
		t.Errorf("%d and %d spans, want 2 and 1", a, b)
	}
}

func BenchmarkRecord(b *testing.B) {
	for name, c := range map[string]traces.Config{
		"off": {}, "none sampled": {Endpoint: "http://127.0.0.1:1"}, "one in a thousand": {Endpoint: "http://127.0.0.1:1", Ratio: 0.001},
	} {
		b.Run(name, func(b *testing.B) {
			tracer := traces.New(traces.Options{})
			if err := tracer.Use(c); err != nil {
				b.Fatal(err)
			}
			defer func() {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				tracer.Close(ctx)
			}()
			e := story("hf_1", "")[3]
			b.ReportAllocs()
			for b.Loop() {
				tracer.Record(e)
			}
		})
	}
}
