package server_test

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/server"
)

const realtimeFile = head + `
REALTIME
providers:
  up: {kind: openai, base_url: "UP", api_key: sk-theirs-0123}
routes:
  talk: {match: {model: "voice*"}, targets: up/gpt-realtime}
`

// shout switches protocols and shouts back what it hears; it answers 400 without
// the provider's key and model.
func shout(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer sk-theirs-0123" || r.URL.Query().Get("model") != "gpt-realtime" {
		http.Error(w, "who are you", http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_ = buffered.Flush()
	for line, err := buffered.ReadString('\n'); err == nil; line, err = buffered.ReadString('\n') {
		fmt.Fprint(buffered, strings.ToUpper(line))
		_ = buffered.Flush()
	}
}

// TestRealtimeIsATunnelOnlyWhereTheFileSaysSo: authenticated, to the model's
// route, with the provider's key; refused with 426 by default, and to web pages
// of other origins always.
func TestRealtimeIsATunnelOnlyWhereTheFileSaysSo(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(shout))
	t.Cleanup(upstream.Close)
	for setting, want := range map[string]int{"": 426, "realtime: refuse": 426, "realtime: tunnel": 101} {
		g := start(t, strings.NewReplacer("REALTIME", setting, "UP", upstream.URL).Replace(realtimeFile), server.Options{})
		knock := func(path, more string) (int, *bufio.Reader, net.Conn) {
			conn, err := net.Dial("tcp", g.Addr())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer mine\r\n%s\r\n", path, g.Addr(), more)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, in, conn
		}
		status, in, conn := knock("/v1/realtime?model=voice-1", "")
		if status != want {
			t.Fatalf("%q: status %d, want %d", setting, status, want)
		}
		if want == 101 {
			fmt.Fprint(conn, "hello\n")
			if line, err := in.ReadString('\n'); line != "HELLO\n" || err != nil {
				t.Errorf("heard %q, %v", line, err)
			}
			if status, _, c := knock("/v1/realtime?model=voice-1", "Origin: https://elsewhere.example\r\n"); status != 403 {
				t.Errorf("a page of another origin got %d, want 403", status)
			} else {
				_ = c.Close()
			}
			if status, _, c := knock("/v1/responses", ""); status != 426 {
				t.Errorf("/v1/responses got %d, want 426", status)
			} else {
				_ = c.Close()
			}
			if status, _, c := knock("/v1/realtime?model=nobody", ""); status != 404 {
				t.Errorf("a model without a route got %d, want 404", status)
			} else {
				_ = c.Close()
			}
		}
		_ = conn.Close()
		g.finish()
	}
}

// tunnelled opens a gateway with a tunnel through it.
func tunnelled(t *testing.T, o server.Options) (*gateway, net.Conn, *bufio.Reader) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(shout))
	t.Cleanup(upstream.Close)
	g := start(t, strings.NewReplacer("REALTIME", "realtime: tunnel", "UP", upstream.URL).Replace(realtimeFile), o)
	conn, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "GET /v1/realtime?model=voice HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	return g, conn, in
}

// TestADrainLetsATunnelGoOnUntilItsTimeIsOver: then its end is told by the end of
// the connection.
func TestADrainLetsATunnelGoOnUntilItsTimeIsOver(t *testing.T) {
	g, conn, in := tunnelled(t, server.Options{Drain: time.Second})
	g.stop()
	waitFor(t, "new connections to be refused", func() bool {
		c, err := net.Dial("tcp", g.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, "still there\n")
	if line, err := in.ReadString('\n'); line != "STILL THERE\n" || err != nil {
		t.Errorf("while draining: heard %q, %v", line, err)
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 { // until the connection is cut
		t.Errorf("heard %q more", rest)
	}
	if err := g.finish(); !errors.Is(err, server.ErrCut) {
		t.Errorf("ended with %v, want ErrCut", err)
	}
}

func TestADrainIsOverWhenTheLastTunnelIs(t *testing.T) {
	g, conn, in := tunnelled(t, server.Options{})
	g.stop()
	waitFor(t, "/readyz to say no, or nobody to be there", func() bool {
		resp, err := http.Get("http://" + g.Addr() + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil || resp.StatusCode == 503
	})
	_ = conn.Close()
	_, _ = io.ReadAll(in)
	if err := g.finish(); err != nil {
		t.Errorf("ended with %v, want a clean end", err)
	}
}

// TestAKeyThatMayNotUseEverythingHasNoTunnel: what goes through one is not read.
func TestAKeyThatMayNotUseEverythingHasNoTunnel(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(shout))
	t.Cleanup(upstream.Close)
	const free, bound = "hf-free-0123456789abcdef", "hf-bound-0123456789abcdef"
	digest := func(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }
	file := strings.NewReplacer("REALTIME", "realtime: tunnel", "UP", upstream.URL).Replace(realtimeFile) +
		"keys:\n  free: {sha256: " + digest(free) + "}\n  bound: {sha256: " + digest(bound) + ", models: [other]}\n"
	g := start(t, file, server.Options{})
	for key, want := range map[string]int{free: 101, bound: 404} {
		conn, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /v1/realtime?model=voice-1 HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer %s\r\n\r\n", g.Addr(), key)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v, %v, want %d", key, resp, err, want)
		}
		_ = conn.Close()
	}
}
