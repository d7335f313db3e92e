package holdfast_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/sim"
)

// load sends calls at a steady rate for a time and waits for all of them.
// report hears each answer with the time it was asked.
func (w *world) load(rate int, during time.Duration, report func(at time.Time, g got)) {
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range int(during.Seconds() * float64(rate)) {
		body := fmt.Appendf(nil, `{"model":"m","stream":%t,"max_tokens":8,"messages":[{"role":"user","content":"call %d of %d"}]}`, i%2 == 0, i, w.t.Name()[0])
		at := time.Now()
		all.Go(func() {
			g := w.do(context.Background(), "chat", body)
			report(at, g)
		})
		<-tick.C
	}
	all.Wait()
}

// opened returns when the breaker of a target first opened, zero if never.
func (w *world) opened(target string) time.Time {
	for _, e := range w.events(call.BreakerMoved) {
		if e.Target == target && e.To == "open" {
			return e.At
		}
	}
	return time.Time{}
}

// moved returns when the breaker of a target last entered a state.
func (w *world) moved(target, state string) (last time.Time) {
	for _, e := range w.events(call.BreakerMoved) {
		if e.Target == target && e.To == state {
			last = e.At
		}
	}
	return last
}

// TestAnOutageOfThePrimaryIsInvisible: 60 s of 503 at 20 calls/s with a healthy
// fallback, 100 seeds. Everybody is answered, the primary is left alone, and it
// gets its share back soon after it has recovered.
func TestAnOutageOfThePrimaryIsInvisible(t *testing.T) {
	const seeds = 100
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { outage(t, seed) })
		})
	}
}

func outage(t *testing.T, seed uint64) {
	const rate, lasts = 20, 60 * time.Second
	rnd, mu := rand.New(rand.NewPCG(seed, 1)), sync.Mutex{}
	c := route(to("primary", "sim/ok"), to("backup", "sim/ok"))
	c.Rand = func() float64 { mu.Lock(); defer mu.Unlock(); return rnd.Float64() }
	w := build(t, c, "primary", "backup")
	if seed >= 5 { // the others go without a wire: 200,000 calls in a suite of minutes
		w.direct()
	}
	slow := sim.Dials{HeaderDelay: 150 * time.Millisecond}
	broken := slow
	broken.Fault = "503"
	for name, d := range map[string]sim.Dials{"primary": broken, "backup": slow} {
		if err := w.sims[name].SetDials(d); err != nil {
			t.Fatal(err)
		}
	}
	recovered := time.Now().Add(lasts)
	go func() {
		time.Sleep(lasts)
		_ = w.sims["primary"].SetDials(slow)
	}()
	var lock sync.Mutex
	failed := 0
	w.load(rate, lasts+40*time.Second, func(_ time.Time, g got) {
		if !g.complete("chat") {
			lock.Lock()
			failed++
			lock.Unlock()
			t.Error(g)
		}
	})
	if failed > 0 {
		t.Errorf("%d calls failed, want 0", failed)
	}
	w.checkOutage(recovered)
}

// checkOutage holds the primary's own log against the promise.
func (w *world) checkOutage(recovered time.Time) {
	w.t.Helper()
	trip := w.opened("primary")
	if trip.IsZero() {
		w.t.Fatal("the breaker never opened")
	}
	before, inFlight, probes := 0, 0, 0
	var firstProbe time.Time
	for _, a := range w.sims["primary"].Log() {
		switch {
		case !a.Received.After(trip) && a.Ended.After(trip):
			inFlight++
		case !a.Received.After(trip):
			before++
		case a.Received.Before(recovered):
			probes++
		case firstProbe.IsZero():
			firstProbe = a.Received
		}
	}
	if before > 5 {
		w.t.Errorf("%d attempts before the trip and not in flight at it, want <= 5", before)
	}
	if most := 8; probes > most {
		w.t.Errorf("%d probes in the outage, want <= %d", probes, most)
	}
	if late := firstProbe.Sub(recovered); firstProbe.IsZero() || late > 15*time.Second {
		w.t.Errorf("the first probe came %s after the recovery, want <= 15 s", late)
	}
	full := w.fullShare(w.moved("primary", "closed"))
	if full > 10*time.Second {
		w.t.Errorf("full share %s after the second good probe, want <= 10 s", full)
	}
}

// fullShare returns how long after the breaker closed the backup got its last
// call: from then on the primary had everything.
func (w *world) fullShare(closed time.Time) (last time.Duration) {
	w.t.Helper()
	if closed.IsZero() {
		w.t.Fatal("the breaker never closed again")
	}
	for _, a := range w.sims["backup"].Log() {
		last = max(last, a.Received.Sub(closed))
	}
	return last
}

// TestAllTargetsDownIsAnsweredAtOnce: one pass over the chain, a truthful answer
// within a second, then nothing reaches the providers.
func TestAllTargetsDownIsAnsweredAtOnce(t *testing.T) {
	for _, fault := range []string{"503", "reset", "500", "529", "html-200"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := build(t, route(to("primary", "sim/"+fault), to("backup", "sim/"+fault)), "primary", "backup")
				for i := range 12 {
					before := w.attempts("primary") + w.attempts("backup")
					g := w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+1))
					if g.took > time.Second || g.status < 500 || g.header.Get("X-Should-Retry") != "false" {
						t.Error(g)
					}
					spent := w.attempts("primary") + w.attempts("backup") - before
					if spent > 3 {
						t.Errorf("call %d: %d attempts, want one pass over the chain", i, spent)
					}
					if w.opened("backup").IsZero() == false && w.opened("primary").IsZero() == false && i > 8 && spent != 0 {
						t.Errorf("call %d: %d attempts while both circuits are open", i, spent)
					}
				}
				last := w.do(t.Context(), "chat", []byte(`{"model":"m","messages":[{"role":"user","content":"x"}]}`))
				if last.header.Get("X-Holdfast-Reason") != "circuit_open" {
					t.Errorf("reason %q, want circuit_open: %s", last.header.Get("X-Holdfast-Reason"), last)
				}
			})
		})
	}
}

var _ http.RoundTripper = (*holdfast.Transport)(nil)
