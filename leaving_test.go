package holdfast_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/sim"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// TestACallerWhoLeavesIsToldUpstreamAtOnce: before the headers, before the first
// token and in mid-stream. The provider sees it at once, the permit is back, the
// breaker has not moved.
func TestACallerWhoLeavesIsToldUpstreamAtOnce(t *testing.T) {
	moments := []struct {
		name  string
		dials sim.Dials
		close bool // leave by closing the body, not by the context
	}{
		{"before the headers", sim.Dials{HeaderDelay: time.Minute}, false},
		{"before the first token", sim.Dials{FirstTokenDelay: 20 * time.Second}, false},
		{"in mid-stream, by context", sim.Dials{TokenInterval: 100 * time.Millisecond, OutputTokens: 1000}, false},
		{"in mid-stream, by close", sim.Dials{TokenInterval: 100 * time.Millisecond, OutputTokens: 1000}, true},
	}
	for _, m := range moments {
		for _, dialect := range dialectNames {
			t.Run(m.name+"/"+dialect, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { leave(t, dialect, m.dials, m.close) })
			})
		}
	}
}

func leave(t *testing.T, dialect string, d sim.Dials, byClose bool) {
	target := to("primary", "gpt")
	if dialect == "messages" {
		target = claude("primary", "gpt")
	}
	w := build(t, route(target), "primary")
	if err := w.sims["primary"].SetDials(d); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := bytes.Replace(ask(dialect, "m", true), []byte(":60"), []byte(":1000"), 1)
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://app"+paths[dialect], bytes.NewReader(body))
	const patience = 5 * time.Second
	began := time.Now()
	if !byClose {
		time.AfterFunc(patience, cancel)
	}
	resp, err := w.hf.RoundTrip(req)
	if err == nil {
		buf := make([]byte, 512)
		for err == nil && (!byClose || time.Since(began) < patience) {
			_, err = resp.Body.Read(buf)
		}
		_ = resp.Body.Close()
	}
	if !byClose && !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v, want its own context.Canceled", err)
	}
	left := began.Add(patience)
	synctest.Wait()
	log := w.sims["primary"].Log()
	if len(log) != 1 {
		t.Fatalf("%d attempts, want 1", len(log))
	}
	if a := log[0]; !a.Cancelled || a.CancelledAt.Sub(left) > 100*time.Millisecond {
		t.Errorf("the provider saw cancelled=%v at %s after the caller left", a.Cancelled, a.CancelledAt.Sub(left))
	}
	s := w.hf.Status().Targets[0]
	if s.InFlight != 0 || s.Breaker != "closed" {
		t.Errorf("in flight %d, breaker %s; want 0, closed", s.InFlight, s.Breaker)
	}
	if ends := w.events(call.CallEnded); len(ends) != 1 || ends[0].Outcome.Class != call.Canceled {
		t.Errorf("the call ended as %v", ends)
	}
}

// TestAStormOfAbortsDoesNotOpenTheBreaker: impatient callers are no evidence
// against a provider that works.
func TestAStormOfAbortsDoesNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := route(to("primary", "gpt"))
		c.Concurrency = concurrency.Config{Max: -1}
		w := build(t, c, "primary")
		_ = w.sims["primary"].SetDials(sim.Dials{FirstTokenDelay: 2 * time.Second})
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
				defer cancel()
				w.do(ctx, "chat", ask("chat", "m", true))
			})
		}
		all.Wait()
		s := w.hf.Status().Targets[0]
		if s.Breaker != "closed" || s.InFlight != 0 {
			t.Errorf("breaker %s, in flight %d after 1,000 aborts", s.Breaker, s.InFlight)
		}
		if g := w.do(t.Context(), "chat", ask("chat", "m", true)); !g.complete("chat") {
			t.Error(g)
		}
	})
}

// TestAHangingProviderIsNotHiddenByImpatientCallers: callers who leave after the
// slow threshold without a word count as slow, and the breaker opens.
func TestAHangingProviderIsNotHiddenByImpatientCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(to("primary", "sim/silent")), "primary")
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
				defer cancel()
				w.do(ctx, "chat", ask("chat", "m", true))
			})
		}
		all.Wait()
		if s := w.hf.Status().Targets[0]; s.Breaker == "closed" {
			t.Error("the breaker is closed after 12 callers waited 15 s for nothing")
		}
	})
}

// TestAfterTenThousandRandomEndsNothingIsHeld: whatever way calls end, permits,
// places and flights are back at zero; the bubble sees to it that no goroutine
// is left.
func TestAfterTenThousandRandomEndsNothingIsHeld(t *testing.T) {
	const calls = 10_000
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 2))
		models := []string{"sim/ok", "sim/500-once", "sim/503", "sim/cut-after-5", "sim/cut-clean-after-3", "sim/error-first-event", "sim/error-after-3",
			"sim/bad-event-3", "sim/no-done", "sim/html-200", "sim/empty-200", "sim/429-forever", "sim/429-retry-after-2", "sim/content-filter", "sim/400", "sim/silent", "sim/stall-after-3", "sim/never-closes"}
		c := holdfast.Config{Timeout: timeout.Config{FirstToken: 2 * time.Second, Idle: time.Second, Attempt: 3 * time.Second, Total: 10 * time.Second}}
		c.Routes = []holdfast.Route{{Name: "chat", Targets: []holdfast.Target{to("primary", ""), to("backup", "")}}}
		w := build(t, c, "primary", "backup")
		w.direct()
		w.quiet = true
		var all sync.WaitGroup
		for i := range calls {
			dice := rnd.IntN(6)
			after := time.Duration(rnd.IntN(3000)) * time.Millisecond
			read := rnd.IntN(2000)
			body := fmt.Appendf(nil, `{"model":%q,"stream":%t,"max_tokens":8,"messages":[{"role":"user","content":"%d"}]}`, models[rnd.IntN(len(models))], rnd.IntN(2) == 0, i)
			all.Go(func() { w.endSomehow(body, dice, after, read) })
			if i%20 == 0 {
				time.Sleep(50 * time.Millisecond)
			}
		}
		all.Wait()
		synctest.Wait()
		time.Sleep(11 * time.Second) // the budgets' memory
		for _, s := range w.hf.Status().Targets {
			if s.InFlight != 0 || s.RetryBudget != 1 {
				t.Errorf("%s holds %d permits, its retry budget is at %v", s.Name, s.InFlight, s.RetryBudget)
			}
		}
		for _, r := range w.hf.Status().Routes {
			if r.Running != 0 || r.Waiting != 0 || r.Calls != calls {
				t.Errorf("route %s: %d running, %d waiting, %d of %d calls ended", r.Name, r.Running, r.Waiting, r.Calls, calls)
			}
		}
		for name, p := range w.sims {
			if p.InFlight() != 0 {
				t.Errorf("%s still works on %d calls", name, p.InFlight())
			}
		}
	})
}

// endSomehow makes one call and ends it in one of several ways.
func (w *world) endSomehow(body []byte, dice int, after time.Duration, read int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if dice < 2 {
		timer := time.AfterFunc(after, cancel)
		defer timer.Stop()
	}
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://app/v1/chat/completions", bytes.NewReader(body))
	resp, err := w.hf.RoundTrip(req)
	if err != nil {
		return
	}
	switch dice {
	case 2: // closed unread
	case 3: // closed in the middle
		_, _ = io.CopyN(io.Discard, resp.Body, int64(read))
	case 4: // closed by another goroutine while reading
		timer := time.AfterFunc(after, func() { _ = resp.Body.Close() })
		defer timer.Stop()
		_, _ = io.Copy(io.Discard, resp.Body)
	default:
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	_ = resp.Body.Close()
	_ = resp.Body.Close()
}

// brokenUpload is a body whose sender breaks the framing.
type brokenUpload struct{ n int }

func (b *brokenUpload) Read(p []byte) (int, error) {
	if b.n++; b.n > 2 {
		return 0, errors.New("malformed chunked encoding")
	}
	return copy(p, "part"), nil
}

func (b *brokenUpload) Close() error { return nil }

// TestACallersBrokenUploadIsNoFaultOfTheProvider: else any client could open the
// breaker.
func TestACallersBrokenUploadIsNoFaultOfTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(to("primary", "")), "primary")
		for range 20 {
			req, _ := http.NewRequest("POST", "http://app/v1/files", &brokenUpload{})
			req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != 400 || resp.Header.Get("X-Holdfast-Error-Source") != "gateway" {
				t.Fatalf("status %d from %s, want 400 from the gateway", resp.StatusCode, resp.Header.Get("X-Holdfast-Error-Source"))
			}
		}
		if s := w.hf.Status().Targets[0]; s.Breaker != "closed" || s.InFlight != 0 {
			t.Errorf("breaker %s, in flight %d", s.Breaker, s.InFlight)
		}
	})
}
