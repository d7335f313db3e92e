package holdfast_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/internal/pipenet"
	"github.com/holdfast-gateway/holdfast/timeout"
)

func TestAnAttemptThatDialRefusesWasNotSentAndTheNextTargetIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipenet.Listen()
		provider := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = provider.Serve(l) })
		forbidden := errors.New("that address is forbidden")
		var mu sync.Mutex
		var attempts []call.Outcome
		tr, err := holdfast.NewTransport(holdfast.Config{
			Routes: []holdfast.Route{{Name: "chat", Targets: []holdfast.Target{
				{Name: "bad", Vendor: "openai", BaseURL: "http://bad.test", Model: "m"},
				{Name: "good", Vendor: "openai", BaseURL: "http://good.test", Model: "m"},
			}}},
			Timeout: timeout.Config{Connect: 3 * time.Second},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if end, ok := ctx.Deadline(); !ok || time.Until(end) > 3*time.Second {
					t.Errorf("%s is dialled with the deadline %v, want that of timeout.connect", address, end)
				}
				if address == "bad.test:80" {
					return nil, forbidden
				}
				return l.DialContext(ctx, network, address)
			},
			Recorder: call.RecorderFunc(func(e *call.Event) {
				if e.Kind == call.AttemptEnded {
					mu.Lock()
					defer mu.Unlock()
					attempts = append(attempts, e.Outcome)
				}
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://any.test/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("got %v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		_ = tr.Close()
		_ = provider.Close()
		serving.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(attempts) < 2 {
			t.Fatalf("%d attempts: %+v", len(attempts), attempts)
		}
		for _, o := range attempts[:len(attempts)-1] {
			if o.Class != call.Transport || o.Sent || !errors.Is(o.Err, forbidden) || o.Billed() != call.BilledNo {
				t.Errorf("the refused attempt: %+v", o)
			}
		}
	})
}
