package conformance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/sim"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// The keys of the one who calls and of the gateway's own account.
const (
	callersKey = "sk-caller"
	ownKey     = "sk-own"
)

// way is one way from a client to the provider. Only the base URL and the
// http.Client differ.
type way struct {
	name    string
	base    string // without /v1
	client  *http.Client
	lenient bool // a stream may end without its terminator
	gateway bool // a process of its own, which answers some paths itself
}

// clocks are the settings that a test may shorten.
type clocks struct{ firstToken, idle, attempt time.Duration }

// short clocks make an outage a matter of seconds. A busy machine is slow, too:
// shorter ones would take it for an outage.
var short = clocks{firstToken: 800 * time.Millisecond, idle: 800 * time.Millisecond, attempt: 1600 * time.Millisecond}

func (c clocks) config() timeout.Config {
	return timeout.Config{FirstToken: c.firstToken, FirstTokenReasoning: c.firstToken, Idle: c.idle, Attempt: c.attempt, AttemptFixed: c.attempt > 0}
}

func (c clocks) yaml() string {
	if c == (clocks{}) {
		return ""
	}
	return fmt.Sprintf("timeout:\n  first_token: %s\n  first_token_reasoning: %s\n  idle: %s\n  attempt: %s\n  attempt_fixed: true\n",
		c.firstToken, c.firstToken, c.idle, c.attempt)
}

// waysTo are all ways to a provider, the direct one first.
func waysTo(t *testing.T, provider string, c clocks) []way {
	t.Helper()
	all := []way{{name: "direct", base: provider, client: plainClient(t)}}
	return append(all, throughHoldfast(t, provider, c)...)
}

func throughHoldfast(t *testing.T, provider string, c clocks) []way {
	t.Helper()
	guard := transport(t, holdfast.Config{Timeout: c.config()})
	routed := transport(t, holdfast.Config{Timeout: c.config(), Routes: []holdfast.Route{{Name: "all", Targets: []holdfast.Target{
		{Name: "openai", Vendor: "openai", BaseURL: provider},
		{Name: "anthropic", Vendor: "anthropic", BaseURL: provider},
	}}}})
	return []way{
		{name: "a transport without configuration", base: provider, client: guard, lenient: true},
		{name: "a transport with a route", base: provider, client: routed},
		{name: "a gateway", base: serve(t, configuration(provider, c)).URL, client: plainClient(t), gateway: true},
	}
}

// settings are the part of a gateway's file before its routes: the two vendors
// at one address.
func settings(provider string, c clocks) string {
	return fmt.Sprintf(`version: 1
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0"}
logs: {format: json}
%sproviders:
  openai: {base_url: "%s", api_key: %s}
  anthropic: {base_url: "%s", api_key: %s}
`, c.yaml(), provider, ownKey, provider, ownKey)
}

// configuration is a gateway's file with one route for every model.
func configuration(provider string, c clocks) string {
	return settings(provider, c) + `routes:
  all:
    match: {model: [gpt-sim, claude-sim, text-embedding-sim, "*"]}
    targets: [openai/*, anthropic/*]
`
}

func transport(t *testing.T, c holdfast.Config) *http.Client {
	t.Helper()
	hf, err := holdfast.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hf.Close() })
	return &http.Client{Transport: hf}
}

// plainClient is what an application has without Holdfast.
func plainClient(t *testing.T) *http.Client {
	t.Helper()
	own := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(own.CloseIdleConnections)
	return &http.Client{Transport: own}
}

// startSim starts a simulated provider whose answers are sixty tokens long.
func startSim(t *testing.T) (*sim.Provider, string) {
	t.Helper()
	provider := sim.New(sim.Config{Dials: sim.Dials{OutputTokens: 60}})
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	return provider, server.URL
}

// tape is a provider that answers the same request always with the same bytes:
// the simulated provider's, as it wrote them the first time. So answers can be
// compared to the last bit, ids and times included.
type tape struct {
	provider http.Handler

	mu      sync.Mutex
	answers map[string]*taped
}

// taped is one answer. It is a ResponseWriter while it is recorded.
type taped struct {
	header http.Header
	status int
	writes [][]byte
}

func (a *taped) Header() http.Header    { return a.header }
func (a *taped) WriteHeader(status int) { a.status = status }
func (a *taped) Flush()                 {}

func (a *taped) Write(b []byte) (int, error) {
	if len(b) > 0 {
		a.writes = append(a.writes, bytes.Clone(b))
	}
	return len(b), nil
}

// startTape starts a provider that repeats itself.
func startTape(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(&tape{provider: sim.New(sim.Config{}), answers: map[string]*taped{}})
	t.Cleanup(server.Close)
	return server.URL
}

func (p *tape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	a := p.answer(r, fmt.Sprintf("%s %s %s %x", r.Method, r.URL.Path, r.Header.Get("Anthropic-Version"), sha256.Sum256(body)))
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	for _, b := range a.writes {
		if _, err := w.Write(b); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

func (p *tape) answer(r *http.Request, question string) *taped {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.answers[question]
	if a == nil {
		a = &taped{header: http.Header{}, status: http.StatusOK}
		p.provider.ServeHTTP(a, r)
		p.answers[question] = a
	}
	return a
}

// requests counts what passes through an http.Client, as a client's own retries
// do.
type requests struct {
	next http.RoundTripper
	mu   sync.Mutex
	n    int
	last http.Header // of the last answer
}

func (c *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.last = nil; resp != nil {
		c.last = resp.Header.Clone()
	}
	return resp, err
}

// counted returns w with a counter before its client.
func (w way) counted() (way, *requests) {
	c := &requests{next: w.client.Transport}
	w.client = &http.Client{Transport: c}
	return w, c
}

// take returns the count and begins anew.
func (c *requests) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = 0
	return n
}

func slug(s string) string { return strings.ReplaceAll(s, " ", "-") }
