package agents

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
	"github.com/holdfast-gateway/holdfast/internal/process"
	"github.com/holdfast-gateway/holdfast/sim"
)

const (
	// asked, in the environment, says that the agents may be fetched and run.
	asked = "HOLDFAST_CLIENTS"
	// binary, in the environment, is the holdfast to put before the providers.
	binary = "HOLDFAST_BINARY"
	// asGateway, in the environment, makes this test's own program be holdfast,
	// where no other is named.
	asGateway = "HOLDFAST_AGENTS_GATEWAY"
)

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "agents"))
	}
	os.Exit(m.Run())
}

// holdfastCommand is a command of the holdfast that is tested.
func holdfastCommand(ctx context.Context, args ...string) *exec.Cmd {
	if b := os.Getenv(binary); b != "" {
		return exec.CommandContext(ctx, b, args...)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asGateway+"=1")
	return cmd
}

// gateway is a running `holdfast serve`.
type gateway struct {
	callers, operators string

	mu  sync.Mutex
	log []line
}

// line is what is read of the gateway's log.
type line struct {
	Msg        string
	Time       time.Time // attempt: when it ended
	Target     string
	DurationMS float64 `json:"duration_ms"`
}

// serve runs the gateway with this configuration until the test ends.
func serve(t *testing.T, configuration string) *gateway {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	command := holdfastCommand(context.Background(), "serve", "-c", file, "--drain-delay", "0s")
	command.Env = append(command.Environ(), "HOLDFAST_STATE="+filepath.Join(dir, "state"))
	g := &gateway{}
	running, err := process.Serve(command, g.read)
	if err != nil {
		t.Fatalf("the gateway: %v", err)
	}
	g.callers, g.operators = running.Callers, running.Operators
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	return g
}

func (g *gateway) read(text []byte) {
	var l line
	if json.Unmarshal(text, &l) != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, l)
}

// attempts are when the gateway asked each target, as its log says: for targets
// that cannot count themselves, because they are not there.
func (g *gateway) attempts() map[string][]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := map[string][]time.Time{}
	for _, l := range g.log {
		if l.Msg == "attempt" {
			found[l.Target] = append(found[l.Target], l.Time.Add(-time.Duration(l.DurationMS*float64(time.Millisecond))))
		}
	}
	return found
}

// retried is how many requests the gateway took for a client's own retries.
func (g *gateway) retried(t *testing.T) int {
	t.Helper()
	resp, err := http.Get(g.operators + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		if value, ok := strings.CutPrefix(scan.Text(), `holdfast_client_retries_total{route="agents"} `); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	return 0
}

// request is what an agent asked, as it was seen on its way.
type request struct {
	at           time.Time
	method, path string
	status       int
	again        string // x-should-retry of the answer
	after        string // retry-after of the answer
	retry        string // x-stainless-retry-count
}

// watch stands between an agent and what it calls, and writes down what passes.
type watch struct {
	url  string
	mu   sync.Mutex
	seen []request
}

func newWatch(t *testing.T, to string) *watch {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		ModifyResponse: func(r *http.Response) error {
			w.note(r.Request, r.StatusCode, r.Header)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, _ error) {
			w.note(r, 0, http.Header{})
			panic(http.ErrAbortHandler) // broken there, broken here
		},
		ErrorLog: nil,
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *watch) note(r *http.Request, status int, h http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, request{at: time.Now(), method: r.Method, path: r.URL.Path, status: status,
		again: h.Get("X-Should-Retry"), after: h.Get("Retry-After"), retry: r.Header.Get("X-Stainless-Retry-Count")})
}

// requests returns what was asked of a path, and what was asked besides.
func (w *watch) requests(path string) (asked, besides []request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.seen {
		if r.method == http.MethodPost && r.path == path {
			asked = append(asked, r)
		} else {
			besides = append(besides, r)
		}
	}
	return asked, besides
}

// outside is where agents look for the rest of the world. It refuses everything
// and remembers the hosts that were asked for.
type outside struct {
	url   string
	mu    sync.Mutex
	hosts map[string]bool
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{hosts: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.hosts[r.Host] = true
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *outside) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var hosts []string
	for host := range o.hosts {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return hosts
}

// startSim starts a simulated provider.
func startSim(t *testing.T, fault string, chance float64) (*sim.Provider, string) {
	t.Helper()
	p := sim.New(sim.Config{Dials: sim.Dials{Fault: fault, FaultProbability: chance, OutputTokens: 60, Seed: 1}})
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return p, server.URL
}

// nobody is an address that refuses connections.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// configuration is a gateway's file with one route for every model. The second
// provider, where there is one, is asked when the first fails.
func configuration(a agent, settings string, providers []string) string {
	var b strings.Builder
	b.WriteString("version: 1\nlisten: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\nlogs: {format: json, level: debug}\nproviders:\n")
	targets := make([]string, len(providers))
	for i, address := range providers {
		name := [...]string{"first", "second"}[i]
		fmt.Fprintf(&b, "  %s: {kind: %s, base_url: %q, api_key: sk-own}\n", name, a.provider, address)
		targets[i] = name + "/*"
	}
	fmt.Fprintf(&b, "routes:\n  agents:\n    match: {model: \"*\"}\n    targets: [%s]\n%s", strings.Join(targets, ", "), settings)
	return b.String()
}

// window is how many of the moments lie within one span of time, at most.
func window(moments []time.Time, span time.Duration) int {
	slices.SortFunc(moments, time.Time.Compare)
	most := 0
	for i, first := range moments {
		n, _ := slices.BinarySearchFunc(moments[i:], first.Add(span), time.Time.Compare)
		most = max(most, n)
	}
	return most
}
