package holdfast_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/sim"
)

func TestListenersHearTheCallersTraceUnlessThereAreSeveral(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "gpt")), "primary")
		const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		for want, values := range map[string][]string{parent: {parent}, "": {parent, parent}} {
			w.do(t.Context(), "chat", ask("chat", "gpt", false), func(r *http.Request) { r.Header["Traceparent"] = values })
			ended := w.events(call.CallEnded)
			if got := ended[len(ended)-1].Call.Trace; got != want {
				t.Errorf("trace of %d headers: %q, want %q", len(values), got, want)
			}
		}
	})
}

// heads is a transport that notes a header of what passes.
type heads struct {
	http.RoundTripper
	name string
	seen []string
}

func (h *heads) RoundTrip(r *http.Request) (*http.Response, error) {
	h.seen = append(h.seen, r.Header.Get(h.name))
	return h.RoundTripper.RoundTrip(r)
}

func TestEachAttemptsHeadersCanBeChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "sim/503"), to("second", "gpt"))
		c.Headers = func(h http.Header, c *call.Call, attempt int) {
			h.Del("Baggage")
			h.Set("X-Attempt", fmt.Sprint(c.Method, " ", attempt))
		}
		h := &heads{name: "X-Attempt"}
		c.Transport = h
		w := build(t, c, "primary", "second")
		h.RoundTripper = w.base
		if g := w.do(t.Context(), "chat", ask("chat", "gpt", false)); g.status != 200 {
			t.Fatal(g)
		}
		if want := w.attempts("primary") + w.attempts("second"); len(h.seen) != want || want < 2 {
			t.Fatalf("%d attempts seen, want %d", len(h.seen), want)
		}
		for i, seen := range h.seen {
			if want := fmt.Sprint("POST ", i+1); seen != want {
				t.Errorf("attempt %d carries %q, want %q", i+1, seen, want)
			}
		}
	})
}

func TestOurOwnShareOfTheTimeIsNeitherAttemptsNorWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "sim/503"), to("second", "gpt"))
		c.Retry = retry.Config{Base: time.Second}
		w := build(t, c, "primary", "second")
		if err := w.sims["second"].SetDials(sim.Dials{HeaderDelay: 300 * time.Millisecond, TokenInterval: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		w.do(t.Context(), "chat", ask("chat", "gpt", true))
		ended := w.events(call.CallEnded)
		if len(ended) != 1 || ended[0].Wait <= 0 {
			t.Fatalf("%+v", ended)
		}
		if ended[0].Own != 0 { // a bubble's clock stands still while we work
			t.Errorf("%s of %s is said to be ours", ended[0].Own, ended[0].Wait)
		}
	})
}
