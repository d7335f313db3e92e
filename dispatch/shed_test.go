package dispatch_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
)

// sheds makes targets throw attempts away.
func (b *bench) sheds(names ...string) {
	try := b.Scheduler.Try
	b.Scheduler.Try = func(ctx context.Context, c *call.Call, u call.Upstream, n int, first, force bool) (string, bool, call.Outcome, error) {
		if slices.Contains(names, u.Target.Name) {
			return "", false, call.Outcome{}, &dispatch.ClosedError{Shed: true}
		}
		return try(ctx, c, u, n, first, force)
	}
}

func TestACallThatATargetShedsGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench("first:a", "second:b")
		b.sheds("first")
		st := dispatch.State[string]{Targets: b.targets}
		r := b.Open(t.Context(), &call.Call{Replay: true, Safe: true}, &st)
		if !r.Open || r.Answer != "second" || st.Attempts != 1 || !slices.Contains(b.reasons, "first: passed_over shed") {
			t.Errorf("%+v after %d attempts, %q", r, st.Attempts, b.reasons)
		}
	})
}

func TestACallThatEveryTargetShedsIsThrownAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench("first:a", "second:b")
		b.sheds("first", "second")
		st := dispatch.State[string]{Targets: b.targets}
		if r := b.Open(t.Context(), &call.Call{Replay: true, Safe: true}, &st); r.Open || r.Has || r.Reason != dispatch.Shed {
			t.Errorf("%+v, want the reason %s", r, dispatch.Shed)
		}
		b = newBench("first:a", "second:b")
		b.sheds("second")
		b.replies["first"] = []reply{{class: call.Overloaded, status: 503}}
		st = dispatch.State[string]{Targets: b.targets}
		if r := b.Open(t.Context(), &call.Call{Replay: true, Safe: true}, &st); !r.Has || r.Reason != dispatch.Exhausted {
			t.Errorf("%+v, want what the first target said", r)
		}
	})
}
