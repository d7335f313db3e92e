package holdfast_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/retry"
)

// terminalRoute is one target that fails in one way, and a route that says so
// with 429.
func terminalRoute(dialect, fault string, status int) holdfast.Config {
	t := to("primary", "sim/"+fault)
	if dialect == "messages" {
		t = claude("primary", "sim/"+fault)
	}
	c := route(t)
	c.Routes[0].TerminalStatus = status
	return c
}

// TestAFinalErrorGoesOutWithTheRoutesStatus, with the words of the one who
// failed, and says which status it would have had.
func TestAFinalErrorGoesOutWithTheRoutesStatus(t *testing.T) {
	for _, c := range []struct {
		fault    string
		original map[string]string // by dialect
		said     map[string]string // what its body still says
	}{
		{"503", all3("503"), map[string]string{"chat": "server_is_overloaded", "responses": "server_is_overloaded", "messages": "overloaded_error"}},
		{"529", all3("529"), map[string]string{"messages": "overloaded_error"}},
		{"500", all3("500"), map[string]string{"chat": "server_error", "messages": "api_error"}},
		{"502", all3("502"), all3("<html")},
		{"reset", all3("502"), map[string]string{"chat": "upstream_unreachable", "responses": "upstream_unreachable", "messages": "api_error"}},
		{"silent", all3("504"), map[string]string{"chat": "timeout", "messages": "timeout_error"}},
		{"html-200", all3("502"), map[string]string{"chat": "bad_response", "messages": "api_error"}},
		{"error-first-event", map[string]string{"messages": "529"}, map[string]string{"messages": "overloaded_error"}},
	} {
		for dialect := range paths {
			for _, streamed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, streamed %t", c.fault, dialect, streamed), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						w := build(t, terminalRoute(dialect, c.fault, 429), "primary")
						g := w.do(t.Context(), dialect, ask(dialect, "m", streamed))
						if g.status != 429 || !strings.Contains(g.body, c.said[dialect]) {
							t.Error(g)
						}
						original := g.header.Get("X-Holdfast-Original-Status")
						if want := c.original[dialect]; original == "" || want != "" && original != want {
							t.Errorf("original status %q, want %q", original, want)
						}
						if g.header.Get("X-Should-Retry") != "false" {
							t.Errorf("x-should-retry %q: client_retries is stop", g.header.Get("X-Should-Retry"))
						}
						if e := w.events(call.CallEnded); len(e) != 1 || e[0].Status != 429 || strconv.Itoa(e[0].Original) != original {
							t.Errorf("the listeners heard %+v", e)
						}
					})
				})
			}
		}
	}
}

func all3(s string) map[string]string {
	return map[string]string{"chat": s, "responses": s, "messages": s}
}

// TestAnOpenCircuitAnswersWithTheRoutesStatus in every dialect, at once.
func TestAnOpenCircuitAnswersWithTheRoutesStatus(t *testing.T) {
	for dialect, original := range map[string]string{"chat": "503", "responses": "503", "messages": "529"} {
		bubble(t, func(t *testing.T) {
			w := build(t, terminalRoute(dialect, "503", 429), "primary")
			if err := w.hf.Breaker("primary", "open", "maintenance", time.Hour); err != nil {
				t.Fatal(err)
			}
			g := w.do(t.Context(), dialect, ask(dialect, "m", true))
			if g.status != 429 || g.header.Get("X-Holdfast-Reason") != "circuit_open" || g.header.Get("X-Holdfast-Original-Status") != original || w.attempts("primary") != 0 {
				t.Errorf("%s: original %q: %s", dialect, g.header.Get("X-Holdfast-Original-Status"), g)
			}
		})
	}
}

// TestWhatIsWrongWithARequestKeepsItsStatus: the caller must not be told to come
// again later with the same mistake, nor with the same empty account.
func TestWhatIsWrongWithARequestKeepsItsStatus(t *testing.T) {
	for _, fault := range []string{"400", "401", "403", "404", "413", "context-length", "prompt-blocked", "429-quota", "credit-balance"} {
		for dialect := range paths {
			bubble(t, func(t *testing.T) {
				with := build(t, terminalRoute(dialect, fault, 503), "primary").do(t.Context(), dialect, ask(dialect, "m", false))
				without := build(t, terminalRoute(dialect, fault, 0), "primary").do(t.Context(), dialect, ask(dialect, "m", false))
				if with.status != without.status || with.status == 200 || with.header.Get("X-Holdfast-Original-Status") != "" {
					t.Errorf("%s, %s: %d with a terminal status, %d without: %s", fault, dialect, with.status, without.status, with)
				}
			})
		}
	}
}

// TestTheTerminalStatusIsForFinalErrorsOnly: not for what a retry or another
// target repaired, nor for a stream that has begun.
func TestTheTerminalStatusIsForFinalErrorsOnly(t *testing.T) {
	for _, fault := range []string{"ok", "500-once", "cut-after-10"} {
		for dialect := range paths {
			bubble(t, func(t *testing.T) {
				g := build(t, terminalRoute(dialect, fault, 429), "primary").do(t.Context(), dialect, ask(dialect, "m", true))
				if g.status != 200 || g.header.Get("X-Holdfast-Original-Status") != "" || g.complete(dialect) != (fault != "cut-after-10") {
					t.Errorf("%s, %s: %s", fault, dialect, g)
				}
			})
		}
	}
}

// TestTheRoutesOwnStatusNeedsNoSecondOne: nothing is said to be replaced that
// was not.
func TestTheRoutesOwnStatusNeedsNoSecondOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := build(t, terminalRoute("chat", "503", 503), "primary").do(t.Context(), "chat", ask("chat", "m", false))
		if g.status != 503 || g.header.Get("X-Holdfast-Original-Status") != "" {
			t.Error(g)
		}
	})
}

func TestATerminalStatusIsOneThatClientsKnow(t *testing.T) {
	for status, right := range map[int]bool{0: true, 429: true, 500: true, 502: true, 503: true, 504: true, 529: true, 200: false, 400: false, 418: false, -1: false, 599: false} {
		c := route(to("primary", "m"))
		c.Routes[0].TerminalStatus = status
		err := c.Validate()
		if right != (err == nil) || !right && !strings.Contains(err.Error(), "terminal_status: ") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestAPacedClientIsToldTheNextProbeAndGetsOneAttempt: it comes back when the
// circuit is probed, is recognised as the one that was sent away, and its call
// does not ask a dead provider twice.
func TestAPacedClientIsToldTheNextProbeAndGetsOneAttempt(t *testing.T) {
	for dialect := range paths {
		bubble(t, func(t *testing.T) {
			c := terminalRoute(dialect, "503", 0)
			c.Routes[0].ClientRetries = "pace"
			c.Retry = retry.Config{Base: time.Millisecond, ThrottleBase: time.Millisecond}
			w := build(t, c, "primary")
			asked, waits := 0, 0
			for try := range 12 { // a client that does as it is told
				g := w.do(t.Context(), dialect, ask(dialect, "m", true))
				made := w.attempts("primary") - asked
				asked += made
				after, err := time.ParseDuration(g.header.Get("Retry-After") + "s")
				if err != nil || after < time.Second || after > time.Minute || g.header.Get("X-Should-Retry") != "true" {
					t.Fatalf("%s, try %d: retry-after %q, x-should-retry %q", dialect, try, g.header.Get("Retry-After"), g.header.Get("X-Should-Retry"))
				}
				if try > 0 && made > 1 {
					t.Errorf("%s, try %d: %d attempts for a client's own retry", dialect, try, made)
				}
				if open := w.hf.Status().Targets[0].Breaker == "open"; open && try > 0 && made == 0 {
					t.Errorf("%s, try %d: it came before the probe it was told to come for", dialect, try)
				} else if open {
					waits++
				}
				time.Sleep(after)
			}
			if n := len(w.events(call.ClientRetried)); n != 11 || waits == 0 {
				t.Errorf("%s: %d of 11 retries were recognised, the circuit was open after %d", dialect, n, waits)
			}
		})
	}
}

// TestAPacedClientWaitsForTheProbeAndNotOnlyForTheProvider: a provider's own
// wait that ends while the circuit is open would send it away again.
func TestAPacedClientWaitsForTheProbeAndNotOnlyForTheProvider(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(keyed(to("primary", ""), "sk-1"))
		c.Routes[0].ClientRetries = "pace"
		c.Retry = retry.Config{MaxAttempts: 1}
		c.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := canned{"application/json", `{"error":{"message":"down","type":"server_error","param":null,"code":null}}`}.RoundTrip(req)
			resp.StatusCode = 503
			resp.Header.Set("Retry-After", "1")
			return resp, err
		})
		w := build(t, c)
		for i := range 10 {
			g := w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"m","messages":[],"user":"%d"}`, i))
			if w.hf.Status().Targets[0].Breaker != "open" {
				time.Sleep(2 * time.Second)
				continue
			}
			if after := g.header.Get("Retry-After"); len(after) < 2 && after < "5" {
				t.Errorf("the circuit is open and the client was told to come in %q s", after)
			}
			return
		}
		t.Fatal("the circuit did not open")
	})
}
