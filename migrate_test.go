package holdfast_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// The recordings of the libraries that docs/how-to/migrate.md is about are
// replayed where the policies are. What needs two of them is here.

// windowTrace is what a p-queue with an interval did, without the looks at it.
// Times are in ms.
type windowTrace struct {
	Name   string
	Config struct {
		Concurrency                    int
		Interval, IntervalCap          int64
		Strict, CarryoverIntervalCount bool
	}
	Acts []windowAct
}

type windowAct struct{ at, took, started int64 }

func (a *windowAct) UnmarshalJSON(text []byte) error {
	var none any
	return json.Unmarshal(text, &[]any{&a.at, &none, &a.took, &none, &none, &none, &none, &none, &a.started})
}

// replay sends the tasks through a waiting room whose target is ready when a
// limiter has points, as a quota is asked. It returns when each started.
func (w windowTrace) replay(running int, limit ratelimit.Config) []int64 {
	door := admission.NewDoor("p-queue", admission.Config{Running: running, MaxWait: 24 * time.Hour, MaxDepth: 1_000_000})
	limiter := ratelimit.New("p-queue", limit)
	reserve := func() func() bool { // of one task
		reserved := false
		return func() bool {
			if reserved {
				return true
			}
			asks := []ratelimit.Ask{{Limiter: limiter, Cost: 1}}
			if reserved = ratelimit.Take(asks); !reserved {
				time.AfterFunc(asks[0].Wait, door.Wake) // who knows the time wakes the room
			}
			return reserved
		}
	}
	began, started := time.Now(), make([]int64, len(w.Acts))
	var tasks sync.WaitGroup
	for i, act := range w.Acts {
		time.Sleep(time.Duration(act.at)*time.Millisecond - time.Since(began))
		tasks.Go(func() {
			place, err := door.Enter(context.Background(), admission.Ticket{Ready: reserve()})
			if err != nil {
				started[i] = -1
				return
			}
			started[i] = time.Since(began).Milliseconds()
			time.Sleep(time.Duration(act.took) * time.Millisecond)
			place.Leave()
		})
		synctest.Wait()
	}
	tasks.Wait()
	return started
}

func (w windowTrace) theirs() []int64 {
	started := make([]int64, len(w.Acts))
	for i, act := range w.Acts {
		started[i] = act.started
	}
	return started
}

// window is intervalCap and interval in our words.
func (w windowTrace) window() ratelimit.Config {
	return ratelimit.Config{Mode: ratelimit.ModeWindow, Points: w.Config.IntervalCap, Duration: time.Duration(w.Config.Interval) * time.Millisecond}
}

func readWindows(t *testing.T) (r struct{ Windows, Differences []windowTrace }) {
	t.Helper()
	text, err := os.ReadFile("admission/testdata/p-queue.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWindowsBeginTasksWhenPQueueDid(t *testing.T) {
	r := readWindows(t)
	if len(r.Windows) < 31 {
		t.Fatalf("%d traces", len(r.Windows))
	}
	for _, trace := range r.Windows {
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if ours := trace.replay(0, trace.window()); !slices.Equal(ours, trace.theirs()) {
					t.Errorf("%+v\nours   %v\ntheirs %v", trace.Config, ours, trace.theirs())
				}
			})
		})
	}
}

// Each difference is meant; docs/how-to/migrate.md says why.
func TestWindowsDifferFromPQueueWhereTheyMeanTo(t *testing.T) {
	evenly := func(w windowTrace) ratelimit.Config {
		c := w.window()
		c.Mode, c.Burst = ratelimit.ModeGCRA, 1
		return c
	}
	meant := map[string]struct {
		running int
		limit   func(windowTrace) ratelimit.Config
		want    []int64
	}{
		// Ours begins with the first call after the one before.
		"a window begins where the one before ends, used or not": {1, windowTrace.window, []int64{0, 10, 1310, 1320, 2310, 2320}},
		// One point after the other holds the same bound without a list of moments.
		"strict lets no rolling interval have more than the cap": {0, evenly, []int64{0, 990, 1490, 1990}},
		// What runs is bounded by itself.
		"carryoverIntervalCount counts what still runs": {2, windowTrace.window, []int64{0, 0, 150, 150, 300, 300}},
	}
	explained := 0
	for _, trace := range readWindows(t).Differences {
		m, known := meant[trace.Name]
		if !known && trace.Config.Interval > 0 {
			t.Errorf("%s: recorded and not explained", trace.Name)
		}
		if !known {
			continue // in admission
		}
		explained++
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours := trace.replay(m.running, m.limit(trace))
				if !slices.Equal(ours, m.want) {
					t.Errorf("got %v, want %v; theirs %v", ours, m.want, trace.theirs())
				}
				if slices.Equal(ours, trace.theirs()) {
					t.Error("no difference")
				}
			})
		})
	}
	if explained != len(meant) {
		t.Errorf("%d of %d differences recorded", explained, len(meant))
	}
}
