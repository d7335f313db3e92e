package holdfast_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/sim"
)

// busy is a route with one place, whose target takes a second for each call.
func busy(t *testing.T, change func(*holdfast.Config)) *world {
	c := route(to("primary", "gpt"))
	c.Queue = admission.Config{Running: 1, MaxWait: time.Minute}
	if change != nil {
		change(&c)
	}
	w := build(t, c, "primary")
	_ = w.sims["primary"].SetDials(sim.Dials{HeaderDelay: time.Second})
	return w
}

// body is a request that no other is like.
func body(i int) []byte {
	return fmt.Appendf(nil, `{"model":"gpt","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+100)
}

func TestUrgentCallsGoInFirst(t *testing.T) {
	for _, c := range []struct {
		name     string
		route    int // its priority
		priority int // the caller's
		header   string
		want     string // the class it waits in
	}{
		{"nobody says anything", 0, 0, "", "normal"},
		{"the route says so", 10, 0, "", "high"},
		{"the key says otherwise", 10, -5, "", "batch"},
		{"the key is critical", 0, 50, "", "critical"},
		{"a header lowers it", 0, 100, "batch", "batch"},
		{"a header cannot raise it", 0, 0, "critical", "normal"},
		{"a header that means nothing", 10, 0, "vip", "high"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := busy(t, func(h *holdfast.Config) { h.Routes[0].Priority = c.route })
				var all sync.WaitGroup
				for i := range 2 {
					all.Go(func() {
						ctx := holdfast.WithPriority(t.Context(), c.priority)
						w.do(ctx, "chat", body(i), func(r *http.Request) {
							if c.header != "" {
								r.Header.Set("X-Holdfast-Priority", c.header)
							}
						})
					})
					time.Sleep(time.Millisecond)
				}
				for _, class := range w.hf.Status().Routes[0].Classes {
					if (class.Waiting == 1) != (class.Class == c.want) {
						t.Errorf("%d calls of class %s wait, want one of class %s", class.Waiting, class.Class, c.want)
					}
				}
				all.Wait()
			})
		})
	}
}

func TestAPriorityBeyondTheScaleIsAMistake(t *testing.T) {
	c := route(to("primary", "gpt"))
	c.Routes[0].Priority = 101
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "priority: 101 is not between -100 and 100") {
		t.Errorf("Validate: %v", err)
	}
}

func TestATenantWithManyCallsDoesNotMakeAnotherWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := busy(t, nil)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { w.do(holdfast.WithTenant(t.Context(), "loud"), "chat", body(i)) })
		}
		time.Sleep(time.Millisecond)
		g := w.do(holdfast.WithTenant(t.Context(), "quiet"), "chat", body(20))
		if !g.complete("chat") || g.took > 3*time.Second {
			t.Errorf("the quiet tenant's call took %s, want its turn after one of the other's: %v", g.took, g)
		}
		all.Wait()
		if s := w.hf.Status().Routes[0]; s.Running != 0 || s.Waiting != 0 {
			t.Errorf("%d inside and %d waiting after all", s.Running, s.Waiting)
		}
	})
}

// TestATenantPaysForWhatItTookAndNotForWhatItMightHave: with no limit and no
// budget, too, a generous max_tokens costs nobody his turn.
func TestATenantPaysForWhatItTookAndNotForWhatItMightHave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := busy(t, func(h *holdfast.Config) {
			h.Transport = slow{time.Second, canned{"application/json", `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":5}}`}}
		})
		var all sync.WaitGroup
		var mu sync.Mutex
		var generous time.Duration
		for i := range 10 {
			all.Go(func() { w.do(holdfast.WithTenant(t.Context(), "frugal"), "chat", askFor(10)) })
			if i < 3 {
				all.Go(func() {
					g := w.do(holdfast.WithTenant(t.Context(), "generous"), "chat", askFor(10_000))
					if !g.complete("chat") {
						t.Error(g)
					}
					mu.Lock()
					defer mu.Unlock()
					generous = max(generous, g.took)
				})
			}
			synctest.Wait()
		}
		all.Wait()
		if generous > 7*time.Second {
			t.Errorf("the third call that might have taken much took %s, want every second turn", generous)
		}
	})
}

// slow answers after a while.
type slow struct {
	after time.Duration
	http.RoundTripper
}

func (s slow) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(s.after)
	return s.RoundTripper.RoundTrip(req)
}

func TestACallThatCannotMeetItsDeadlineAfterAWaitIsRefusedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := busy(t, nil)
		for range 10 { // it learns that answers take a second to begin
			w.do(t.Context(), "chat", ask("chat", "gpt", true))
		}
		var all sync.WaitGroup
		all.Go(func() { w.do(t.Context(), "chat", body(41)) })
		time.Sleep(time.Millisecond)
		g := w.do(t.Context(), "chat", body(42), func(r *http.Request) { r.Header.Set("X-Holdfast-Timeout-Ms", "900") })
		if g.header.Get("X-Holdfast-Reason") != call.ReasonQueueTimeout || g.status != 503 || g.took > 5*time.Millisecond || g.header.Get("Retry-After") == "" {
			t.Errorf("got %v after %s, want a refusal at once", g, g.took)
		}
		all.Wait()
	})
}

func TestAWaitingRoomIsHeldByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := busy(t, nil)
		order := func(action string) {
			t.Helper()
			if err := w.hf.Queue("chat", action); err != nil {
				t.Fatal(err)
			}
		}
		order("pause")
		var all sync.WaitGroup
		all.Go(func() {
			if g := w.do(context.Background(), "chat", body(1)); !g.complete("chat") || g.took != 11*time.Second {
				t.Errorf("the call that met a pause took %s: %v", g.took, g)
			}
		})
		time.Sleep(10 * time.Second)
		if s := w.hf.Status().Routes[0]; !s.Paused || s.Running != 0 || s.Waiting != 1 {
			t.Errorf("in the pause: %+v", s)
		}
		order("resume")
		synctest.Wait()
		order("drain")
		if g := w.do(context.Background(), "chat", body(2)); g.status != 503 || g.header.Get("X-Holdfast-Reason") != call.ReasonDraining {
			t.Errorf("a newcomer while it drains: %v", g)
		}
		all.Wait()
		order("resume")
		if g := w.do(context.Background(), "chat", body(3)); !g.complete("chat") {
			t.Errorf("after it was resumed: %v", g)
		}
		if w.hf.Queue("nobody", "pause") == nil || w.hf.Queue("chat", "stop") == nil {
			t.Error("an unknown route or action is no mistake")
		}
	})
}
