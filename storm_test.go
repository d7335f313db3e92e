package holdfast_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/sim"
)

// storm is a load on an engine that answers 50 calls a second: ten slots, 200 ms
// each, one queue, and work that goes on for callers who have left. Callers give
// each try their patience, and after a failure try twice more at once.
type storm struct {
	patience time.Duration
	rates    []burst
	stall    [2]time.Duration // after the start, and for how long
}

// burst is a rate of new calls, per second, that holds for a time.
type burst struct {
	rate  float64
	lasts time.Duration
}

// tried is one call: when it began, and whether it was answered in time.
type tried struct {
	at   time.Duration
	good bool
}

// shelter is the house in front of the engine: no more calls at once than it has
// slots, and nobody waits longer than a second.
func shelter(c holdfast.Config) holdfast.Config {
	c.Concurrency = concurrency.Config{Max: 10}
	c.Queue = admission.Config{MaxWait: time.Second}
	return c
}

// rage plays the storm in a bubble, with the house in front of the engine or
// without, and returns every call in the order of its beginning.
func (s storm) rage(t *testing.T, seed uint64, sheltered bool) (calls []tried) {
	w := build(t, shelter(route(to("engine", "sim"))), "engine")
	w.direct()
	w.quiet = true
	dials := sim.Dials{Slots: 10, TokenInterval: 10 * time.Millisecond, OutputTokens: 20, StallAfter: s.stall[0], StallFor: s.stall[1]}
	if err := w.sims["engine"].SetDials(dials); err != nil {
		t.Fatal(err)
	}
	var front http.RoundTripper = w
	if sheltered {
		front = w.hf
	}
	random := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	var under sync.WaitGroup
	began := time.Now()
	end := time.Duration(0)
	for _, b := range s.rates {
		for end += b.lasts; time.Since(began) < end; time.Sleep(time.Duration(random.ExpFloat64() / b.rate * float64(time.Second))) {
			at := time.Since(began)
			under.Go(func() {
				good := s.call(front)
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, tried{at, good})
			})
		}
	}
	under.Wait()
	for w.sims["engine"].InFlight() > 0 { // it works on for those who have left
		time.Sleep(time.Second)
	}
	slices.SortFunc(calls, func(a, b tried) int { return int(a.at - b.at) })
	return calls
}

// call tries three times at most, and reports whether there was a whole answer.
func (s storm) call(front http.RoundTripper) bool {
	return slices.ContainsFunc(make([]struct{}, 3), func(struct{}) bool {
		ctx, cancel := context.WithTimeout(context.Background(), s.patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/v1/chat/completions",
			bytes.NewReader([]byte(`{"model":"sim","messages":[{"role":"user","content":"hi"}]}`)))
		if err != nil {
			return false
		}
		resp, err := front.RoundTrip(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(text), `"finish_reason":"stop"`)
	})
}

// goodput is how many of the calls that began in a window were good, 0-1.
func goodput(calls []tried, from, to time.Duration) float64 {
	good, all := 0, 0
	for _, c := range calls {
		if from <= c.at && c.at < to {
			all++
			if c.good {
				good++
			}
		}
	}
	return float64(good) / float64(max(all, 1))
}

// TestABurstOfImpatientCallersIsOverWhenItIsOver: twice the capacity for eight
// seconds, by callers who retry twice at once, and then a load of 70 %. Without
// protection the engine works for callers who have left until the end.
func TestABurstOfImpatientCallersIsOverWhenItIsOver(t *testing.T) {
	const window = 8 * time.Second
	s := storm{patience: 2 * time.Second, rates: []burst{{35, 5 * time.Second}, {100, window}, {35, 3 * window}}}
	after := 5*time.Second + window
	n, _ := experiment.Seeds(t, 1)
	for seed := range n {
		synctest.Test(t, func(t *testing.T) {
			calls := s.rage(t, seed, true)
			if got := goodput(calls, after, after+window); got < 0.95 {
				t.Errorf("seed %d: %.1f %% good in the first window after the burst, want 95 %%", seed, 100*got)
			}
			if got := goodput(calls, 5*time.Second, after); got < 0.5*0.95 {
				t.Errorf("seed %d: %.1f %% good in the burst, of which half can be", seed, 100*got)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			calls := s.rage(t, seed, false)
			if got := goodput(calls, after, after+3*window); got > 0.1 {
				t.Errorf("seed %d: without protection %.1f %% are good after the burst: it is none", seed, 100*got)
			}
		})
	}
}

// TestAStallIsOverWithinFiftySeconds: at a load of 70 % everything stops for half
// a minute; 50 seconds after its end the calls of any ten seconds are good.
func TestAStallIsOverWithinFiftySeconds(t *testing.T) {
	const start, stalled, grace, rest = 20 * time.Second, 30 * time.Second, 50 * time.Second, 30 * time.Second
	s := storm{patience: 10 * time.Second, rates: []burst{{35, start + stalled + grace + rest}}, stall: [2]time.Duration{start, stalled}}
	end := start + stalled
	n, _ := experiment.Seeds(t, 1)
	for seed := range n {
		synctest.Test(t, func(t *testing.T) {
			calls := s.rage(t, seed, true)
			for from := end + grace; from < end+grace+rest; from += 10 * time.Second {
				if got := goodput(calls, from, from+10*time.Second); got < 0.95 {
					t.Errorf("seed %d: %.1f %% good %s after the stall, want 95 %%", seed, 100*got, from-end)
				}
			}
		})
		synctest.Test(t, func(t *testing.T) {
			calls := s.rage(t, seed, false)
			if got := goodput(calls, end+grace, end+grace+rest); got > 0.5 {
				t.Errorf("seed %d: without protection %.1f %% are good: the stall shows nothing", seed, 100*got)
			}
		})
	}
}
