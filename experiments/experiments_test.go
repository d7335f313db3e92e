package experiments_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/retry"
)

// play runs an arm of an experiment once for each seed, each in a bubble of its
// own, and returns what came of them in the order of the seeds.
func play[R any](t *testing.T, arms []string, seeds uint64, run func(t *testing.T, arm int, seed uint64) R) [][]R {
	t.Helper()
	found := make([][]R, len(arms))
	t.Run("arm", func(t *testing.T) { // returns when all its parts have
		for arm, name := range arms {
			found[arm] = make([]R, seeds)
			for seed := range seeds {
				t.Run(fmt.Sprintf("%s/seed=%d", name, seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { found[arm][seed] = run(t, arm, seed) })
				})
			}
		}
	})
	return found
}

// mean is the mean of a figure of several runs.
func mean[R any](runs []R, of func(R) float64) float64 {
	sum := 0.0
	for _, r := range runs {
		sum += of(r)
	}
	return sum / float64(len(runs))
}

// between writes the least and the largest of a figure, or one if they look the
// same. Infinity is written as never.
func between[R any](runs []R, format, never string, of func(R) float64) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range runs {
		low, high = min(low, of(r)), max(high, of(r))
	}
	text := func(v float64) string {
		if math.IsInf(v, 1) {
			return never
		}
		return fmt.Sprintf(format, v)
	}
	if text(low) == text(high) {
		return text(low)
	}
	return text(low) + " to " + text(high)
}

// round keeps so many digits after the point.
func round(v float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(v*unit) / unit
}

// TestASeedIsTheSameRunAgain: what a page shows can be found again, whatever the
// scheduler does. (With the whole house in between the last digit may differ.)
func TestASeedIsTheSameRunAgain(t *testing.T) {
	s := storm{slots: 2, before: 10 * time.Second, after: 60 * time.Second, lastWindow: 20 * time.Second}
	r := rush{slots: 8, settle: 10 * time.Second, lasts: 20 * time.Second}
	dropped := s
	dropped.drops = true
	for what, run := range map[string]func(t *testing.T) any{
		"a storm":          func(t *testing.T) any { return s.rage(t, clients[perSuccess20], 7) },
		"a storm, dropped": func(t *testing.T) any { return dropped.rage(t, clients[perRequest20], 7) },
		"a crowd":          func(*testing.T) any { return storming(retry.JitterFull, 7) },
		"a rush":           func(*testing.T) any { return r.goodput(ourDoor(0, true)(r.slots), 1.5, 7) },
	} {
		var found [2]any
		for i := range found {
			synctest.Test(t, func(t *testing.T) { found[i] = run(t) })
		}
		if !reflect.DeepEqual(found[0], found[1]) {
			t.Errorf("%s from one seed ended as %v and as %v", what, found[0], found[1])
		}
	}
}

func TestThePageShowsWhatTheExperimentsFound(t *testing.T) { experiment.Check(t) }
