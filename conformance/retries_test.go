package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/retry"
)

// asker makes one call with its SDK's own retries, and says how it failed.
type asker struct {
	name string
	ask  func(ctx context.Context, w way, model, text string) (status int, code string, err error)
}

var askers = []asker{
	{"openai-go, chat", func(ctx context.Context, w way, model, text string) (int, string, error) {
		client := openaiClient(w)
		_, err := client.Chat.Completions.New(ctx, chatParams(model, text))
		return openaiError(err)
	}},
	{"openai-go, a stream of a response", func(ctx context.Context, w way, model, text string) (int, string, error) {
		client := openaiClient(w)
		_, err := gather(client.Responses.NewStreaming(ctx, responseParams(model, text)))
		return openaiError(err)
	}},
	{"anthropic-sdk-go, a message", func(ctx context.Context, w way, model, text string) (int, string, error) {
		client := anthropicClient(w)
		_, err := client.Messages.New(ctx, messageParams(model, text))
		return anthropicError(err)
	}},
	{"anthropic-sdk-go, a stream", func(ctx context.Context, w way, model, text string) (int, string, error) {
		client := anthropicClient(w)
		_, err := gatherMessages(client.Messages.NewStreaming(ctx, messageParams(model, text)))
		return anthropicError(err)
	}},
}

func openaiError(err error) (int, string, error) {
	var api *openai.Error
	if errors.As(err, &api) {
		return api.StatusCode, api.Code, err
	}
	return 0, "", err
}

func anthropicError(err error) (int, string, error) {
	var api *anthropic.Error
	if errors.As(err, &api) {
		return api.StatusCode, string(api.Type()), err
	}
	return 0, "", err
}

// The ways in which a provider is dead, and the status that a program sees.
var deaths = []struct {
	fault  string
	status int
}{
	{"503", 503}, {"529", 529}, {"reset", 502}, {"silent", 504},
}

// TestNoSDKMultipliesAttemptsAtADeadProvider: the SDKs retry twice by
// themselves. Around our retries that would be three times three; it is three
// at most, and none once the circuit is open.
func TestNoSDKMultipliesAttemptsAtADeadProvider(t *testing.T) {
	var all sync.WaitGroup // they mostly wait
	defer all.Wait()
	for _, death := range deaths {
		for _, a := range askers {
			for name, make := range map[string]func(*testing.T, string) way{"a transport": deadTransport, "a gateway": deadGateway} {
				all.Go(func() {
					t.Run(slug(death.fault+", "+a.name+", through "+name), func(t *testing.T) {
						wayToTheDead(t, make).knock(t, a, "sim/"+death.fault, death.status)
					})
				})
			}
		}
	}
}

// deadWay is a way to a provider whose attempts are counted.
type deadWay struct {
	way
	requests *requests
	attempts func() int // since the last time
}

func wayToTheDead(t *testing.T, make func(*testing.T, string) way) deadWay {
	t.Helper()
	provider, address := startSim(t)
	w, requests := make(t, address).counted()
	return deadWay{w, requests, func() int {
		defer provider.ClearLog()
		return len(provider.Log())
	}}
}

func deadTransport(t *testing.T, provider string) way {
	hf := transport(t, holdfast.Config{
		Timeout: short.config(), Retry: retry.Config{Base: 10 * time.Millisecond, ThrottleBase: 10 * time.Millisecond},
		Routes: []holdfast.Route{{Name: "all", Targets: []holdfast.Target{
			{Name: "openai", Vendor: "openai", BaseURL: provider},
			{Name: "anthropic", Vendor: "anthropic", BaseURL: provider},
		}}},
	})
	return way{name: "a transport", base: provider, client: hf}
}

func deadGateway(t *testing.T, provider string) way {
	g := serve(t, "retry: {base: 10ms, throttle_base: 10ms}\n"+configuration(provider, short))
	return way{name: "a gateway", base: g.URL, client: plainClient(t)}
}

// failuresToOpen is how many failures in a row open a circuit.
const failuresToOpen = 5

// knock makes calls until the circuit is open, and some more.
func (w deadWay) knock(t *testing.T, a asker, model string, dead int) {
	t.Helper()
	total := 0
	for i := range 6 {
		status, code, err := a.ask(t.Context(), w.way, model, fmt.Sprintf("Question %d", i)) // not the same: that would be a client's retry
		n := w.attempts()
		switch {
		case err == nil:
			t.Fatalf("%s: call %d succeeded", w.name, i)
		case n > 3 || total >= failuresToOpen && n > 0:
			t.Errorf("%s: call %d made %d attempts after %d", w.name, i, n, total)
		case n > 0 && status != dead && !open(status, code):
			t.Errorf("%s: call %d: status %d %q, want %d: %v", w.name, i, status, code, dead, err)
		case n == 0 && !open(status, code):
			t.Errorf("%s: call %d: status %d %q, want the open circuit's: %v", w.name, i, status, code, err)
		}
		if n := w.requests.take(); n != 1 {
			t.Errorf("%s: call %d: the SDK asked %d times", w.name, i, n)
		}
		w.checkHeaders(t, n)
		total += n
	}
	if total != failuresToOpen {
		t.Errorf("%s: %d attempts in all, want %d: then the circuit opens", w.name, total, failuresToOpen)
	}
}

func (w deadWay) checkHeaders(t *testing.T, attempts int) {
	t.Helper()
	h := w.requests.last
	if h.Get("X-Should-Retry") != "false" || h.Get("X-Holdfast-Attempts") != fmt.Sprint(attempts) {
		t.Errorf("%s: x-should-retry %q, x-holdfast-attempts %q after %d attempts", w.name, h.Get("X-Should-Retry"), h.Get("X-Holdfast-Attempts"), attempts)
	}
}

// open reports whether an answer is that of an open circuit.
func open(status int, code string) bool {
	return status == http.StatusServiceUnavailable && code == "circuit_open" || status == 529 && code == "overloaded_error"
}

// TestWithoutHoldfastAnSDKAsksThreeTimes is what the others prevent.
func TestWithoutHoldfastAnSDKAsksThreeTimes(t *testing.T) {
	provider, address := startSim(t)
	for _, a := range askers {
		if strings.Contains(a.name, "stream") {
			continue
		}
		provider.ClearLog()
		if _, _, err := a.ask(t.Context(), way{base: address, client: plainClient(t)}, "sim/503", question); err == nil {
			t.Errorf("%s: no error", a.name)
		}
		if n := len(provider.Log()); n != 3 {
			t.Errorf("%s: %d attempts, want 3", a.name, n)
		}
	}
}

// TestTheCallersKeyStaysWithTheGateway: the provider gets the gateway's own.
func TestTheCallersKeyStaysWithTheGateway(t *testing.T) {
	provider, address := startSim(t)
	dials := provider.Dials()
	dials.RequiredKey = ownKey
	if err := provider.SetDials(dials); err != nil {
		t.Fatal(err)
	}
	w := way{base: serve(t, configuration(address, clocks{})).URL, client: plainClient(t)}
	for _, l := range listeners {
		if h := l.hear(t.Context(), w, chatModel); h.err != nil || h.tokens != 60 {
			t.Errorf("%s: %+v", l.name, h)
		}
		if h := l.hear(t.Context(), way{base: address, client: plainClient(t)}, chatModel); h.err == nil {
			t.Errorf("%s: the provider takes the caller's key", l.name)
		}
	}
}
