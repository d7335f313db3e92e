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

// switching answers every request by switching protocols.
type switching struct {
	answer func(req *http.Request)
	body   io.ReadCloser
}

func (s switching) RoundTrip(req *http.Request) (*http.Response, error) {
	s.answer(req)
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, Body: s.body, Request: req}, nil
}

// silent is one side of a connection on which nothing comes.
type silent struct{ closed chan struct{} }

func (s silent) Read([]byte) (int, error) { <-s.closed; return 0, io.EOF }
func (s silent) Close() error             { close(s.closed); return nil }

// talkative is silent and can be written to.
type talkative struct{ silent }

func (talkative) Write(p []byte) (int, error) { return len(p), nil }

// TestATunnelEndsWithTheCallOfACallerWhoLeavesAsItBegins: whatever the moment, it
// ends once, and holds nothing.
func TestATunnelEndsWithTheCallOfACallerWhoLeavesAsItBegins(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		body := talkative{silent{make(chan struct{})}}
		ended := make(chan call.Outcome, 10)
		c := route(to("a", ""))
		c.Transport = switching{func(*http.Request) { go cancel() }, body}
		c.Recorder = call.RecorderFunc(func(e *call.Event) {
			if e.Kind == call.CallEnded {
				ended <- e.Outcome
			}
		})
		hf, err := holdfast.NewTransport(c)
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://app.invalid/v1/realtime?model=m", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		if resp, err := hf.RoundTrip(req); err == nil {
			<-body.closed
			_ = resp.Body.Close()
		}
		<-ended
		if n := hf.Status().Targets[0].InFlight; n != 0 || len(ended) > 0 {
			t.Fatalf("%d permits are still held, the call ended %d times more", n, len(ended))
		}
		_ = hf.Close()
	}
}

// TestAConnectionThatCannotBeWrittenToIsNoTunnel: it is closed, and the call told.
func TestAConnectionThatCannotBeWrittenToIsNoTunnel(t *testing.T) {
	body := silent{make(chan struct{})}
	c := route(to("a", ""))
	c.Transport = switching{func(*http.Request) {}, body}
	hf, err := holdfast.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://app.invalid/v1/realtime?model=m", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := hf.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Fatalf("got %v, %v", resp, err)
	}
	select {
	case <-body.closed:
	default:
		t.Error("the provider's connection is still open")
	}
}

// TestAProviderThatSwitchesProtocolsUnaskedIsLeft: its call would wait for ever.
func TestAProviderThatSwitchesProtocolsUnaskedIsLeft(t *testing.T) {
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = conn.Read(make([]byte, 1)) // nothing more, until the other side has had enough
	}))
	defer odd.Close()
	for _, kind := range []string{"lean", "net"} {
		for _, path := range []string{"/v1/chat/completions", "/v1/moderations"} {
			c := route(holdfast.Target{Name: "odd", BaseURL: odd.URL})
			c.HTTP = kind
			hf, err := holdfast.NewTransport(c)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			req, _ := http.NewRequestWithContext(ctx, "POST", "http://app.invalid"+path, strings.NewReader(`{"model":"m","messages":[]}`))
			resp, err := hf.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, path, err)
			}
			_ = resp.Body.Close()
			s := hf.Status().Targets[0]
			if reason := resp.Header.Get("X-Holdfast-Reason"); resp.StatusCode != http.StatusBadGateway || reason != call.ReasonUpstreamUnreachable || s.InFlight != 0 {
				t.Errorf("%s, %s: status %d, reason %q, %d permits held, log %q", kind, path, resp.StatusCode, reason, s.InFlight, resp.Header.Get("X-Holdfast-Attempt-Log"))
			}
			_ = hf.Close()
			cancel()
		}
	}
}
