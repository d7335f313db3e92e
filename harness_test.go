package holdfast_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/internal/pipenet"
	"github.com/holdfast-gateway/holdfast/sim"
)

// world is a house with simulated providers around it, joined by in-memory
// connections, for use inside a synctest bubble.
type world struct {
	t     *testing.T
	sims  map[string]*sim.Provider
	base  *http.Transport
	near  bool // calls go to the handlers without a wire
	quiet bool // events are not kept
	hf    *holdfast.Transport
	mu    sync.Mutex
	seen  []call.Event
}

// build starts one simulated provider per name, reachable as http://NAME, and a
// Transport with the given configuration in front of them.
func build(t *testing.T, c holdfast.Config, names ...string) *world {
	t.Helper()
	w := &world{t: t, sims: map[string]*sim.Provider{}}
	listeners := map[string]*pipenet.Listener{}
	var servers []*http.Server
	for _, name := range names {
		w.sims[name] = sim.New(sim.Config{})
		l := pipenet.Listen()
		s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.sims[name].ServeHTTP(rw, r) })}
		go func() { _ = s.Serve(l) }()
		listeners[name] = l
		servers = append(servers, s)
	}
	w.base = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		l := listeners[host]
		if l == nil {
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}
		return l.DialContext(ctx, network, addr)
	}}
	if c.Transport == nil {
		c.Transport = http.RoundTripper(w)
	}
	if c.Recorder == nil {
		c.Recorder = call.RecorderFunc(w.record)
	}
	hf, err := holdfast.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	w.hf = hf
	t.Cleanup(func() {})
	w.stop(func() {
		_ = hf.Close()
		w.base.CloseIdleConnections()
		for _, s := range servers {
			_ = s.Close()
		}
	})
	return w
}

// stop runs f when the bubble's test ends; synctest waits for its goroutines.
func (w *world) stop(f func()) { w.t.Cleanup(f) }

func (w *world) record(e *call.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet {
		return
	}
	w.seen = append(w.seen, *e)
}

// events returns the events of one kind.
func (w *world) events(k call.EventKind) (found []call.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.seen {
		if e.Kind == k {
			found = append(found, e)
		}
	}
	return found
}

// target is a target of the simulated provider of that name, with a model.
func to(name, model string) holdfast.Target {
	return holdfast.Target{Name: name, Provider: name, Vendor: "openai", BaseURL: "http://" + name, Model: model}
}

func claude(name, model string) holdfast.Target {
	t := to(name, model)
	t.Vendor = "anthropic"
	return t
}

// route is a Config with one route for every model.
func route(targets ...holdfast.Target) holdfast.Config {
	return holdfast.Config{Routes: []holdfast.Route{{Name: "chat", Targets: targets}}}
}

// dialects of the test's requests.
var paths = map[string]string{"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}

// ask is a request body in a dialect.
func ask(dialect, model string, streamed bool) []byte {
	body := map[string]any{"model": model, "stream": streamed}
	switch dialect {
	case "responses":
		body["input"] = "Tell me a story."
		body["max_output_tokens"] = 60
	default:
		body["messages"] = []map[string]string{{"role": "user", "content": "Tell me a story."}}
		body["max_tokens"] = 60
	}
	b, _ := json.Marshal(body)
	return b
}

// got is what a caller saw.
type got struct {
	status int
	header http.Header
	body   string
	err    error // of RoundTrip
	read   error // of reading the body
	took   time.Duration
}

// do sends one request through the Transport and reads its answer to the end.
func (w *world) do(ctx context.Context, dialect string, body []byte, set ...func(*http.Request)) got {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://app.invalid"+paths[dialect], bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer sk-caller")
	for _, f := range set {
		f(req)
	}
	return w.send(req)
}

// send sends a request through the Transport and reads its answer to the end.
func (w *world) send(req *http.Request) got {
	began := time.Now()
	resp, err := w.hf.RoundTrip(req)
	if err != nil {
		return got{err: err, took: time.Since(began)}
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return got{status: resp.StatusCode, header: resp.Header, body: string(text), read: err, took: time.Since(began)}
}

// attempts returns how many requests a simulated provider saw.
func (w *world) attempts(name string) int { return len(w.sims[name].Log()) }

// complete reports whether the answer is one: its dialect's terminator is there
// and no error.
func (g got) complete(dialect string) bool {
	if g.err != nil || g.read != nil || g.status != 200 {
		return false
	}
	if strings.Contains(g.body, "event: error") || strings.Contains(g.body, `data: {"error"`) {
		return false
	}
	switch dialect {
	case "chat":
		return strings.HasSuffix(g.body, "data: [DONE]\n\n") || strings.Contains(g.body, `"chat.completion"`)
	case "responses":
		return strings.Contains(g.body, "event: response.completed") || strings.Contains(g.body, `"status":"completed"`)
	}
	return strings.Contains(g.body, "event: message_stop") || strings.Contains(g.body, `"stop_reason":"end_turn"`)
}

func (g got) String() string {
	body := g.body
	if len(body) > 600 {
		body = body[:300] + " ... " + body[len(body)-300:]
	}
	return fmt.Sprintf("status %d, err %v, read %v, took %s, log %q, body %q", g.status, g.err, g.read, g.took, g.header.Get("X-Holdfast-Attempt-Log"), body)
}

// direct makes calls go to the simulated providers' handlers without a wire.
func (w *world) direct() { w.near = true }

// RoundTrip is the way to the providers.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	if !w.near {
		return w.base.RoundTrip(req)
	}
	return serveDirect(w.sims[req.URL.Hostname()], req)
}

// CloseIdleConnections implements what http.Client asks of a transport.
func (w *world) CloseIdleConnections() { w.base.CloseIdleConnections() }

// serveDirect calls a handler in a goroutine of its own and returns when it has
// written its headers.
func serveDirect(h http.Handler, req *http.Request) (*http.Response, error) {
	r, body := io.Pipe()
	d := &directWriter{header: http.Header{}, body: body, ready: make(chan int, 1)}
	in := req.Clone(req.Context())
	in.RequestURI = in.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	go func() {
		defer func() {
			if recover() != nil {
				_ = body.CloseWithError(io.ErrUnexpectedEOF)
			}
			_ = body.Close()
		}()
		h.ServeHTTP(d, in)
		d.WriteHeader(http.StatusOK)
	}()
	select {
	case status := <-d.ready:
		stop := context.AfterFunc(req.Context(), func() { _ = r.CloseWithError(req.Context().Err()) })
		return &http.Response{StatusCode: status, Header: d.header, Body: &directBody{r, stop}, ContentLength: -1, Request: req}, nil
	case <-req.Context().Done():
		_ = r.CloseWithError(req.Context().Err()) // who writes to nobody would wait for ever
		return nil, req.Context().Err()
	}
}

type directBody struct {
	*io.PipeReader
	stop func() bool
}

func (b *directBody) Close() error {
	b.stop()
	return b.PipeReader.Close()
}

type directWriter struct {
	header http.Header
	body   *io.PipeWriter
	ready  chan int
	once   sync.Once
}

func (d *directWriter) Header() http.Header { return d.header }

func (d *directWriter) WriteHeader(status int) { d.once.Do(func() { d.ready <- status }) }

func (d *directWriter) Write(p []byte) (int, error) {
	d.WriteHeader(http.StatusOK)
	return d.body.Write(p)
}

func (d *directWriter) Flush() {}
