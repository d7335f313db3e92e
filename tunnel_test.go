package holdfast_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
)

// realtime is a provider that switches protocols and then shouts back what it
// hears, line by line.
type realtime struct {
	asked, left atomic.Int32
	seen        chan *http.Request
}

func (p *realtime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	p.seen <- r
	if r.Header.Get("Upgrade") != "websocket" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer p.left.Add(1)
	defer conn.Close()
	fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
	_ = buffered.Flush()
	for {
		line, err := buffered.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprint(buffered, strings.ToUpper(line))
		if buffered.Flush() != nil || line == "bye\n" {
			return
		}
	}
}

// TestATunnelHoldsOnePermitAndItsBytesPassUnread: with the route's model and the
// target's credential, one attempt, until one side ends.
func TestATunnelHoldsOnePermitAndItsBytesPassUnread(t *testing.T) {
	provider := &realtime{seen: make(chan *http.Request, 10)}
	server := httptest.NewServer(provider)
	defer server.Close()
	ended := make(chan call.Event, 10)
	hf, err := holdfast.NewTransport(holdfast.Config{
		Routes: []holdfast.Route{{Name: "talk", Models: []string{"voice"}, Targets: []holdfast.Target{
			{BaseURL: server.URL, Model: "gpt-realtime", Keys: []holdfast.Key{{Secret: "sk-theirs"}}}}}},
		Recorder: call.RecorderFunc(func(e *call.Event) {
			if e.Kind == call.CallEnded {
				ended <- *e
			}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()
	for _, how := range []string{"the provider ends it", "the caller closes it", "the caller's context ends"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://app.invalid/v1/realtime?model=voice", nil)
		req.Header.Set("Connection", "keep-alive, Upgrade")
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Authorization", "Bearer sk-ours")
		resp, err := hf.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("X-Holdfast-Route") != "talk" {
			t.Fatalf("%s: %v, %+v", how, err, resp)
		}
		seen := <-provider.seen
		if seen.Header.Get("Authorization") != "Bearer sk-theirs" || seen.URL.Query().Get("model") != "gpt-realtime" {
			t.Errorf("the provider saw %q and %q", seen.Header.Get("Authorization"), seen.URL.RawQuery)
		}
		conn, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatal("the body cannot be written to")
		}
		fmt.Fprint(conn, "hello\n")
		lines := bufio.NewReader(conn)
		if line, err := lines.ReadString('\n'); line != "HELLO\n" || err != nil {
			t.Errorf("heard %q, %v", line, err)
		}
		if n := hf.Status().Targets[0].InFlight; n != 1 {
			t.Errorf("%d permits are held while it is open", n)
		}
		switch how {
		case "the provider ends it":
			fmt.Fprint(conn, "bye\n")
			_, _ = io.Copy(io.Discard, lines)
			_ = conn.Close()
		case "the caller closes it":
			_ = conn.Close()
			_ = conn.Close()
		default:
			cancel()
		}
		select {
		case e := <-ended:
			if e.Outcome.Class != call.OK || e.Attempt != 1 {
				t.Errorf("%s: ended as %s after %d attempts", how, e.Outcome.Class, e.Attempt)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the call did not end", how)
		}
		if n := hf.Status().Targets[0].InFlight; n != 0 {
			t.Errorf("%s: %d permits are still held", how, n)
		}
		cancel()
	}
}

// TestATunnelIsNotTriedAgain: one attempt, and the provider's own word.
func TestATunnelIsNotTriedAgain(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	hf, err := holdfast.NewTransport(route(holdfast.Target{Name: "a", BaseURL: server.URL}, holdfast.Target{Name: "b", BaseURL: server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()
	req, _ := http.NewRequest("GET", "http://app.invalid/v1/realtime?model=m", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := hf.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if asked != 1 || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("asked %d times, status %d", asked, resp.StatusCode)
	}
}
