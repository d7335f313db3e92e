package holdfast_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/sim"
)

// remembering is a world whose only route has a cache.
func remembering(t *testing.T, c cache.Config, change func(*holdfast.Config)) *world {
	t.Helper()
	config := route(keyed(to("primary", "gpt"), "sk-ours"))
	config.Routes[0].Cache = c
	if change != nil {
		change(&config)
	}
	w := build(t, config, "primary", "backup")
	w.turn("primary", sim.Dials{HeaderDelay: time.Second})
	return w
}

// fixed is a request whose answer is always the same.
func fixed(question string) []byte {
	return fmt.Appendf(nil, `{"model":"gpt","messages":[{"role":"user","content":%q}],"max_tokens":60,"temperature":0}`, question)
}

// did is what the cache did with a call.
func (g got) did() string { return g.header.Get("X-Holdfast-Cache") }

// breaks makes a provider answer every call with a fault.
func (w *world) breaks(name, fault string) { w.turn(name, sim.Dials{Fault: fault}) }

// turn turns a provider's dials.
func (w *world) turn(name string, d sim.Dials) {
	w.t.Helper()
	if err := w.sims[name].SetDials(d); err != nil {
		w.t.Fatal(err)
	}
}

// idle fails when something of a call is still held.
func (w *world) idle() {
	w.t.Helper()
	synctest.Wait()
	for _, r := range w.hf.Status().Routes {
		if r.Running != 0 || r.Waiting != 0 {
			w.t.Errorf("%d calls are inside and %d wait after all have ended", r.Running, r.Waiting)
		}
	}
	for _, s := range w.hf.Status().Targets {
		if s.InFlight != 0 {
			w.t.Errorf("%d permits of %s are held after all calls have ended", s.InFlight, s.Name)
		}
	}
}

func TestAFreshAnswerIsGivenAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{TTL: time.Minute}, nil)
		first := w.do(t.Context(), "chat", fixed("a"))
		time.Sleep(10 * time.Second)
		again := w.do(t.Context(), "chat", fixed("a"))
		if first.did() != "miss" || again.did() != "hit" || again.body != first.body || !again.complete("chat") || w.attempts("primary") != 1 {
			t.Fatalf("first %s, then %s after %d attempts: %s", first.did(), again.did(), w.attempts("primary"), again)
		}
		for name, want := range map[string]string{"Age": "10", "X-Holdfast-Attempts": "0", "X-Holdfast-Provider": "primary", "X-Holdfast-Model": "gpt", "X-Holdfast-Route": "chat", "Content-Type": "application/json"} {
			if got := again.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if a, b := first.header.Get("X-Holdfast-Request-Id"), again.header.Get("X-Holdfast-Request-Id"); a == b || b == "" {
			t.Errorf("request ids %q and %q", a, b)
		}
		ends := w.events(call.CallEnded)
		if len(ends) != 2 || ends[0].Cached != "miss" || ends[1].Cached != "hit" || ends[1].Outcome.Class != call.OK || ends[1].Attempt != 0 {
			t.Errorf("%+v", ends)
		}
		if other := w.do(t.Context(), "chat", fixed("b")); other.did() != "miss" {
			t.Errorf("another question: %s", other.did())
		}
		time.Sleep(time.Minute)
		if late := w.do(t.Context(), "chat", fixed("a")); late.did() != "miss" || w.attempts("primary") != 3 {
			t.Errorf("after its time: %s, %d attempts", late.did(), w.attempts("primary"))
		}
		w.idle()
	})
}

func TestEveryDialectIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := holdfast.Config{Cache: cache.Config{TTL: time.Minute}, Routes: []holdfast.Route{
			{Name: "claude", Models: []string{"claude*"}, Targets: []holdfast.Target{keyed(claude("second", "claude-x"), "sk-1")}},
			{Name: "chat", Targets: []holdfast.Target{keyed(to("first", "gpt"), "sk-2")}}}}
		w := build(t, c, "first", "second")
		paths["embeddings"] = "/v1/embeddings"
		defer delete(paths, "embeddings")
		for dialect, body := range map[string]string{
			"messages":   `{"model":"claude-x","max_tokens":50,"temperature":0,"messages":[{"role":"user","content":"x"}]}`,
			"responses":  `{"model":"gpt","input":"x","temperature":0,"store":false}`,
			"embeddings": `{"model":"gpt","input":"x"}`,
		} {
			first, again := w.do(t.Context(), dialect, []byte(body)), w.do(t.Context(), dialect, []byte(body))
			if first.status != 200 || first.did() != "miss" || again.did() != "hit" || first.body != again.body {
				t.Errorf("%s: %s, then %s: %s", dialect, first.did(), again.did(), again)
			}
		}
	})
}

// An answer reaches another caller only where the scope says so.
func TestAnswersAreForWhomTheScopeSays(t *testing.T) {
	type who struct{ key, tenant, credential string }
	callers := []who{{"web", "acme", "1"}, {"batch", "acme", "2"}, {"web2", "other", "3"}, {"", "", "4"}, {"", "", "5"}, {"", "", ""}}
	same := map[string]func(a, b who) bool{
		cache.ScopeKey:    func(a, b who) bool { return a == b },
		cache.ScopeTenant: func(a, b who) bool { return a == b || a.tenant == b.tenant && a.tenant != "" },
		cache.ScopeAll:    func(a, b who) bool { return true },
		"pass": func(a, b who) bool { // the caller's credential goes to the provider
			return a == b
		},
	}
	for scope, shared := range same {
		bubble(t, func(t *testing.T) {
			w := remembering(t, cache.Config{TTL: time.Hour, Scope: strings.Replace(scope, "pass", cache.ScopeAll, 1)}, func(c *holdfast.Config) {
				if scope == "pass" {
					c.Routes[0].Targets[0].Keys, c.Routes[0].Targets[0].PassCredential = nil, true
				}
			})
			for i, a := range callers {
				for j, b := range callers {
					question := fixed(fmt.Sprint(i, " ", j))
					as := func(x who) got {
						ctx := holdfast.WithCaller(t.Context(), holdfast.Caller{Key: x.key, Tenant: x.tenant})
						return w.do(ctx, "chat", question, func(r *http.Request) {
							r.Header.Del("Authorization")
							if x.credential != "" {
								r.Header.Set("Authorization", "Bearer sk-"+x.credential)
							}
						})
					}
					as(a)
					if got := as(b).did() == "hit"; got != shared(a, b) {
						t.Errorf("scope %s: the answer for %+v reaches %+v: %t", scope, a, b, got)
					}
				}
			}
		})
	}
}

func TestWhatChangesTheAnswerChangesTheCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{TTL: time.Hour}, nil)
		w.do(t.Context(), "chat", fixed("a"))
		for _, c := range []struct{ name, header, value, want string }{
			{"nothing", "User-Agent", "another/1.0", "hit"},
			{"a trace", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "hit"},
			{"an SDK's word about itself", "X-Stainless-Lang", "python", "hit"},
			{"a feature of the provider", "Openai-Beta", "x=1", "miss"},
			{"an unknown header", "X-Feature", "on", "miss"},
			{"no-cache", "Cache-Control", "no-cache", "miss"},
			{"no-store", "Cache-Control", "no-store", "bypass"},
			{"no fallback", "X-Holdfast-No-Fallback", "1", "bypass"},
		} {
			got := w.do(t.Context(), "chat", fixed("a"), func(r *http.Request) { r.Header.Set(c.header, c.value) })
			if got.did() != c.want || got.status != 200 {
				t.Errorf("%s: %s, want %s", c.name, got.did(), c.want)
			}
		}
		spaced := strings.Replace(string(fixed("a")), ",", ", ", 1)
		if got := w.do(t.Context(), "chat", []byte(spaced)); got.did() != "miss" {
			t.Errorf("another text of the same body: %s", got.did())
		}
	})
}

func TestCallsThatAreNoneForTheCachePassIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{TTL: time.Hour, StaleIfError: time.Hour, Share: cache.On}, nil)
		for why, body := range map[string]string{
			"stream":      `{"model":"gpt","temperature":0,"stream":true,"messages":[{"role":"user","content":"x"}]}`,
			"tools":       `{"model":"gpt","temperature":0,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}`,
			"temperature": `{"model":"gpt","messages":[{"role":"user","content":"x"}]}`,
			"state":       `{"model":"gpt","temperature":0,"store":true,"messages":[{"role":"user","content":"x"}]}`,
		} {
			before := w.attempts("primary")
			for range 2 {
				if got := w.do(t.Context(), "chat", []byte(body)); got.did() != "bypass" || got.status != 200 {
					t.Errorf("%s: %s: %s", why, got.did(), got)
				}
			}
			if n := w.attempts("primary") - before; n != 2 {
				t.Errorf("%s: %d attempts for two calls", why, n)
			}
			ends := w.events(call.CallEnded)
			if last := ends[len(ends)-1]; last.Cached != "bypass" || last.To != why {
				t.Errorf("%s: told as %q because of %q", why, last.Cached, last.To)
			}
		}
	})
}

func TestStreamsAreRememberedWhenAsked(t *testing.T) {
	for _, dialect := range []string{"chat", "messages"} {
		bubble(t, func(t *testing.T) {
			w := remembering(t, cache.Config{TTL: time.Hour, StaleIfError: time.Hour, Share: cache.On, Streams: cache.On, AnyTemperature: cache.On, MaxEntry: 64 << 10}, func(c *holdfast.Config) {
				if dialect == "messages" {
					c.Routes[0].Targets[0].Vendor = "anthropic"
				}
			})
			w.turn("primary", sim.Dials{TokenInterval: 100 * time.Millisecond})
			body := ask(dialect, "gpt", true)
			first, again := w.do(t.Context(), dialect, body), w.do(t.Context(), dialect, body)
			if first.did() != "miss" || again.did() != "hit" || !again.complete(dialect) || again.body != first.body || again.took != 0 || first.took == 0 {
				t.Errorf("%s, then %s: %s", first.did(), again.did(), again)
			}
			if got := again.header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
				t.Errorf("a stream of type %s", got)
			}
			w.turn("primary", sim.Dials{Fault: "503"})
			time.Sleep(90 * time.Minute)
			if late := w.do(t.Context(), dialect, body); late.did() != "stale" || late.body != first.body {
				t.Errorf("in the outage: %s", late)
			}
			if same := w.do(t.Context(), dialect, ask(dialect, "gpt", false)); same.did() != "miss" {
				t.Errorf("not streamed: %s", same.did())
			}
			w.idle()
		})
	}
}

func TestAStreamThatBreaksOrIsTooLargeIsNotRemembered(t *testing.T) {
	for _, d := range []sim.Dials{{Fault: "cut-after-5"}, {Fault: "error-after-3"}, {Fault: "no-done"}, {OutputTokens: 5000}} {
		bubble(t, func(t *testing.T) {
			w := remembering(t, cache.Config{TTL: time.Hour, Streams: cache.On, AnyTemperature: cache.On, MaxEntry: 8 << 10}, nil)
			w.turn("primary", d)
			body := []byte(`{"model":"gpt","stream":true,"messages":[{"role":"user","content":"x"}]}`)
			for range 2 {
				if got := w.do(t.Context(), "chat", body); got.did() != "miss" {
					t.Errorf("%+v: %s", d, got.did())
				}
			}
			w.idle()
		})
	}
	bubble(t, func(t *testing.T) { // nor one whose caller leaves
		w := remembering(t, cache.Config{TTL: time.Hour, Streams: cache.On, AnyTemperature: cache.On}, nil)
		w.turn("primary", sim.Dials{TokenInterval: time.Second})
		ctx, leave := context.WithTimeout(t.Context(), 5*time.Second)
		defer leave()
		w.do(ctx, "chat", ask("chat", "gpt", true))
		if got := w.do(t.Context(), "chat", ask("chat", "gpt", true)); got.did() != "miss" {
			t.Errorf("after half a stream: %s", got.did())
		}
		w.idle()
	})
}

func TestARouteWithoutACacheSaysNothingOfIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{}, nil)
		for range 2 {
			if got := w.do(t.Context(), "chat", fixed("a")); got.header["X-Holdfast-Cache"] != nil || got.status != 200 {
				t.Errorf("%s", got)
			}
		}
		if e := w.events(call.CallEnded); w.attempts("primary") != 2 || e[1].Cached != "" {
			t.Errorf("%d attempts, told as %q", w.attempts("primary"), e[1].Cached)
		}
	})
}

func TestAnOldAnswerStandsInForAnError(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault string
		stale bool
	}{
		{"500", "500", true}, {"503", "503", true}, {"529", "529", true}, {"429", "429", true}, {"reset", "reset", true}, {"HTML under a 200", "html-200", true}, {"half an answer", "cut-after-5", true}, {"an error under a 200", "error-after-3", true},
		{"silence", "silent", true}, {"our key is refused", "401", true}, {"400", "400", false}, {"a blocked prompt", "prompt-blocked", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := remembering(t, cache.Config{StaleIfError: time.Hour}, nil)
				first := w.do(t.Context(), "chat", fixed("a"))
				w.breaks("primary", c.fault)
				time.Sleep(90 * time.Second)
				got := w.do(t.Context(), "chat", fixed("a"))
				if stale := got.did() == "stale"; stale != c.stale {
					t.Fatalf("%s", got)
				}
				if c.stale && (got.status != 200 || got.body != first.body || got.header.Get("X-Holdfast-Degraded") != "stale" || got.header.Get("X-Holdfast-Reason") != "" || got.header.Get("Age") == "" || got.header.Get("X-Holdfast-Attempts") == "0") {
					t.Errorf("%v: %s", got.header, got)
				}
				ends := w.events(call.CallEnded)
				if last := ends[len(ends)-1]; c.stale && (last.Cached != "stale" || last.Outcome.Class != call.OK || last.Status != 200) {
					t.Errorf("told as %+v", last)
				}
				if never := w.do(t.Context(), "chat", fixed("b")); never.status == 200 || never.did() != "miss" {
					t.Errorf("a question that nobody asked before: %s", never)
				}
				time.Sleep(time.Hour)
				if late := w.do(t.Context(), "chat", fixed("a")); late.status == 200 {
					t.Errorf("after its time: %s", late)
				}
				w.idle()
			})
		})
	}
}

func TestAnOldAnswerStandsInWhenHoldfastItselfRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{StaleIfError: time.Hour}, func(c *holdfast.Config) {
			c.Queue = admission.Config{Running: 1, MaxDepth: 1, MaxWait: 3 * time.Second}
		})
		w.do(t.Context(), "chat", fixed("a"))
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { w.do(t.Context(), "chat", fixed(fmt.Sprint("crowd ", i))) })
		}
		time.Sleep(100 * time.Millisecond)
		if got := w.do(t.Context(), "chat", fixed("a")); got.did() != "stale" || got.status != 200 {
			t.Errorf("the waiting room is full: %s", got)
		}
		all.Wait()
		_ = w.hf.Breaker("primary/gpt", "open", "maintenance", 0)
		_ = w.hf.Breaker("primary", "open", "maintenance", 0)
		if got := w.do(t.Context(), "chat", fixed("a")); got.did() != "stale" || got.header.Get("X-Holdfast-Attempts") != "0" {
			t.Errorf("the circuit is open: %s", got)
		}
		w.idle()
	})
}

func TestAnOldAnswerDoesNotStandInForARefusalOfTheCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{StaleIfError: time.Hour}, func(c *holdfast.Config) {
			c.Limits = []holdfast.Limit{{Name: "all", Per: holdfast.PerAll, Config: ratelimit.Config{Points: 1, Duration: time.Hour}}}
		})
		w.do(t.Context(), "chat", fixed("a"))
		if got := w.do(t.Context(), "chat", fixed("a")); got.status != 429 || got.did() != "miss" {
			t.Errorf("over its limit: %s", got)
		}
	})
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{StaleIfError: time.Hour}, func(c *holdfast.Config) {
			c.Routes[0].Targets[0].Keys, c.Routes[0].Targets[0].PassCredential = nil, true
		})
		w.do(t.Context(), "chat", fixed("a"))
		w.turn("primary", sim.Dials{RequiredKey: "sk-new"})
		if got := w.do(t.Context(), "chat", fixed("a")); got.status != 401 {
			t.Errorf("a credential that is refused: %s", got)
		}
	})
}

func TestASubstitutesAnswerIsNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{TTL: time.Hour, Share: cache.On}, func(c *holdfast.Config) {
			c.Routes[0].Targets = append(c.Routes[0].Targets, keyed(to("backup", "small"), "sk-2"))
		})
		w.breaks("primary", "503")
		for range 2 {
			if got := w.do(t.Context(), "chat", fixed("a")); got.status != 200 || got.did() != "miss" || got.header.Get("X-Holdfast-Degraded") != "fallback" {
				t.Errorf("during the outage: %s", got)
			}
		}
	})
}

func TestAReloadForgetsWhatAnotherModelSaid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := remembering(t, cache.Config{TTL: time.Hour}, nil)
		again := func(model string, c cache.Config) string {
			config := route(keyed(to("primary", model), "sk-ours"))
			config.Routes[0].Cache, config.Transport = c, w
			if err := w.hf.Update(config); err != nil {
				t.Fatal(err)
			}
			return w.do(t.Context(), "chat", fixed("a")).did()
		}
		on := cache.Config{TTL: time.Hour}
		for i, c := range []struct {
			model string
			c     cache.Config
			want  string
		}{{"gpt", on, "miss"}, {"gpt", on, "hit"}, {"other", on, "miss"}, {"gpt", on, "hit"}, {"gpt", cache.Config{TTL: time.Hour, Off: true}, ""}, {"gpt", on, "miss"}} {
			if did := again(c.model, c.c); did != c.want {
				t.Errorf("step %d: %s, want %s", i, did, c.want)
			}
		}
	})
}

// sharing is a world whose route makes one of calls at the same time.
func sharing(t *testing.T, change func(*holdfast.Config)) *world {
	return remembering(t, cache.Config{Share: cache.On, Scope: cache.ScopeAll}, change)
}

func TestCallsAtTheSameTimeAskOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sharing(t, nil)
		ids, did := map[string]bool{}, map[string]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				ctx := holdfast.WithTenant(t.Context(), fmt.Sprint(i))
				got := w.do(ctx, "chat", fixed("a"))
				mu.Lock()
				defer mu.Unlock()
				ids[got.header.Get("X-Holdfast-Request-Id")] = true
				did[got.did()]++
				if !got.complete("chat") {
					t.Errorf("%s", got)
				}
			})
		}
		all.Wait()
		if w.attempts("primary") != 1 || len(ids) != 40 || did["miss"] != 1 || did["shared"] != 39 {
			t.Errorf("%d attempts, %d request ids, %v", w.attempts("primary"), len(ids), did)
		}
		ended := map[string]int{}
		for _, e := range w.events(call.CallEnded) {
			ended[e.Call.ID]++
			if e.Outcome.Class != call.OK || (e.Cached == "miss") != (e.Attempt == 1) {
				t.Errorf("told as %+v", e)
			}
		}
		if len(ended) != 40 {
			t.Errorf("%d calls ended", len(ended))
		}
		if s := w.hf.Status().Routes[0]; s.Calls != 40 || s.OK != 40 {
			t.Errorf("%+v", s)
		}
		if got := w.do(t.Context(), "chat", fixed("a")); got.did() != "miss" || w.attempts("primary") != 2 {
			t.Errorf("afterwards: %s", got.did())
		}
		w.idle()
	})
}

func TestAnErrorIsSharedByThoseWhoWaitForItAndNobodyElse(t *testing.T) {
	for _, fault := range []string{"500", "503", "400", "html-200", "cut-after-5"} {
		t.Run(fault, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := sharing(t, func(c *holdfast.Config) { c.Retry = retry.Config{MaxAttempts: 1} })
				w.turn("primary", sim.Dials{HeaderDelay: time.Second, Fault: fault})
				var all sync.WaitGroup
				statuses := map[int]int{}
				var mu sync.Mutex
				for range 10 {
					all.Go(func() {
						got := w.do(t.Context(), "chat", fixed("a"))
						mu.Lock()
						defer mu.Unlock()
						statuses[got.status]++
						own := got.header.Get("X-Holdfast-Request-Id")
						if got.status < 400 || got.header.Get("X-Should-Retry") == "" || strings.Contains(got.body, "hf_") && !strings.Contains(got.body, own) {
							t.Errorf("%s: %s", own, got)
						}
					})
				}
				all.Wait()
				if w.attempts("primary") != 1 || len(statuses) != 1 {
					t.Errorf("%d attempts, statuses %v", w.attempts("primary"), statuses)
				}
				w.breaks("primary", "ok")
				time.Sleep(time.Minute)
				if got := w.do(t.Context(), "chat", fixed("a")); got.status != 200 {
					t.Errorf("the next call: %s", got)
				}
				w.idle()
			})
		})
	}
}

// Each caller's deadline and leaving are its own, whoever came first.
func TestALeadersEndIsNotItsFollowers(t *testing.T) {
	type end struct {
		name   string
		header string // its own time, in milliseconds
		leaves time.Duration
		status int
	}
	for _, c := range []struct{ leader, follower end }{
		{end{"hurried", "500", 0, 504}, end{"patient", "", 0, 200}},
		{end{"patient", "", 0, 200}, end{"hurried", "500", 0, 504}},
		{end{"leaving", "", 500 * time.Millisecond, 0}, end{"patient", "", 0, 200}},
		{end{"patient", "", 0, 200}, end{"leaving", "", 500 * time.Millisecond, 0}},
		{end{"hurried", "500", 0, 504}, end{"leaving", "", 700 * time.Millisecond, 0}},
	} {
		t.Run(c.leader.name+" leads, "+c.follower.name+" follows", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := sharing(t, nil)
				began := time.Now()
				one := func(e end) {
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					if e.leaves > 0 {
						time.AfterFunc(e.leaves, leave)
					}
					got := w.do(ctx, "chat", fixed("a"), func(r *http.Request) {
						if e.header != "" {
							r.Header.Set("X-Holdfast-Timeout-Ms", e.header)
						}
					})
					if got.status != e.status || (got.err != nil) != (e.leaves > 0) {
						t.Errorf("%s: %s", e.name, got)
					}
					if e.status == 504 && got.header.Get("X-Holdfast-Reason") != "deadline_exceeded" {
						t.Errorf("%s: %v", e.name, got.header)
					}
				}
				var all sync.WaitGroup
				all.Go(func() { one(c.leader) })
				time.Sleep(10 * time.Millisecond)
				all.Go(func() { one(c.follower) })
				all.Wait()
				if w.attempts("primary") != 1 {
					t.Errorf("%d attempts", w.attempts("primary"))
				}
				w.idle()
				if took := time.Since(began); c.leader.status != 200 && c.follower.status != 200 && took > 800*time.Millisecond {
					t.Errorf("nobody waited any more, and it went on for %s", took)
				}
				classes := map[call.Class]int{}
				for _, e := range w.events(call.CallEnded) {
					classes[e.Outcome.Class]++
				}
				want := map[int]call.Class{200: call.OK, 504: call.Timeout, 0: call.Canceled}
				if classes[want[c.leader.status]] != 1 || classes[want[c.follower.status]] != 1 {
					t.Errorf("ended as %v", classes)
				}
			})
		})
	}
}

func TestOnlyTheCallThatIsMadeIsCharged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sharing(t, func(c *holdfast.Config) {
			c.Limits = []holdfast.Limit{{Name: "keys", Per: holdfast.PerKey, Config: ratelimit.Config{Points: 1, Duration: time.Hour}}}
		})
		as := func(key string) got { return w.do(holdfast.WithKey(t.Context(), key), "chat", fixed("a")) }
		both := func(first, second string) (a, b got) {
			var all sync.WaitGroup
			all.Go(func() { a = as(first) })
			time.Sleep(10 * time.Millisecond)
			all.Go(func() { b = as(second) })
			all.Wait()
			return a, b
		}
		if a, b := both("web", "batch"); a.status != 200 || b.status != 200 || b.did() != "shared" {
			t.Errorf("the first two: %s, %s", a, b)
		}
		// web has nothing left; batch was not charged, and its call goes alone.
		if got := as("web"); got.status != 429 {
			t.Errorf("web again: %s", got)
		}
		if got := as("batch"); got.status != 200 {
			t.Errorf("batch again: %s", got)
		}
		w.idle()
	})
}

func TestAnAnswerTooLargeToBeHeldGoesToOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sharing(t, func(c *holdfast.Config) { c.MaxAnswer = 2000 })
		large := []byte(strings.Replace(string(fixed("a")), `"max_tokens":60`, `"max_tokens":5000`, 1))
		w.turn("primary", sim.Dials{HeaderDelay: time.Second, OutputTokens: 5000})
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if i == 3 { // it leaves at the moment of the landing
					time.AfterFunc(time.Second, leave)
				}
				if got := w.do(ctx, "chat", large); i < 3 && (!got.complete("chat") || len(got.body) < 2000) {
					t.Errorf("%s", got)
				}
			})
		}
		all.Wait()
		w.idle()
		if n := w.attempts("primary"); n < 3 || n > 4 {
			t.Errorf("%d attempts", n)
		}
		if n := len(w.events(call.CallEnded)); n != 4 {
			t.Errorf("%d calls ended", n)
		}
	})
}

func TestASubstitutesAnswerIsSharedAsSuch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sharing(t, func(c *holdfast.Config) {
			c.Routes[0].Targets = append(c.Routes[0].Targets, keyed(to("backup", "small"), "sk-2"))
		})
		w.turn("primary", sim.Dials{HeaderDelay: time.Second, Fault: "529"})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if got := w.do(t.Context(), "chat", fixed("a")); got.status != 200 || got.header.Get("X-Holdfast-Degraded") != "fallback" || got.header.Get("X-Holdfast-Model") != "small" {
					t.Errorf("%v %s", got.header, got)
				}
			})
		}
		all.Wait()
		if n := w.attempts("backup"); n != 1 {
			t.Errorf("the substitute was asked %d times", n)
		}
		w.idle()
	})
}

func TestRetriesOfClientsAreSharedAmongThemselves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sharing(t, nil)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				got := w.do(t.Context(), "chat", fixed("a"), func(r *http.Request) { r.Header.Set("X-Stainless-Retry-Count", fmt.Sprint(i%2)) })
				if !got.complete("chat") {
					t.Errorf("%s", got)
				}
			})
		}
		all.Wait()
		if n := w.attempts("primary"); n != 2 {
			t.Errorf("%d attempts for first tries and for retries, three callers each", n)
		}
	})
}

func TestMoreUrgentCallsDoNotWaitForLessUrgentOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sharing(t, nil)
		var all sync.WaitGroup
		for _, p := range []int{0, 100, -50, 100} {
			all.Go(func() { w.do(holdfast.WithPriority(t.Context(), p), "chat", fixed("a")) })
		}
		all.Wait()
		if n := w.attempts("primary"); n != 3 {
			t.Errorf("%d attempts for three classes", n)
		}
	})
}

// Callers of all kinds at random: everybody has the answer to its own question
// or its own end, each call ends once, and nothing is held afterwards.
func TestAnyMixtureOfCallersOfACacheEndsWell(t *testing.T) {
	for seed := range uint64(12) {
		bubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 9))
			w := remembering(t, cache.Config{TTL: 2 * time.Second, StaleIfError: 5 * time.Second, Share: cache.On, MaxEntries: 3}, func(c *holdfast.Config) {
				c.Queue = admission.Config{Running: 3, MaxDepth: 4, MaxWait: time.Second}
				c.MaxAnswer = 4000
			})
			w.direct()
			w.turn("primary", sim.Dials{HeaderDelay: 300 * time.Millisecond, Fault: "503", FaultProbability: 0.3, Seed: seed})
			first := map[string]string{}
			var mu sync.Mutex
			var all sync.WaitGroup
			const calls = 120
			for range calls {
				wait, patience := time.Duration(random.IntN(2e7))*time.Microsecond, time.Duration(1+random.IntN(3e6))*time.Microsecond
				question, tenant := fmt.Sprint("question ", random.IntN(5)), fmt.Sprint(random.IntN(2))
				all.Go(func() {
					time.Sleep(wait)
					ctx, stop := context.WithTimeout(holdfast.WithTenant(t.Context(), tenant), patience)
					defer stop()
					got := w.do(ctx, "chat", fixed(question))
					if got.err == nil && got.status == 200 && got.read == nil {
						mu.Lock()
						defer mu.Unlock()
						if id := tenant + got.header.Get("X-Request-Id"); first[id] == "" {
							first[id] = question
						} else if first[id] != question {
							t.Errorf("seed %d: tenant %s has the answer to %q for %q", seed, tenant, first[id], question)
						}
					}
				})
			}
			all.Wait()
			w.idle()
			ids := map[string]bool{}
			for _, e := range w.events(call.CallEnded) {
				ids[e.Call.ID] = true
			}
			if n := len(w.events(call.CallEnded)); n != calls || len(ids) != calls {
				t.Errorf("seed %d: %d ends of %d calls, %d begun", seed, n, len(ids), calls)
			}
		})
	}
}
