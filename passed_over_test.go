package holdfast_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

func TestACallThatFindsEveryCircuitOpenNamesThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "sim/ok"), to("backup", "sim/ok")), "primary", "backup")
		for _, name := range []string{"primary", "backup"} {
			if err := w.hf.Breaker(name, "open", "maintenance", time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if g := w.do(t.Context(), "chat", ask("chat", "m", false)); g.status != 503 {
			t.Fatalf("status %d", g.status)
		}
		passed := w.events(call.PassedOver)
		if len(passed) != 2 || passed[0].Target != "primary" || passed[1].Target != "backup" {
			t.Fatalf("passed over: %+v", passed)
		}
		for _, e := range passed {
			if e.Reason != "circuit_open" || e.Wait <= 0 || e.Wait > time.Hour {
				t.Errorf("%s: %s for %s", e.Target, e.Reason, e.Wait)
			}
		}
	})
}

func TestAnAttemptNamesTheModelThatAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "sim/ok"), to("backup", "sim/ok")), "primary", "backup")
		if g := w.do(t.Context(), "chat", ask("chat", "m", true)); g.status != 200 {
			t.Fatalf("status %d", g.status)
		}
		if ended := w.events(call.AttemptEnded); len(ended) != 1 || ended[0].Answered != "sim/ok" {
			t.Errorf("got %+v", ended)
		}
	})
}
