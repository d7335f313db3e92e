package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/internal/otlpsink"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

func TestWhatIsToldChangesWithTheFile(t *testing.T) {
	sink := &otlpsink.Sink{}
	collector := httptest.NewServer(sink)
	defer collector.Close()
	level := &slog.LevelVar{}
	g := start(t, oneRoute, server.Options{Level: level})
	original, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		if resp, _, err := g.ask("/v1/chat/completions", `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
	}
	metrics := "http://" + g.AdminAddr() + "/metrics"
	ask()
	if status, _ := g.get(metrics); status != http.StatusOK || level.Level() != slog.LevelInfo {
		t.Errorf("at first: metrics %d, level %s", status, level.Level())
	}
	reload := func(more string) {
		t.Helper()
		write(t, g.file, string(original)+more)
		if err := g.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	reload("logs: {level: warn}\ntelemetry: {metrics: false, otlp: \"" + collector.URL + "\", genai_semconv: off}\n")
	ask()
	if status, _ := g.get(metrics); status != http.StatusNotFound || level.Level() != slog.LevelWarn {
		t.Errorf("after the change: metrics %d, level %s", status, level.Level())
	}
	reload("") // the spans of before are sent on
	ask()
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	spans := sink.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want those of the one call between: %+v", len(spans), spans)
	}
	for _, s := range spans {
		for name := range s.Attributes {
			if strings.HasPrefix(name, "gen_ai.") {
				t.Errorf("%s has %s", s.Name, name)
			}
		}
		if !strings.Contains(g.log.String(), `"trace_id":"`+s.Trace+`"`) {
			t.Errorf("no log line names the trace of %s", s.Name)
		}
	}
}

func TestARefusalAtTheDoorIsASpanOfTheCallersTrace(t *testing.T) {
	sink := &otlpsink.Sink{}
	collector := httptest.NewServer(sink)
	defer collector.Close()
	g := start(t, oneRoute+"telemetry: {otlp: \""+collector.URL+"\", traces: {ratio: off}}\n", server.Options{})
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://elsewhere.example")
	req.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	spans := sink.Spans()
	if len(spans) != 1 || spans[0].Trace != "4bf92f3577b34da6a3ce929d0e0e4736" || spans[0].Parent != "00f067aa0ba902b7" ||
		spans[0].Attributes["http.response.status_code"] != 403.0 || spans[0].Attributes["error.type"] != "client_error" {
		t.Errorf("%+v", spans)
	}
}
