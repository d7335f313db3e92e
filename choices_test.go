package holdfast_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/sim"
	"github.com/holdfast-gateway/holdfast/target"
)

// turn is the n-th request of a conversation, in a dialect.
func turn(dialect, about string, n int) []byte {
	said := []map[string]any{{"role": "user", "content": []map[string]any{{"type": "text", "text": about}}}}
	if n == 1 && dialect == "messages" { // a marker that moves on with the conversation
		said[0]["content"].([]map[string]any)[0]["cache_control"] = map[string]string{"type": "ephemeral"}
	}
	for i := 1; i < n; i++ {
		said = append(said, map[string]any{"role": "assistant", "content": fmt.Sprint("answer ", i)}, map[string]any{"role": "user", "content": fmt.Sprint("question ", i)})
	}
	body := map[string]any{"model": "gpt", "stream": n%2 == 0}
	switch dialect {
	case "responses":
		body["input"], body["max_output_tokens"] = said, 20
	default:
		body["messages"], body["max_tokens"] = said, 20
	}
	b, _ := json.Marshal(body)
	return b
}

func TestAConversationStaysWithOneKeyWhileItIsWell(t *testing.T) {
	for _, dialect := range []string{"chat", "responses", "messages"} {
		bubble(t, func(t *testing.T) {
			c := route(keyed(to("primary", "gpt"), "sk-1", "sk-2", "sk-3", "sk-4"))
			c.Routes[0].Targets[0].Vendor = map[string]string{"messages": "anthropic"}[dialect]
			if dialect != "messages" {
				c.Routes[0].Targets[0].Vendor = "openai"
			}
			w := build(t, c, "primary")
			keys := map[string]bool{}
			for about := range 40 {
				key := ""
				for n := 1; n <= 5; n++ {
					if g := w.do(t.Context(), dialect, turn(dialect, fmt.Sprint("topic ", about), n)); !g.complete(dialect) {
						t.Fatal(g)
					}
					ended := w.events(call.AttemptEnded)
					now := ended[len(ended)-1].Key
					if key != "" && now != key {
						t.Fatalf("%s: turn %d of topic %d went to %s, the one before to %s", dialect, n, about, now, key)
					}
					key = now
					keys[key] = true
				}
			}
			if len(keys) < 4 {
				t.Errorf("%s: 40 conversations used the keys %v: they are not spread", dialect, keys)
			}
		})
	}
}

func TestAConversationLeavesAKeyThatRestsAndStaysWhereItWent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(keyed(to("primary", "gpt"), "sk-1", "sk-2", "sk-3")), "primary")
		used := func(n int) string {
			if g := w.do(t.Context(), "chat", turn("chat", "one topic", n)); !g.complete("chat") {
				t.Fatal(g)
			}
			ended := w.events(call.AttemptEnded)
			return ended[len(ended)-1].Key
		}
		first := used(1)
		_ = w.sims["primary"].SetDials(sim.Dials{RequiredKey: map[string]string{"k1": "sk-2", "k2": "sk-3", "k3": "sk-1"}[first]})
		second := used(2)
		if second == first {
			t.Fatalf("it stays with %s, which is refused", first)
		}
		_ = w.sims["primary"].SetDials(sim.Dials{})
		time.Sleep(4 * time.Minute)
		if third := used(3); third != second {
			t.Errorf("it went to %s, the turn before to %s", third, second)
		}
	})
}

func TestWithoutAffinityKeysAreDrawnForEachCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(keyed(to("primary", "gpt"), "sk-1", "sk-2"))
		c.Health = target.Config{Affinity: -1}
		w := build(t, c, "primary")
		for range 40 {
			w.do(t.Context(), "chat", turn("chat", "one topic", 1))
		}
		keys := map[string]bool{}
		for _, e := range w.events(call.AttemptEnded) {
			keys[e.Key] = true
		}
		if len(keys) != 2 {
			t.Errorf("40 calls used only %v", keys)
		}
	})
}

func TestAShiftMovesItsShareOfConversationsAndWholeOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "gpt"), to("backup", "gpt"))
		c.Routes[0].Shift = holdfast.Shift{To: "backup", Share: 0.3}
		w := build(t, c, "primary", "backup")
		moved := 0
		for about := range 400 {
			where := ""
			for n := 1; n <= 2; n++ {
				g := w.do(t.Context(), "chat", turn("chat", fmt.Sprint("topic ", about), n))
				if d := g.header.Get("X-Holdfast-Degraded"); !g.complete("chat") || d != "" {
					t.Fatalf("degraded %q: %s", d, g)
				}
				if now := g.header.Get("X-Holdfast-Provider"); where != "" && now != where {
					t.Fatalf("topic %d went to %s and then to %s", about, where, now)
				} else {
					where = now
				}
			}
			if where == "backup" {
				moved++
			}
		}
		if moved < 75 || moved > 165 {
			t.Errorf("%d of 400 conversations were moved, want about 120", moved)
		}
		g := w.do(t.Context(), "chat", turn("chat", "stay", 1), func(r *http.Request) { r.Header.Set("X-Holdfast-No-Fallback", "1") })
		if p := g.header.Get("X-Holdfast-Provider"); p != "primary" {
			t.Errorf("a call without fallback was moved to %s", p)
		}
		_ = w.sims["backup"].SetDials(sim.Dials{Fault: "500"})
		for about := range 40 {
			if g := w.do(t.Context(), "chat", turn("chat", fmt.Sprint("topic ", about), 3)); !g.complete("chat") {
				t.Fatalf("where it was moved to fails, and so does the call: %s", g)
			}
		}
	})
}

func TestAShiftNamesATargetAndAShare(t *testing.T) {
	for want, s := range map[string]holdfast.Shift{
		"":                             {To: "backup", Share: 1},
		"no target of this route":      {To: "other", Share: 0.1},
		"share: 1.5 is more than 1":    {To: "backup", Share: 1.5},
		"to: the target is missing":    {Share: 0.1},
		"share: how many of the calls": {To: "backup"},
		"share: NaN is more than 1":    {To: "backup", Share: math.NaN()},
	} {
		c := route(to("primary", "gpt"), to("backup", "gpt"))
		c.Routes[0].Shift = s
		if err := c.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}

func TestATargetThatAloneFailsRestsAndIsSeenToDoSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var all []holdfast.Target
		for _, name := range []string{"a", "b", "c"} {
			x := to(name, "gpt")
			x.Weight = 1
			all = append(all, x)
		}
		w := build(t, route(all...), "a", "b", "c")
		_ = w.sims["b"].SetDials(sim.Dials{Fault: "500"})
		for i := range 200 {
			g := w.do(t.Context(), "chat", turn("chat", fmt.Sprint(i), 1))
			if !g.complete("chat") || g.header.Get("X-Holdfast-Degraded") != "" {
				t.Fatalf("degraded %q: %s", g.header.Get("X-Holdfast-Degraded"), g)
			}
		}
		if n := w.attempts("b"); n < 5 || n > 8 {
			t.Errorf("%d attempts at the one that fails, want hardly more than 5", n)
		}
		i := slices.IndexFunc(w.hf.Status().Targets, func(s holdfast.TargetStatus) bool { return s.Name == "b" })
		if s := w.hf.Status().Targets[i]; s.EjectedUntil.IsZero() {
			t.Errorf("it rests and the status does not say so: %+v", s)
		}
		if e := w.events(call.TargetEjected); len(e) != 1 || e[0].Target != "b" || e[0].Reason != target.ReasonOutlier {
			t.Errorf("told: %+v, want one ejection of b", e)
		}
	})
}

func TestCallsGoWhereLessIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := to("a", "gpt"), to("b", "gpt")
		a.Weight, b.Weight = 1, 1
		w := build(t, route(a, b), "a", "b")
		w.direct()
		_ = w.sims["a"].SetDials(sim.Dials{FirstTokenDelay: 4 * time.Second})
		_ = w.sims["b"].SetDials(sim.Dials{FirstTokenDelay: time.Second})
		done := make(chan bool)
		for i := range 200 {
			time.Sleep(100 * time.Millisecond)
			go func() {
				g := w.do(context.Background(), "chat", fmt.Appendf(nil, `{"model":"gpt","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"topic %d"}]}`, i))
				done <- g.complete("chat")
			}()
		}
		for range 200 {
			if !<-done {
				t.Error("a call failed")
			}
		}
		if slow, fast := w.attempts("a"), w.attempts("b"); fast < slow*3/2 {
			t.Errorf("%d calls went to the slow one and %d to the fast one", slow, fast)
		}
	})
}

func TestServersOfOnesOwnHaveAnAdaptiveLimit(t *testing.T) {
	for _, c := range []struct {
		vendor, url, set string
		want             bool
	}{
		{"vllm", "http://10.0.0.1:8000/v1", "", true},
		{"llamacpp", "http://127.0.0.1:8080/v1", "", true},
		{"ollama", "http://127.0.0.1:11434/v1", "", true},
		{"ollama", "https://ollama.com/v1", "", false},
		{"ollama", "http://127.0.0.1:11434/v1", "off", false},
		{"openai", "https://api.openai.com", "", false},
		{"openai", "https://api.openai.com", "on", true},
		{"compatible", "http://10.0.0.1:8000/v1", "", false},
	} {
		config := route(holdfast.Target{Name: "x", Vendor: c.vendor, BaseURL: c.url, Concurrency: concurrency.Config{Adaptive: c.set}})
		hf, err := holdfast.NewTransport(config)
		if err != nil {
			t.Fatal(err)
		}
		s := hf.Status().Targets[0]
		permits := map[bool]int{true: concurrency.DefaultInitial, false: concurrency.DefaultMax}[c.want]
		if (s.Adaptive != nil) != c.want || s.Permits != permits {
			t.Errorf("%s at %s, set %q: %+v, %d permits; want adaptive %v", c.vendor, c.url, c.set, s.Adaptive, s.Permits, c.want)
		}
		_ = hf.Close()
	}
}

// TestAnAdaptiveLimitFindsASimulatedServersSlots through the whole house, more
// calls than fit: within 15 %, and of 100 first tokens 95 come at most twice as
// late as alone. The waiting room keeps what the server would only queue.
func TestAnAdaptiveLimitFindsASimulatedServersSlots(t *testing.T) {
	const slots = 64
	least, most, worst := slots*10, 0, 0.0
	n, _ := experiment.Seeds(t, 1)
	for seed := range n {
		bubble(t, func(t *testing.T) {
			limit, late := pressed(t, seed, slots)
			if float64(limit) < 0.85*slots || float64(limit) > 1.15*slots {
				t.Errorf("seed %d: the limit is %d, not within 15 %% of %d", seed, limit, slots)
			}
			if late > 2 {
				t.Errorf("seed %d: first tokens come %.2f times later than alone", seed, late)
			}
			least, most, worst = min(least, limit), max(most, limit), max(worst, late)
		})
	}
	t.Logf("limits of %d to %d for %d slots; first tokens at most %.2f times later", least, most, slots, worst)
}

// pressed has three times as many clients as a server has slots ask for 80 s,
// and returns the usual limit of the second half, and within how many times the
// first token of a call alone 95 of 100 came then.
func pressed(t *testing.T, seed uint64, slots int) (limit int, late float64) {
	x := to("own", "gpt")
	x.Concurrency = concurrency.Config{Adaptive: concurrency.On}
	c := route(x)
	c.Routes[0].Queue = admission.Config{MaxDepth: 1000, MaxWait: time.Minute}
	var mu sync.Mutex
	var ratios []float64 // of first tokens, by what the prompt takes alone
	c.Recorder = call.RecorderFunc(func(e *call.Event) {
		if e.Kind == call.AttemptEnded && e.Outcome.FirstToken > 0 {
			mu.Lock()
			defer mu.Unlock()
			ratios = append(ratios, e.Outcome.FirstToken.Seconds()/float64(e.Call.Request.InputTokens))
		}
	})
	w := build(t, c, "own")
	w.direct()
	_ = w.sims["own"].SetDials(sim.Dials{Seed: seed, Slots: slots, PrefillPerToken: 300 * time.Microsecond, TokenInterval: 390 * time.Millisecond, OutputTokens: 8, OutputSpread: 0.5})
	body := func(client, n int) string {
		return fmt.Sprintf(`{"model":"gpt","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"%s %d %d %d"}]}`,
			strings.Repeat("word ", 600+client*400/3/slots), seed, client, n)
	}
	w.ask(t.Context(), body(0, 0))
	alone := ratios[0]
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 3 * slots {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				w.ask(ctx, body(i, n))
			}
		})
	}
	time.Sleep(40 * time.Second)
	mu.Lock()
	ratios = nil
	mu.Unlock()
	var limits []int
	for range 40 {
		time.Sleep(time.Second)
		limits = append(limits, w.hf.Status().Targets[0].Permits)
	}
	mu.Lock()
	slices.Sort(ratios)
	late = ratios[len(ratios)*95/100] / alone
	mu.Unlock()
	stop()
	clients.Wait()
	time.Sleep(time.Minute) // the server finishes what it has begun, whoever listens
	slices.Sort(limits)
	return limits[len(limits)/2], late
}

// ask sends a chat and reads its answer, whatever it is.
func (w *world) ask(ctx context.Context, body string) {
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://app.invalid/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if resp, err := w.hf.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

func TestARefusalForWantOfCapacityShrinksAnAdaptiveLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := to("own", "gpt")
		x.Concurrency = concurrency.Config{Adaptive: concurrency.On, Initial: 100}
		w := build(t, route(x), "own")
		_ = w.sims["own"].SetDials(sim.Dials{Fault: "503"})
		w.do(t.Context(), "chat", turn("chat", "x", 1))
		if n := w.hf.Status().Targets[0].Permits; n != 70 {
			t.Errorf("%d permits after refusals in a row, want 70", n)
		}
	})
}
