package holdfast_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/sim"
)

// The agents here retry as Claude Code and Codex were measured to
// (docs/reference/agents.md), in virtual time and with many seeds: what the real
// ones cannot show is the worst case of all our jitter.

// persistent asks as Codex does: five times with one body, six times over with
// another, whatever x-should-retry says. It obeys Retry-After and stops after a 429.
func persistent(w *world, dialect string, rnd *rand.Rand) (answered bool, requests int) {
	for set := range 6 {
		for try := range 5 {
			requests++
			g := w.do(context.Background(), dialect, fmt.Appendf(nil, `{"model":"m","stream":true,"input":"%d","messages":[{"role":"user","content":"%d"}],"max_tokens":9}`, set, set))
			if g.complete(dialect) || g.status == 429 {
				return g.status == 200, requests
			}
			n := try
			if try == 4 {
				n = set
			}
			pause(g, 200*time.Millisecond<<n, rnd)
		}
	}
	return false, requests
}

// obedient asks as Claude Code does: up to eleven times with one body, while
// x-should-retry does not forbid it.
func obedient(w *world, dialect string, rnd *rand.Rand) (answered bool, requests int) {
	for try := range 11 {
		requests++
		g := w.do(context.Background(), dialect, ask(dialect, "m", true))
		if g.complete(dialect) || g.header.Get("X-Should-Retry") == "false" {
			return g.status == 200, requests
		}
		pause(g, min(500*time.Millisecond<<try, 32*time.Second), rnd)
	}
	return false, requests
}

// pause waits as an answer asks for, or else its own time within 10 %.
func pause(g got, own time.Duration, rnd *rand.Rand) {
	if s, err := strconv.Atoi(g.header.Get("Retry-After")); err == nil {
		own = time.Duration(s) * time.Second
	}
	time.Sleep(time.Duration(float64(own) * (0.9 + 0.2*rnd.Float64())))
}

// seeded is a route to one target with all chance from a seed.
func seeded(dialect string, rnd *rand.Rand) holdfast.Config {
	t := to("primary", "")
	if dialect == "messages" {
		t = claude("primary", "")
	}
	c := route(t)
	c.Rand = rnd.Float64
	return c
}

// TestAnAgentThatAsksThirtyTimesCannotHammerAProvider: eight times in 30 s, with
// whatever luck.
func TestAnAgentThatAsksThirtyTimesCannotHammerAProvider(t *testing.T) {
	for _, fault := range []string{"503", "529", "500", "reset", "error-first-event", "cut-after-10"} {
		for seed := range uint64(12) {
			bubble(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 35))
				w := build(t, seeded("responses", rnd), "primary")
				_ = w.sims["primary"].SetDials(sim.Dials{Fault: fault, OutputTokens: 20})
				if answered, _ := persistent(w, "responses", rnd); answered {
					t.Fatalf("%s, seed %d: answered", fault, seed)
				}
				if n := mostIn(w.sims["primary"].Log(), 30*time.Second); n > 8 {
					t.Errorf("%s, seed %d: the provider was asked %d times in 30 s", fault, seed, n)
				}
			})
		}
	}
}

// mostIn is how many attempts begin within one span of time, at most.
func mostIn(log []sim.Attempt, span time.Duration) (most int) {
	for i, first := range log {
		end := first.Received.Add(span)
		n := slices.IndexFunc(log[i:], func(a sim.Attempt) bool { return !a.Received.Before(end) })
		if n < 0 {
			n = len(log) - i
		}
		most = max(most, n)
	}
	return most
}

// TestATerminalStatusMakesAPersistentAgentAskOnce.
func TestATerminalStatusMakesAPersistentAgentAskOnce(t *testing.T) {
	for _, fault := range []string{"503", "529", "500", "reset"} {
		bubble(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 35))
			c := seeded("responses", rnd)
			c.Routes[0].TerminalStatus = 429
			w := build(t, c, "primary")
			_ = w.sims["primary"].SetDials(sim.Dials{Fault: fault})
			if answered, n := persistent(w, "responses", rnd); answered || n != 1 || w.attempts("primary") > 3 {
				t.Errorf("%s: %d requests, %d attempts", fault, n, w.attempts("primary"))
			}
		})
	}
}

// TestPacedAgentsOutliveAnOutageOfTwentySeconds, whichever way they retry, and
// the provider is asked no more often for it.
func TestPacedAgentsOutliveAnOutageOfTwentySeconds(t *testing.T) {
	for name, a := range map[string]struct {
		dialect string
		work    func(*world, string, *rand.Rand) (bool, int)
	}{"persistent": {"responses", persistent}, "obedient": {"messages", obedient}} {
		for _, fault := range []string{"503", "529", "500", "reset"} {
			for seed := range uint64(6) {
				bubble(t, func(t *testing.T) {
					rnd := rand.New(rand.NewPCG(seed, 20))
					c := seeded(a.dialect, rnd)
					c.Routes[0].ClientRetries = "pace"
					w := build(t, c, "primary")
					_ = w.sims["primary"].SetDials(sim.Dials{Fault: fault})
					well := time.AfterFunc(20*time.Second, func() { _ = w.sims["primary"].SetDials(sim.Dials{}) })
					defer well.Stop()
					began := time.Now()
					answered, n := a.work(w, a.dialect, rnd)
					if took := time.Since(began); !answered || took > time.Minute {
						t.Errorf("%s, %s, seed %d: answered %t after %d requests and %s", name, fault, seed, answered, n, took)
					}
					if n := mostIn(w.sims["primary"].Log(), 30*time.Second); n > 8 {
						t.Errorf("%s, %s, seed %d: the provider was asked %d times in 30 s", name, fault, seed, n)
					}
				})
			}
		}
	}
}
