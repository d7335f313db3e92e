package experiments_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/internal/plot"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/sim"
)

// storm is a load of 70 % on an engine that stands still for half a minute. The
// engine works through one queue, also for callers who have left; callers give
// each try ten seconds.
type storm struct {
	slots      int           // 200 ms each
	before     time.Duration // the stall
	after      time.Duration // it
	lastWindow time.Duration // of the load, in which goodput is counted at the end
	drops      bool          // the engine drops the work for callers who have left
}

const (
	serviceTime   = 200 * time.Millisecond
	stallTime     = 30 * time.Second
	patience      = 10 * time.Second
	loadShare     = 0.7
	recovered     = 0.95
	recoverWindow = 10 * time.Second
	promptTokens  = 500 // what a retry costs
)

func (s storm) rate() float64      { return loadShare * float64(s.slots) / serviceTime.Seconds() }
func (s storm) end() time.Duration { return s.before + stallTime + s.after }

// budget decides whether a call may be tried again.
type budget interface {
	reached()                 // a call makes its first attempt
	success()                 // which succeeds
	withdraw() (func(), bool) // asks for another; refund it when it succeeded
}

// unlimited lets every call try again.
type unlimited struct{}

func (unlimited) reached()                 {}
func (unlimited) success()                 {}
func (unlimited) withdraw() (func(), bool) { return func() {}, true }

// ours is the budget of package retry: what successes have earned.
type ours struct{ *retry.Budget }

func (o ours) reached() { o.Reached() }
func (o ours) success() { o.Success(promptTokens) }
func (o ours) withdraw() (func(), bool) {
	ticket, denied := o.Withdraw(promptTokens, true)
	return func() { o.Refund(ticket) }, denied == ""
}

// perRequest is the budget that many clients have, for comparison: every request
// earns, whatever becomes of it. It begins with ten retries and saves up as many
// more as ten seconds of requests earn.
type perRequest struct {
	mu             sync.Mutex
	balance, ratio float64
	most           float64
}

func (p *perRequest) reached() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.balance = min(p.balance+p.ratio, p.most)
}

func (p *perRequest) success() {}

func (p *perRequest) withdraw() (func(), bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.balance < 1 {
		return nil, false
	}
	p.balance--
	return func() {}, true
}

// client is how callers try again.
type client struct {
	name    string
	tries   int
	jitter  string
	budget  func(s storm) budget
	storms  bool // nothing bounds the retries
	foreign bool // a budget of the kind that others have
	through bool // Holdfast
}

func never(storm) budget { return unlimited{} }

func earned(c retry.Config) func(storm) budget {
	return func(storm) budget { return ours{retry.NewBudget(c)} }
}

func asked(ratio float64) func(storm) budget {
	return func(s storm) budget {
		return &perRequest{balance: 10, ratio: ratio, most: 10 + ratio*s.rate()*10}
	}
}

var clients = []client{
	{name: "no retries", tries: 1, budget: never},
	{name: "2 retries, no jitter", tries: 3, jitter: retry.JitterNone, budget: never, storms: true},
	{name: "2 retries, full jitter", tries: 3, jitter: retry.JitterFull, budget: never, storms: true},
	{name: "budget 20 % per request", tries: 3, jitter: retry.JitterFull, budget: asked(0.2), foreign: true},
	{name: "budget 10 % per request", tries: 3, jitter: retry.JitterFull, budget: asked(0.1), foreign: true},
	{name: "budget 20 % per success", tries: 3, jitter: retry.JitterFull, budget: earned(retry.Config{BudgetRatio: 0.2, BudgetReserve: -1})},
	{name: "budget 10 % per success", tries: 3, jitter: retry.JitterFull, budget: earned(retry.Config{BudgetReserve: -1})},
	{name: "default: 10 % and 1 a second", tries: 3, jitter: retry.JitterFull, budget: earned(retry.Config{})},
	{name: "2 retries, through Holdfast", tries: 3, jitter: retry.JitterFull, budget: never, through: true},
}

// The places of some of them.
const perRequest20, perSuccess20, withDefaults = 3, 5, 7

// weathered is what came of a storm.
type weathered struct {
	attempts float64   // that the engine saw, for each call
	since    float64   // share of the calls since the stall began that were answered in time
	last     float64   // the same of those in the last window
	recovery float64   // seconds from the end of the stall until calls are answered again; infinite: never
	goodput  []float64 // by 5 s of the calls' beginnings
}

const step = 5 * time.Second

// near is the engine without a wire.
type near struct {
	engine   *sim.Provider
	attempts *atomic.Int64
}

func (n near) RoundTrip(req *http.Request) (*http.Response, error) {
	n.attempts.Add(1)
	answer, done := httptest.NewRecorder(), make(chan struct{})
	in := req.Clone(req.Context())
	in.RequestURI = in.URL.RequestURI()
	go func() {
		defer close(done)
		n.engine.ServeHTTP(answer, in)
	}()
	select {
	case <-done:
		return answer.Result(), nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// engine begins with a stall to come.
func (s storm) engine() near {
	dials := sim.Dials{OutputTokens: 2, TokenInterval: serviceTime, StallAfter: s.before, StallFor: stallTime}
	if s.drops {
		dials.Parallel = s.slots
	} else {
		dials.Slots = s.slots
	}
	return near{attempts: &atomic.Int64{}, engine: sim.New(sim.Config{LogSize: 1, Dials: dials})}
}

// front is what callers speak to: the engine, or Holdfast before it.
func (s storm) front(t *testing.T, c client, engine near, seed uint64) http.RoundTripper {
	if !c.through {
		return engine
	}
	random, mu := rand.New(rand.NewPCG(seed, 2)), sync.Mutex{}
	hf, err := holdfast.NewTransport(holdfast.Config{
		Routes:      []holdfast.Route{{Name: "chat", Targets: []holdfast.Target{{Name: "engine", Provider: "engine", Vendor: "openai", BaseURL: "http://engine", Model: "m"}}}},
		Concurrency: concurrency.Config{Max: s.slots}, Queue: admission.Config{MaxWait: time.Second},
		Transport: engine, Rand: func() float64 { mu.Lock(); defer mu.Unlock(); return random.Float64() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hf.Close() })
	return hf
}

// rage plays the storm for one kind of client.
func (s storm) rage(t *testing.T, c client, seed uint64) weathered {
	engine := s.engine()
	front, budget := s.front(t, c, engine, seed), c.budget(s)
	arrivals := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	var under sync.WaitGroup
	calls := tally{good: map[int]int{}, all: map[int]int{}}
	began := time.Now()
	for i := uint64(0); time.Since(began) < s.end(); i++ {
		at, random := time.Since(began), rand.New(rand.NewPCG(seed, 10+i))
		under.Go(func() {
			good := c.call(front, budget, random)
			mu.Lock()
			defer mu.Unlock()
			calls.count(at, good)
		})
		time.Sleep(time.Duration(arrivals.ExpFloat64() / s.rate() * float64(time.Second)))
	}
	attempts := engine.attempts.Load()
	under.Wait()
	for engine.engine.InFlight() > 0 { // it works on for those who have left
		time.Sleep(time.Second)
	}
	return s.sum(calls, float64(attempts))
}

// tally counts calls by the second in which they began.
type tally struct{ good, all map[int]int }

func (c tally) count(at time.Duration, good bool) {
	second := int(at.Seconds())
	c.all[second]++
	if good {
		c.good[second]++
	}
}

// share is the part that was good of the calls that began in a window; NaN if none did.
func (c tally) share(from, to time.Duration) float64 {
	good, all := 0, 0
	for second := int(from.Seconds()); second < int(to.Seconds()); second++ {
		good, all = good+c.good[second], all+c.all[second]
	}
	return float64(good) / float64(all)
}

// sum counts no call of the last half minute: when no more come, any engine
// recovers.
func (s storm) sum(c tally, attempts float64) weathered {
	const quiet = 30 * time.Second
	all := 0
	for _, n := range c.all {
		all += n
	}
	w := weathered{attempts: attempts / float64(all), recovery: math.Inf(1),
		since: c.share(s.before, s.end()-quiet), last: c.share(s.end()-quiet-s.lastWindow, s.end()-quiet)}
	for from := time.Duration(0); from < s.end()-quiet; from += step {
		w.goodput = append(w.goodput, c.share(from, from+step))
	}
	over := s.before + stallTime
	for from := over; from+recoverWindow <= s.end()-quiet; from += time.Second {
		if c.share(from, from+recoverWindow) >= recovered {
			w.recovery = (from - over).Seconds()
			break
		}
	}
	return w
}

// call tries until there is an answer, no try is left or the budget refuses.
func (c client) call(front http.RoundTripper, b budget, random *rand.Rand) bool {
	b.reached()
	var wait time.Duration
	refund := func() {}
	for try := 1; ; try++ {
		if c.try(front) {
			if try == 1 {
				b.success()
			}
			refund()
			return true
		}
		if try == c.tries {
			return false
		}
		var granted bool
		if refund, granted = b.withdraw(); !granted {
			return false
		}
		wait = retry.Config{Jitter: c.jitter}.Backoff(try, false, wait, random.Float64)
		time.Sleep(wait)
	}
}

// try reports whether the answer came in time.
func (c client) try(front http.RoundTripper) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/v1/chat/completions",
		bytes.NewReader([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := front.RoundTrip(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && bytes.Contains(text.Bytes(), []byte(`"finish_reason"`))
}

// play lets the storm come over all clients.
func (s storm) play(t *testing.T, clients []client, seeds uint64) [][]weathered {
	names := make([]string, len(clients))
	for i, c := range clients {
		names[i] = c.name
	}
	found := play(t, names, seeds, func(t *testing.T, arm int, seed uint64) weathered { return s.rage(t, clients[arm], seed) })
	for arm, c := range clients {
		for seed, w := range found[arm] {
			c.check(t, seed, w, s.drops)
		}
	}
	return found
}

// theStorm is short, or as long as the page says.
func theStorm(full bool) storm {
	if full {
		return storm{slots: 4, before: time.Minute, after: 330 * time.Second, lastWindow: 120 * time.Second}
	}
	return storm{slots: 2, before: 20 * time.Second, after: 150 * time.Second, lastWindow: 60 * time.Second}
}

// TestAStallIsOverWhereRetriesHaveABudget: without one, the engine is busy for
// ever with calls whose callers have left; with one that only successes fill, it
// recovers as soon as without any retries.
func TestAStallIsOverWhereRetriesHaveABudget(t *testing.T) {
	seeds, full := experiment.Seeds(t, 1)
	s := theStorm(full)
	found := s.play(t, clients, seeds)
	recovery := func(w weathered) float64 { return min(w.recovery, s.after.Seconds()) }
	if requests, successes := mean(found[perRequest20], recovery), mean(found[perSuccess20], recovery); requests < successes {
		t.Errorf("recovery takes %.0f s with a budget that successes fill, and %.0f s with one that requests do", successes, requests)
	}
	if full {
		s.result("retry-storm", "A stall of 30 s at 70 % load, and what retries make of it", clients, seeds, found).Save(t)
	}
}

// TestAnEngineThatDropsWorkNeedsABudgetToo: where nothing is done for callers who
// have left, any budget is enough to recover at once, and without one it takes
// minutes.
func TestAnEngineThatDropsWorkNeedsABudgetToo(t *testing.T) {
	seeds, full := experiment.Seeds(t, 1)
	s := theStorm(full)
	s.drops = true
	some := []client{clients[0], clients[2], clients[perRequest20], clients[withDefaults]}
	found := s.play(t, some, seeds)
	for arm, c := range some {
		for seed, w := range found[arm] {
			if late := w.recovery > stallTime.Seconds(); late != c.storms {
				t.Errorf("%s, seed %d: recovered after %.0f s, later than %s: %t, want %t", c.name, seed, w.recovery, stallTime, late, c.storms)
			}
		}
	}
	if full {
		s.result("retry-storm-dropped", "A stall of 30 s where work for callers who have left is dropped", some, seeds, found).Save(t)
	}
}

// check is the direction and the bounds.
func (c client) check(t *testing.T, seed int, w weathered, drops bool) {
	t.Helper()
	t.Logf("%s, seed %d: %.2f attempts for a call, %.1f %% good at the end, recovered after %.0f s", c.name, seed, w.attempts, 100*w.last, w.recovery)
	switch {
	case c.storms:
		if !drops && w.last > 0.1 || w.attempts < 1.5 {
			t.Errorf("%s, seed %d: %.1f %% good at the end with %.2f attempts for a call: the storm is none", c.name, seed, 100*w.last, w.attempts)
		}
	case w.attempts > 1.2:
		t.Errorf("%s, seed %d: %.2f attempts for a call, want at most 1.2", c.name, seed, w.attempts)
	case w.last < recovered && !c.foreign:
		t.Errorf("%s, seed %d: %.1f %% good at the end, want %.0f %%", c.name, seed, 100*w.last, 100*recovered)
	}
}

func (s storm) result(name, title string, clients []client, seeds uint64, found [][]weathered) experiment.Result {
	r := experiment.Result{
		Name: name, Seeds: seeds,
		Note:    "Attempts and shares of calls: the mean; seconds to recover, until 95 % of the calls of ten seconds are answered in time: the least and the most",
		Columns: []string{"Callers", "Attempts for a call", "Answered in time since the stall began", fmt.Sprintf("in the last %.0f s", s.lastWindow.Seconds()), "Seconds to recover"},
		Lines: &plot.Lines{Title: title, X: "seconds", Y: "answered in time, %",
			Band: &plot.Band{From: s.before.Seconds(), To: (s.before + stallTime).Seconds(), Name: "stall"}},
	}
	for arm, runs := range found {
		c := clients[arm]
		r.Rows = append(r.Rows, []string{c.name,
			fmt.Sprintf("%.2f", mean(runs, func(w weathered) float64 { return w.attempts })),
			fmt.Sprintf("%.0f %%", 100*mean(runs, func(w weathered) float64 { return w.since })),
			fmt.Sprintf("%.0f %%", 100*mean(runs, func(w weathered) float64 { return w.last })),
			between(runs, "%.0f", "never", func(w weathered) float64 { return w.recovery })})
		curve := plot.Curve{Name: c.name}
		for i := range runs[0].goodput {
			y := mean(runs, func(w weathered) float64 { return w.goodput[i] })
			curve.Points = append(curve.Points, [2]float64{(time.Duration(i) * step).Seconds() + step.Seconds()/2, round(100*y, 1)})
		}
		if shown[c.name] {
			r.Lines.Curve = append(r.Lines.Curve, curve)
		}
	}
	return r
}

// shown are the callers with a curve: of those that look the same one is enough.
var shown = map[string]bool{
	"no retries": true, "2 retries, full jitter": true, "budget 20 % per request": true,
	"default: 10 % and 1 a second": true, "2 retries, through Holdfast": true,
}
