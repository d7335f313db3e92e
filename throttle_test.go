package holdfast_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/sim"
)

// shedding is a route whose target refuses most calls and is throttled for it.
func shedding(t *testing.T, more ...holdfast.Target) *world {
	c := route(append([]holdfast.Target{keyed(to("primary", "gpt"), "sk-1")}, more...)...)
	c.Breaker = breaker.Config{Throttle: 2, Consecutive: -1, Ratio: -1}
	c.Retry = retry.Config{MaxAttempts: 1}
	c.Rand = rand.New(rand.NewPCG(3, 4)).Float64
	w := build(t, c, "primary", "backup")
	w.turn("primary", sim.Dials{Fault: "503", FaultProbability: 0.9})
	return w
}

func TestATargetThatRefusesMuchIsAskedLessAndTheRestIsToldSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shedding(t)
		shed, ok := 0, 0
		for i := range 600 {
			time.Sleep(time.Second)
			got := w.do(t.Context(), "chat", body(i))
			switch {
			case got.header.Get("X-Holdfast-Reason") == "shed":
				if shed++; got.status != 503 || got.header.Get("X-Should-Retry") != "true" || got.header.Get("Retry-After") == "" || got.header.Get("X-Holdfast-Attempts") != "0" {
					t.Fatalf("%v %s", got.header, got)
				}
			case got.status == 200:
				ok++
			}
		}
		if sent := w.attempts("primary"); sent+shed != 600 || shed < 200 || ok == 0 {
			t.Errorf("%d sent, %d of them answered, %d shed", sent, ok, shed)
		}
		w.turn("primary", sim.Dials{})
		for i := range 400 {
			time.Sleep(time.Second)
			if got := w.do(t.Context(), "chat", body(1000+i)); i > 300 && got.status != 200 {
				t.Fatalf("%d s after the recovery: %s", i, got)
			}
		}
		w.idle()
	})
}

func TestWhatATargetShedsGoesToTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shedding(t, keyed(to("backup", "gpt"), "sk-2"))
		w.turn("primary", sim.Dials{Fault: "503"})
		for i := range 100 {
			time.Sleep(time.Second)
			w.do(t.Context(), "chat", body(i))
		}
		passed := 0
		for _, e := range w.events(call.PassedOver) {
			if e.Target == "primary/gpt" || e.Target == "primary" {
				if e.Reason == "shed" {
					passed++
				}
			}
		}
		if passed == 0 || w.attempts("backup") != passed {
			t.Errorf("passed over %d times, and the next was asked %d times", passed, w.attempts("backup"))
		}
	})
}
