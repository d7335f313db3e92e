package arrival_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
	"github.com/holdfast-gateway/holdfast/sim"
)

// gateway is a running Server. Its route chat fails at the first target and is
// answered by the second; any takes every model.
type gateway struct {
	*server.Server
	t      *testing.T
	client *http.Client
	log    *slog.Logger // the gateway's own
}

func serve(t *testing.T, more string, logTo io.Writer) *gateway {
	t.Helper()
	simulated := sim.New(sim.Config{})
	if err := simulated.SetDials(sim.Dials{HeaderDelay: 2 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(simulated)
	t.Cleanup(upstream.Close)
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	content := "version: 1\nlisten: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nbreaker: {off: true}\nretry: {base: 1ms}\n" + more +
		"providers:\n  openai:\n    base_url: " + upstream.URL + "\n    api_key: " + provider + "\n" +
		"routes:\n  chat:\n    targets: [openai/sim/503, openai/gpt-4o]\n  good:\n    targets: [openai/gpt-4o]\n  any:\n    match: {model: [\"m-*\"]}\n    targets: [\"openai/*\"]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	queue := telemetry.NewQueue()
	log := slog.New(queue.Handler(slog.NewJSONHandler(logTo, &slog.HandlerOptions{Level: slog.LevelDebug})))
	s, err := server.New(f, server.Options{Log: log, Dropped: queue.Dropped, Version: "test", Watch: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, nil) }()
	wire := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		wire.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = queue.Close(short)
	})
	return &gateway{Server: s, t: t, client: &http.Client{Transport: wire}, log: log}
}

// post makes a call and reads its answer to the end.
func (g *gateway) post(model, key string) (status int, err error) {
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, prompt)
	req, err := http.NewRequestWithContext(g.t.Context(), "POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Traceparent", parent)
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (g *gateway) ask(model string) error {
	status, err := g.post(model, clients)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// flood makes calls for as many models as there are, with as many keys.
func (g *gateway) flood(n int, prefix string) {
	var all sync.WaitGroup
	const at = 8
	for worker := range at {
		all.Go(func() {
			for i := worker; i < n; i += at {
				name := prefix + strconv.Itoa(i)
				if _, err := g.post(name, "sk-"+name); err != nil {
					g.t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func (g *gateway) exposition() string {
	text, err := get("http://" + g.AdminAddr() + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

// metric returns the value of one series, -1 if there is none.
func (g *gateway) metric(series string) float64 {
	for line := range strings.Lines(g.exposition()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				g.t.Fatal(err)
			}
			return f
		}
	}
	return -1
}

func TestNamesFromOutsideMakeNoSeries(t *testing.T) {
	t.Parallel()
	g := serve(t, "logs: {level: error}\n", io.Discard)
	g.flood(1500, "m-")      // go to a target that passes the model on
	g.flood(1500, "unknown") // are refused
	own := 0
	for line := range strings.Lines(g.exposition()) {
		if strings.HasPrefix(line, "holdfast_") {
			own++
		}
	}
	if own > 500 || own < 50 {
		t.Errorf("%d series", own)
	}
	for _, part := range []string{"m-1", "unknown1", "sk-"} {
		if strings.Contains(g.exposition(), part) {
			t.Errorf("%q from outside is a label", part)
		}
	}
}

// hang is a writer that never returns, until the test ends.
type hang struct{ released chan struct{} }

func (h hang) Write(p []byte) (int, error) {
	<-h.released
	return len(p), nil
}

// silent is the address of a collector that takes everything and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// R31: a sink that hangs costs what it would have been told, and nobody's time.
func TestSinksThatHangDoNotSlowCalls(t *testing.T) {
	stuck := hang{make(chan struct{})}
	observed := serve(t, "logs: {level: debug, limit: off}\ntelemetry: {otlp: \""+silent(t)+"\"}\n", stuck)
	t.Cleanup(func() { close(stuck.released) }) // before the gateway ends
	alone := serve(t, "logs: {level: error}\n", io.Discard)

	for i := range 9_000 { // fills the queue of lines
		observed.log.Info("line", "i", i)
	}
	observed.flood(5_500, "unknown") // fills the queue of spans, cheaply
	for _, sink := range []string{"log", "traces"} {
		if n := observed.metric(`holdfast_telemetry_dropped_total{sink="` + sink + `"}`); n <= 0 {
			t.Fatalf("%g lost by %s: the sink does not hang", n, sink)
		}
	}
	const rounds = 4 // noise comes and goes; what a sink costs would stay
	var told string
	for range rounds {
		with, without := compare(t, observed, alone)
		told = fmt.Sprintf("p50 %s and p99 %s with hanging sinks, %s and %s without", at(with, 50), at(with, 99), at(without, 50), at(without, 99))
		t.Log(told)
		if ratio(with, without, 50) < 1.25 && ratio(with, without, 99) < 1.5 {
			return
		}
	}
	t.Errorf("in none of %d rounds were calls as fast as without sinks: %s", rounds, told)
}

// compare makes calls through both gateways in turn and returns how long they took.
func compare(t *testing.T, a, b *gateway) (ofA, ofB []time.Duration) {
	t.Helper()
	for range 250 {
		for _, one := range []struct {
			g    *gateway
			took *[]time.Duration
		}{{a, &ofA}, {b, &ofB}} {
			began := time.Now()
			if err := one.g.ask("good"); err != nil {
				t.Fatal(err)
			}
			*one.took = append(*one.took, time.Since(began))
		}
	}
	slices.Sort(ofA)
	slices.Sort(ofB)
	return ofA, ofB
}

func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[len(sorted)*percent/100]
}

func ratio(a, b []time.Duration, percent int) float64 {
	return float64(at(a, percent)) / float64(at(b, percent))
}
