// Package arrival_test runs a gateway with real observers around it: a collector
// and a Prometheus in processes of their own, and sinks that hang.
package arrival_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/internal/otlpsink"
	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// collectorVariable makes this test binary a collector instead.
const collectorVariable = "HOLDFAST_TEST_COLLECTOR"

func TestMain(m *testing.M) {
	if os.Getenv(collectorVariable) != "" {
		os.Exit(collect())
	}
	os.Exit(m.Run())
}

// collect is a collector: it says where it listens and ends with its input.
func collect() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("http://%s\n", l.Addr())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	fmt.Fprintln(os.Stderr, http.Serve(l, &otlpsink.Sink{}))
	return 1
}

// collector starts one, and returns its address and how to kill it.
func collector(t *testing.T) (address string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), collectorVariable+"=1")
	if _, err := c.StdinPipe(); err != nil { // closed when this process ends, however it does
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	kill = start(t, c)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), kill
}

// start starts a process and returns how to kill it, as the end of the test does.
func start(t *testing.T, c *exec.Cmd) (kill func()) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	t.Cleanup(kill)
	return kill
}

// prometheus starts one that scrapes target each second. It skips the test where
// there is none.
func prometheus(t *testing.T, target string) (address string, kill func()) {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		wanted.Missing(t, wanted.Prometheus, "prometheus is not here: apt-get install prometheus")
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	content := "scrape_configs:\n  - job_name: holdfast\n    scrape_interval: 1s\n    scrape_timeout: 1s\n    static_configs:\n      - targets: [\"" + target + "\"]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	at := free(t)
	c := exec.Command(binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+at, "--enable-feature=exemplar-storage", "--log.level=error")
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	return "http://" + at, start(t, c)
}

// free returns an address where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually asks until the answer is yes, for at most 20 seconds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s", what)
		case <-again.C:
		}
	}
}

func get(address string) (string, error) {
	resp, err := http.Get(address)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func arrived(address string) (spans []otlpsink.Span) {
	if text, err := get(address + "/spans"); err == nil {
		_ = json.Unmarshal([]byte(text), &spans)
	}
	return spans
}

// query asks a Prometheus for the value of an expression; "" when it has none.
func query(address, expression string) string {
	text, err := get(address + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return ""
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if json.Unmarshal([]byte(text), &answer) != nil || len(answer.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

const (
	trace    = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent   = "00-" + trace + "-00f067aa0ba902b7-01"
	clients  = "sk-canary-of-the-caller"
	provider = "sk-canary-of-the-provider"
	prompt   = "a canary in the prompt"
)

func TestSpansAndMetricsArriveAndNobodyMissesWhoTookThem(t *testing.T) {
	t.Parallel()
	spans, killCollector := collector(t)
	g := serve(t, "telemetry: {otlp: \""+spans+"\", traces: {propagate: true}}\n", io.Discard)
	metrics, killPrometheus := prometheus(t, g.AdminAddr())

	const calls = 20
	for range calls {
		if err := g.ask("chat"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "spans of calls and attempts", func() bool { return len(arrived(spans)) == calls*3 })
	whole := map[string]otlpsink.Span{}
	for _, s := range arrived(spans) {
		if s.Trace != trace {
			t.Fatalf("not in the caller's trace: %+v", s)
		}
		if s.Kind == "SPAN_KIND_SERVER" {
			whole[s.ID] = s
		}
	}
	attempts := 0
	for _, s := range arrived(spans) {
		if s.Kind == "SPAN_KIND_CLIENT" && whole[s.Parent].Name == "chat chat" && s.Attributes["server.address"] == "127.0.0.1" {
			attempts++
		}
	}
	if len(whole) != calls || attempts != calls*2 {
		t.Errorf("%d calls with %d attempts, want %d with 2 each", len(whole), attempts, calls)
	}
	eventually(t, "metrics", func() bool {
		return query(metrics, `sum(holdfast_requests_total{outcome="degraded"})`) == fmt.Sprint(calls)
	})
	eventually(t, "an example of a slow call", func() bool {
		text, _ := get(metrics + "/api/v1/query_exemplars?query=holdfast_request_duration_seconds_bucket&start=" +
			fmt.Sprint(time.Now().Add(-time.Minute).Unix()) + "&end=" + fmt.Sprint(time.Now().Add(time.Minute).Unix()))
		return strings.Contains(text, trace)
	})
	taken, _ := get(spans + "/spans")
	exposed, _ := get("http://" + g.AdminAddr() + "/metrics")
	for _, secret := range []string{clients, provider, prompt} {
		if strings.Contains(taken+exposed, secret) {
			t.Errorf("%q is told", secret)
		}
	}

	killCollector()
	killPrometheus()
	for range 5 * calls {
		if err := g.ask("chat"); err != nil {
			t.Fatalf("after the observers were killed: %v", err)
		}
	}
	eventually(t, "lost spans are counted", func() bool { return g.metric(`holdfast_telemetry_dropped_total{sink="traces"}`) == 5*calls*3 })
}
