package holdfast_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/sim"
)

// TestAttemptsStayBelowTheBound: per target and in any 10 s, attempts are at most
// 1.2 times the calls that reached it, plus 10, whatever the fault and the load.
func TestAttemptsStayBelowTheBound(t *testing.T) {
	for _, fault := range []string{"503", "reset", "silent", "500", "429-forever", "error-first-event"} {
		for _, rate := range []int{1, 20, 200} {
			for _, targets := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s/%d per second/%d targets", fault, rate, targets), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { amplify(t, fault, rate, targets) })
				})
			}
		}
	}
}

func amplify(t *testing.T, fault string, rate, targets int) {
	c := route(to("primary", "sim/"+fault))
	if targets == 2 {
		c = route(to("primary", "sim/"+fault), to("backup", "sim/"+fault))
	}
	w := build(t, c, "primary", "backup")
	if fault != "reset" { // a reset needs a connection
		w.direct()
	}
	lasts := 40 * time.Second
	if rate == 1 {
		lasts = 120 * time.Second
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var all sync.WaitGroup
	for i := range int(lasts.Seconds()) * rate {
		all.Go(func() {
			w.do(context.Background(), "chat", fmt.Appendf(nil, `{"model":"m","stream":%t,"messages":[{"role":"user","content":"%d"}]}`, i%2 == 0, i),
				func(r *http.Request) { r.Header.Set("X-Sim-Tag", fmt.Sprint(i)) })
		})
		<-tick.C
	}
	all.Wait()
	for _, name := range []string{"primary", "backup"} {
		checkBound(t, name, w.sims[name].Log())
	}
}

// checkBound looks at every window of 10 s that begins with an attempt: no other
// window can be worse.
func checkBound(t *testing.T, name string, log []sim.Attempt) {
	t.Helper()
	slices.SortFunc(log, func(a, b sim.Attempt) int { return a.Received.Compare(b.Received) })
	seen := map[string]bool{}
	first := make([]bool, len(log))
	for i, a := range log {
		first[i] = !seen[a.Tag]
		seen[a.Tag] = true
	}
	for i := range log {
		attempts, calls := 0, 0
		for j := i; j < len(log) && log[j].Received.Sub(log[i].Received) < 10*time.Second; j++ {
			attempts++
			if first[j] {
				calls++
			}
		}
		if float64(attempts) > 1.2*float64(calls)+10 {
			t.Fatalf("%s: %d attempts for %d calls in the 10 s from attempt %d", name, attempts, calls, i)
		}
	}
}

// TestAClientThatRetriesGetsOneAttempt: by its own word (the SDKs' retry count)
// or by the same body soon after our final error.
func TestAClientThatRetriesGetsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(to("primary", "sim/500"), to("backup", "sim/500")), "primary", "backup")
		spent := func(body string, set ...func(*http.Request)) int {
			before := w.attempts("primary") + w.attempts("backup")
			w.do(t.Context(), "chat", []byte(body), set...)
			return w.attempts("primary") + w.attempts("backup") - before
		}
		if n := spent(`{"model":"a","messages":[{"role":"user","content":"x"}]}`); n != 2 {
			t.Errorf("a first try made %d attempts, want 2", n)
		}
		if n := spent(`{"model":"a","messages":[{"role":"user","content":"x"}]}`); n != 1 {
			t.Errorf("the same body at once made %d attempts, want 1", n)
		}
		if n := spent(`{"model":"b","messages":[{"role":"user","content":"x"}]}`, func(r *http.Request) { r.Header.Set("X-Stainless-Retry-Count", "1") }); n != 1 {
			t.Errorf("an SDK's retry made %d attempts, want 1", n)
		}
		other := func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk-other") }
		if n := spent(`{"model":"a","messages":[{"role":"user","content":"x"}]}`, other); n < 1 {
			t.Errorf("another client's first try made %d attempts", n)
		}
		time.Sleep(time.Minute)
		if n := spent(`{"model":"a","messages":[{"role":"user","content":"x"}]}`); n != 2 {
			t.Errorf("the same body a minute later made %d attempts, want 2", n)
		}
	})
}
