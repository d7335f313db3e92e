package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
	"github.com/holdfast-gateway/holdfast/internal/process"
	"github.com/holdfast-gateway/holdfast/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a running Server in front of a simulated provider.
type gateway struct {
	*server.Server
	t        *testing.T
	file     string
	provider *sim.Provider
	log      *process.Text
	stop     context.CancelFunc
	now      chan struct{}
	ended    chan error
	finish   func() error
}

const head = `version: 1
listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
`

// start runs a gateway with a configuration in which SIM is the provider's
// address.
func start(t *testing.T, configuration string, o server.Options) *gateway {
	t.Helper()
	g := &gateway{t: t, log: &process.Text{}, now: make(chan struct{}), ended: make(chan error, 1), provider: sim.New(sim.Config{})}
	upstream := httptest.NewServer(g.provider)
	t.Cleanup(upstream.Close)
	g.file = filepath.Join(t.TempDir(), "holdfast.yaml")
	write(t, g.file, strings.ReplaceAll(configuration, "SIM", upstream.URL))
	file, err := config.Load(g.file)
	if err != nil {
		t.Fatal(err)
	}
	queue := telemetry.NewQueue()
	o.Log = slog.New(queue.Handler(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	o.Dropped, o.Version = queue.Dropped, "test"
	if o.Watch == 0 {
		o.Watch = -1
	}
	if g.Server, err = server.New(file, o); err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	go func() { g.ended <- g.Run(ctx, g.now) }()
	g.finish = sync.OnceValue(func() error {
		stop()
		err := <-g.ended
		_ = queue.Close(context.Background())
		http.DefaultClient.CloseIdleConnections()
		return err
	})
	t.Cleanup(func() { _ = g.finish() })
	return g
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) get(url string) (status int, body string) {
	g.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

// ask makes a call and reads its answer to the end.
func (g *gateway) ask(path, body string) (*http.Response, string, error) {
	resp, err := http.Post("http://"+g.Addr()+path, "application/json", strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return resp, string(content), err
}

const oneRoute = head + `
providers:
  openai:
    base_url: SIM
    api_key: sk-sim
routes:
  chat:
    targets: [openai/gpt-4o]
`

// TestWithoutKeysAPublicNameIsNotServed: a page's owner may have pointed it at
// this machine, and then no browser sees another origin (DNS rebinding).
func TestWithoutKeysAPublicNameIsNotServed(t *testing.T) {
	status := func(g *gateway, method, path, host string) int {
		req, err := http.NewRequest(method, "http://"+g.Addr()+path, strings.NewReader(`{"model":"chat","messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Origin", "http://"+host) // what the page's browser says, and it is the same
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	g := start(t, oneRoute+"hosts: [ai.example:8080]\n", server.Options{})
	for host, want := range map[string]int{
		"evil.example": 421, "evil.example:8080": 421, "localhost.evil.example": 421,
		g.Addr(): 200, "localhost:8080": 200, "gateway": 200, "host.docker.internal": 200, "ai.example": 200, "AI.example.:8080": 200,
	} {
		before := g.provider.Counts().Calls
		if got := status(g, "POST", "/v1/chat/completions", host); got != want {
			t.Errorf("%s: status %d, want %d", host, got, want)
		}
		if called := g.provider.Counts().Calls > before; called != (want == 200) {
			t.Errorf("%s: the provider was called: %t", host, called)
		}
		if got := status(g, "GET", "/v1/models", host); got != want {
			t.Errorf("%s: /v1/models: status %d, want %d", host, got, want)
		}
	}
	asksForKeys := start(t, oneRoute+"keys: {}\n", server.Options{})
	if got := status(asksForKeys, "POST", "/v1/chat/completions", "evil.example"); got != 401 {
		t.Errorf("a gateway that asks for keys answered %d, want 401: its name is nobody's matter", got)
	}
}

func TestOperatorsAndCallersHaveTheirOwnListeners(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	for _, c := range []struct {
		url    string
		status int
		want   string
	}{
		{"http://" + g.Addr() + "/livez", 200, "ok"},
		{"http://" + g.Addr() + "/readyz", 200, "ok"},
		{"http://" + g.AdminAddr() + "/livez", 200, "ok"},
		{"http://" + g.AdminAddr() + "/readyz", 200, "ok"},
		{"http://" + g.AdminAddr() + "/metrics", 200, `holdfast_build_info{goversion="go`},
		{"http://" + g.AdminAddr() + "/api/v1/status", 200, `"openai/gpt-4o"`},
		{"http://" + g.AdminAddr() + "/v1/models", 404, ""},
		{"http://" + g.Addr() + "/v1/models", 200, `"id":"chat"`},
	} {
		if status, body := g.get(c.url); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.url, status, body, c.status, c.want)
		}
	}
	if _, body := g.get("http://" + g.Addr() + "/metrics"); strings.Contains(body, "holdfast_build_info") {
		t.Error("callers can read the metrics")
	}
}

func TestOneAddressServesEverything(t *testing.T) {
	// A fixed port: that of a listener that was just closed.
	free := httptest.NewServer(http.NotFoundHandler())
	address := free.Listener.Addr().String()
	free.Close()
	g := start(t, strings.ReplaceAll(oneRoute, "127.0.0.1:0", address), server.Options{})
	if g.Addr() != g.AdminAddr() {
		t.Fatalf("callers at %s, operators at %s", g.Addr(), g.AdminAddr())
	}
	for _, path := range []string{"/metrics", "/api/v1/status", "/readyz", "/v1/models"} {
		if status, _ := g.get("http://" + g.Addr() + path); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	write(t, g.file, strings.Replace(oneRoute, "listen: 127.0.0.1:0", "listen: "+g.Addr(), 1))
	content, _ := os.ReadFile(g.file)
	write(t, g.file, strings.ReplaceAll(string(content), "SIM", "http://127.0.0.1:1"))
	file, err := config.Load(g.file)
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.New(file, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err == nil || !strings.Contains(err.Error(), "cannot listen on "+g.Addr()) {
		t.Errorf("got %v", err)
	}
}

func TestDrainingFinishesAnswersAndTakesNoNewOnes(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	if err := g.provider.SetDials(sim.Dials{FirstTokenDelay: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		_, body, err := g.ask("/v1/chat/completions", `{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
		if err != nil {
			body = err.Error()
		}
		answered <- body
	}()
	<-started
	waitFor(t, "the call to arrive", func() bool {
		_, body := g.get("http://" + g.AdminAddr() + "/api/v1/status")
		return strings.Contains(body, `"running": 1`)
	})
	g.stop()
	waitFor(t, "/readyz to say no", func() bool { status, _ := g.get("http://" + g.AdminAddr() + "/readyz"); return status == 503 })
	waitFor(t, "new calls to be refused", func() bool {
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		_, err := fresh.Get("http://" + g.Addr() + "/livez")
		return err != nil
	})
	if body := <-answered; !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("the answer under way was not finished: %q", body)
	}
	if err := g.finish(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestASecondSignalEndsAnswersHonestly(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	if err := g.provider.SetDials(sim.Dials{TokenInterval: time.Hour}); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	go func() {
		_, body, err := g.ask("/v1/chat/completions", `{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
		answered <- fmt.Sprint(body, err)
	}()
	waitFor(t, "the call to arrive", func() bool {
		_, body := g.get("http://" + g.AdminAddr() + "/api/v1/status")
		return strings.Contains(body, `"in_flight": 1`)
	})
	close(g.now)
	if err := g.finish(); !errors.Is(err, server.ErrCut) {
		t.Errorf("ended with %v, want ErrCut", err)
	}
	if got := <-answered; strings.Contains(got, "[DONE]") || !strings.Contains(got, `"code":"draining"`) || !strings.HasSuffix(got, "<nil>") {
		t.Errorf("the caller got %q", got)
	}
}

// waitFor looks again and again until something has happened.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if happened() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestAChangedFileIsPutInForce(t *testing.T) {
	g := start(t, oneRoute, server.Options{Watch: 5 * time.Millisecond})
	content, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.file, string(content)+"  second:\n    targets: [openai/gpt-4o]\n")
	waitFor(t, "the new route", func() bool {
		_, body := g.get("http://" + g.Addr() + "/v1/models")
		return strings.Contains(body, `"id":"second"`)
	})
	if resp, body, err := g.ask("/v1/chat/completions", `{"model":"second","messages":[{"role":"user","content":"hi"}]}`); err != nil || resp.StatusCode != 200 {
		t.Errorf("the new route does not answer: %v %s", err, body)
	}
}

func TestABadFileChangesNothingAndIsSeen(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	content, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.file, strings.Replace(string(content), "targets:", "target:", 1))
	if err := g.Reload(); err == nil || !strings.Contains(err.Error(), `unknown key "target"`) {
		t.Fatalf("got %v", err)
	}
	if resp, _, err := g.ask("/v1/chat/completions", `{"model":"chat","messages":[{"role":"user","content":"hi"}]}`); err != nil || resp.StatusCode != 200 {
		t.Errorf("the route of the good file does not answer: %v", err)
	}
	if _, body := g.get("http://" + g.AdminAddr() + "/metrics"); !strings.Contains(body, "\nholdfast_config_last_reload_successful 0\n") {
		t.Error("the metric does not say so")
	}
	if _, body := g.get("http://" + g.AdminAddr() + "/api/v1/status"); !strings.Contains(body, `unknown key \"target\"`) {
		t.Error("the status does not say so")
	}
	write(t, g.file, string(content))
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, body := g.get("http://" + g.AdminAddr() + "/metrics"); !strings.Contains(body, "\nholdfast_config_last_reload_successful 1\n") {
		t.Error("the metric does not recover")
	}
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	if log := g.log.String(); !strings.Contains(log, "holdfast.yaml:") || !strings.Contains(log, "configuration not changed") {
		t.Errorf("the log does not name the place: %s", log)
	}
}
