package holdfast_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// TestACircuitMovedByHandIsMovedForModelsThatNobodyHasAskedForYet: a target that
// takes whatever model it is asked for has a circuit for each, made when the
// model is first asked for.
func TestACircuitMovedByHandIsMovedForModelsThatNobodyHasAskedForYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", ""), to("backup", "")), "primary", "backup")
		answered := func(model string) string {
			return w.do(t.Context(), "chat", ask("chat", model, false)).header.Get("X-Holdfast-Provider")
		}
		order := func(action string, during time.Duration) {
			t.Helper()
			if err := w.hf.Breaker("primary", action, "maintenance", during); err != nil {
				t.Fatal(err)
			}
		}
		answered("old")
		order("open", time.Hour)
		for _, model := range []string{"old", "new", "newer"} {
			if by := answered(model); by != "backup" {
				t.Errorf("model %s: %s answered, although primary is open", model, by)
			}
		}
		if n := len(w.events(call.BreakerMoved)); n != 2 { // the target's own circuit and that of old
			t.Errorf("%d movements were told, want those of the circuits that were there", n)
		}
		time.Sleep(time.Hour + time.Minute)
		if by := answered("newest"); by != "primary" {
			t.Errorf("%s answered after the hour", by)
		}
		order("open", 0)
		time.Sleep(24 * time.Hour)
		if by := answered("another"); by != "backup" {
			t.Errorf("%s answered, although primary is open until further notice", by)
		}
		order("reset", 0)
		if by := answered("the last"); by != "primary" {
			t.Errorf("%s answered after the reset", by)
		}
	})
}
