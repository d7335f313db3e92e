package holdfast_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/sim"
)

// TestAProcessThatEndsTellsItsStreams: who still reads hears in its dialect that
// the answer is not complete; the provider is told at once and not blamed.
func TestAProcessThatEndsTellsItsStreams(t *testing.T) {
	for _, dialect := range dialectNames {
		t.Run(dialect, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := to("primary", "gpt")
				if dialect == "messages" {
					target = claude("primary", "gpt")
				}
				w := build(t, route(target), "primary")
				_ = w.sims["primary"].SetDials(sim.Dials{TokenInterval: time.Second})
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(5500*time.Millisecond, func() { cancel(holdfast.ErrDraining) })
				g := w.do(ctx, dialect, ask(dialect, "m", true))
				frames := strings.Split(strings.TrimSuffix(g.body, "\n\n"), "\n\n")
				last := frames[len(frames)-1]
				if g.err != nil || g.read != nil || g.complete(dialect) || !strings.Contains(last, "error") || !strings.Contains(last, "shutting down") {
					t.Errorf("after %s: %s", g.took, g)
				}
				synctest.Wait()
				if log := w.sims["primary"].Log(); len(log) != 1 || !log[0].Cancelled {
					t.Errorf("the provider goes on: %+v", log)
				}
				if s := w.hf.Status().Targets[0]; s.Breaker != "closed" || s.InFlight != 0 {
					t.Errorf("breaker %s, in flight %d", s.Breaker, s.InFlight)
				}
			})
		})
	}
}

func TestACallThatHasNoAnswerYetReturnsWhyItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(to("primary", "gpt")), "primary")
		_ = w.sims["primary"].SetDials(sim.Dials{HeaderDelay: time.Minute})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(holdfast.ErrDraining) })
		g := w.do(ctx, "chat", ask("chat", "m", true), func(r *http.Request) { r.Header.Set("X-Holdfast-No-Retry", "1") })
		if !errors.Is(g.err, holdfast.ErrDraining) || g.took != time.Second {
			t.Errorf("%s, want ErrDraining after 1s", g)
		}
	})
}
