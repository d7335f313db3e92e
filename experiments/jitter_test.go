package experiments_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/internal/plot"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/retry"
)

// A crowd of callers comes at once to a provider that serves some a second and
// refuses the rest without a word of when to come again.
const (
	crowdSize  = 200
	crowdLimit = 20 // a second, and so many at once
)

// jitters are the kinds that package retry has, with what it waits after a
// throttle: 1 s, doubling, at most 8 s.
var jitters = []string{retry.JitterNone, retry.JitterFull, retry.JitterEqual, retry.JitterDecorrelated, retry.JitterPRetry, retry.JitterPythonRandom}

// served is what became of a crowd.
type served struct {
	calls  float64   // for each caller
	all    float64   // seconds until everybody was served
	moment []float64 // when each was, in seconds, in order
}

// storming lets the crowd come. All come within 10 ms.
func storming(jitter string, seed uint64) served {
	limit := ratelimit.New("provider", ratelimit.Config{Points: crowdLimit, Duration: time.Second})
	config := retry.Config{Jitter: jitter}
	var mu sync.Mutex
	var under sync.WaitGroup
	var s served
	calls, began := 0, time.Now()
	for i := range uint64(crowdSize) {
		under.Go(func() {
			random := rand.New(rand.NewPCG(seed, i))
			time.Sleep(time.Duration(random.IntN(int(10 * time.Millisecond))))
			wait, n := time.Duration(0), 1
			for ; !ratelimit.Take([]ratelimit.Ask{{Limiter: limit, Cost: 1}}); n++ {
				wait = config.Backoff(n, true, wait, random.Float64)
				time.Sleep(wait)
			}
			mu.Lock()
			defer mu.Unlock()
			calls += n
			s.moment = append(s.moment, time.Since(began).Seconds())
		})
	}
	under.Wait()
	slices.Sort(s.moment)
	s.calls, s.all = float64(calls)/crowdSize, s.moment[crowdSize-1]
	return s
}

// TestACrowdIsServedSoonerWhenItsWaitsDiffer: without jitter all come again at the
// same moments, and the limit stands idle in between. Ours after a throttle is
// equal jitter: fewer calls are wasted than with full.
func TestACrowdIsServedSoonerWhenItsWaitsDiffer(t *testing.T) {
	seeds, full := experiment.Seeds(t, 2)
	found := play(t, jitters, seeds, func(_ *testing.T, arm int, seed uint64) served { return storming(jitters[arm], seed) })
	of := map[string]served{}
	for arm, jitter := range jitters {
		of[jitter] = served{
			calls: mean(found[arm], func(s served) float64 { return s.calls }),
			all:   mean(found[arm], func(s served) float64 { return s.all }),
		}
		t.Logf("%s: %.2f calls for each caller, all served after %.1f s", jitter, of[jitter].calls, of[jitter].all)
	}
	none, least := of[retry.JitterNone], float64(crowdSize-crowdLimit)/crowdLimit
	for _, jitter := range jitters[1:] {
		if s := of[jitter]; s.all > none.all/2 || s.calls >= none.calls || s.all < least*0.99 {
			t.Errorf("%s jitter: %.2f calls and %.1f s, without %.2f and %.1f s; fewer than %.0f s are not possible", jitter, s.calls, s.all, none.calls, none.all, least)
		}
	}
	if equal, random := of[retry.JitterEqual], of[retry.JitterFull]; equal.calls >= random.calls {
		t.Errorf("equal jitter takes %.2f calls for each caller, full jitter %.2f: it is not the better one after a throttle", equal.calls, random.calls)
	}
	if full {
		crowdResult(seeds, found).Save(t)
	}
}

func crowdResult(seeds uint64, found [][]served) experiment.Result {
	r := experiment.Result{
		Name: "jitter", Seeds: seeds,
		Note:    "Calls: the mean; seconds: the least and the most. The curves are of the first seed",
		Columns: []string{"Jitter", "Calls for each caller", "Seconds until all are served"},
		Lines:   &plot.Lines{Title: fmt.Sprintf("%d callers at once, and a limit of %d a second", crowdSize, crowdLimit), X: "seconds", Y: "callers served"},
	}
	for arm, runs := range found {
		name := jitters[arm]
		if name == retry.JitterEqual {
			name += " (default after a throttle)"
		}
		r.Rows = append(r.Rows, []string{name,
			fmt.Sprintf("%.2f", mean(runs, func(s served) float64 { return s.calls })),
			between(runs, "%.1f", "never", func(s served) float64 { return s.all })})
		r.Lines.Curve = append(r.Lines.Curve, plot.Curve{Name: jitters[arm], Points: runs[0].points()})
	}
	return r
}

// points are how many were served by each half second, until all are.
func (s served) points() (points [][2]float64) {
	for at := 0.0; ; at += 0.5 {
		n, _ := slices.BinarySearch(s.moment, at)
		points = append(points, [2]float64{at, float64(n)})
		if n == len(s.moment) {
			return points
		}
	}
}
