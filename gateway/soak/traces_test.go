package soak

import (
	"bufio"
	"container/heap"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/sim"
)

// arrival is one request of a trace.
type arrival struct {
	at            time.Duration // since the first
	input, output int           // tokens
}

// statistics are what is known of a trace that is not here: its mean rate, the
// coefficient of variation of its gaps, and quantiles of its tokens.
type statistics struct {
	name        string
	rate, cv    float64
	input       tokens
	output      tokens
	daily       float64 // how far the rate swings about its mean in the span, 0 to 1
	requests    int
	description string
}

type tokens struct{ p50, p95, most float64 }

// Traces of 2023 and 2024 as their publishers' data have it.
var (
	azureCode    = statistics{name: "azure-code", rate: 2.57, cv: 13.2, input: tokens{1469, 7315, 7437}, output: tokens{13, 90, 1899}, requests: 8819, description: "Azure 2023, code completion"}
	conversation = statistics{name: "conversation", rate: 5.53, cv: 1.09, input: tokens{1020, 4083, 14050}, output: tokens{129, 451, 1000}, daily: 0.3, requests: 19366, description: "Azure 2023, conversation"}
)

// generate makes arrivals with these statistics: gaps of a gamma distribution,
// lognormal tokens.
func (s statistics) generate(seed uint64, n int) []arrival {
	rng := rand.New(rand.NewPCG(seed, 0))
	shape := 1 / (s.cv * s.cv)
	list := make([]arrival, n)
	at, span := 0.0, float64(n)/s.rate
	for i := range list {
		swing := 1 + s.daily*math.Sin(2*math.Pi*at/span)
		at += gamma(rng, shape) / shape / s.rate / swing
		list[i] = arrival{at: time.Duration(at * float64(time.Second)), input: s.input.draw(rng), output: s.output.draw(rng)}
	}
	return list
}

// gamma draws from the gamma distribution of this shape (Marsaglia and Tsang, 2000).
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := (1 + c*x) * (1 + c*x) * (1 + c*x)
		if v > 0 && math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

func (t tokens) draw(rng *rand.Rand) int {
	sigma := math.Log(t.p95/t.p50) / 1.645
	return max(1, int(min(t.most, t.p50*math.Exp(sigma*rng.NormFloat64()))))
}

// recorded reads the trace of code completions from the folder of recordings.
func recorded(folder string) ([]arrival, error) {
	f, err := os.Open(filepath.Join(folder, "traces", "azure-llm-2023-code.csv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(bufio.NewReader(f)).ReadAll()
	if err != nil {
		return nil, err
	}
	var list []arrival
	var first time.Time
	for _, row := range rows[1:] {
		at, err := time.Parse("2006-01-02 15:04:05.9999999", row[0])
		if err != nil {
			return nil, err
		}
		if first.IsZero() {
			first = at
		}
		input, err1 := strconv.Atoi(row[1])
		output, err2 := strconv.Atoi(row[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		list = append(list, arrival{at.Sub(first), input, max(1, output)})
	}
	return list, nil
}

// codeTrace is the recorded trace, else one with its statistics.
func codeTrace(t *testing.T) (list []arrival, where string) {
	t.Helper()
	folder, found := wanted.Find(t)
	if !found {
		t.Log("no recorded trace in HOLDFAST_FIXTURES: one with its statistics is generated")
		return azureCode.generate(1, azureCode.requests), "generated from its statistics"
	}
	list, err := recorded(folder)
	if err != nil {
		t.Fatal(err)
	}
	return list, "as recorded"
}

func TestGeneratedTracesHaveTheStatisticsThatTheyAreMadeFrom(t *testing.T) {
	for _, s := range []statistics{azureCode, conversation} {
		const n = 200_000
		list := s.generate(1, n)
		var sum, squares float64
		last, below := time.Duration(0), 0
		for _, a := range list {
			gap := (a.at - last).Seconds()
			last, sum, squares = a.at, sum+gap, squares+gap*gap
			if float64(a.output) <= s.output.p50 {
				below++
			}
		}
		mean := sum / n
		cv := math.Sqrt(squares/n-mean*mean) / mean
		if rate := 1 / mean; math.Abs(rate/s.rate-1) > 0.1 {
			t.Errorf("%s: %.2f a second, want %.2f", s.name, rate, s.rate)
		}
		if math.Abs(cv/s.cv-1) > 0.15 {
			t.Errorf("%s: gaps vary by %.2f, want %.2f", s.name, cv, s.cv)
		}
		if share := float64(below) / n; math.Abs(share-0.5) > 0.05 {
			t.Errorf("%s: %.2f of the answers are not above the median", s.name, share)
		}
	}
}

// faster is a trace with its clock run so many times as fast, and at most n of it.
func faster(list []arrival, times, n int) []arrival {
	out := append([]arrival(nil), list[:min(n, len(list))]...)
	for i := range out {
		out[i].at /= time.Duration(times)
	}
	return out
}

var filler = strings.Repeat("word ", 16<<10)

// body is the call of an arrival. A token is four bytes of prompt.
func (a arrival) body(model string, n int, streamed bool) string {
	text := filler[:min(len(filler), 4*a.input)]
	return fmt.Sprintf(`{"model":%q,"user":"soak-%d","stream":%t,"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`, model, n, streamed, a.output, text)
}

// played is one call of a replay as its caller saw it.
type played struct {
	took   time.Duration
	status int // 0: no whole answer
	reason string
	wait   string // Retry-After
	err    error
}

// replay makes the calls of a trace at their moments.
func replay(address, model string, list []arrival) []played {
	results := make([]played, len(list))
	idle := make(chan *caller, 4096)
	var all sync.WaitGroup
	began := time.Now()
	for i, a := range list {
		time.Sleep(time.Until(began.Add(a.at)))
		all.Go(func() {
			var c *caller
			select {
			case c = <-idle:
			default:
				c = &caller{address: address}
			}
			results[i] = a.play(c, model, i)
			select {
			case idle <- c:
			default:
				c.leave()
			}
		})
	}
	all.Wait()
	for len(idle) > 0 {
		(<-idle).leave()
	}
	return results
}

// play makes the n-th call; every other one is streamed.
func (a arrival) play(c *caller, model string, n int) (p played) {
	streamed := n%2 == 0
	bytes := request(chatPath, clientKey, a.body(model, n, streamed), "")
	began := time.Now()
	err := c.ask(bytes)
	p.took = time.Since(began)
	if err != nil {
		c.leave()
		p.err = err
		return p
	}
	p.status, p.reason, p.wait = c.status, c.reason, c.wait
	switch {
	case c.status != 200:
		p.err = fmt.Errorf("%d %s", c.status, c.reason)
	case streamed:
		p.err = c.got(200, "data: [DONE]")
	default:
		p.err = c.got(200, `"finish_reason"`)
	}
	return p
}

// beside is, call by call, how long it took besides the time at the provider.
func beside(results []played, seen []sim.Attempt) (times []time.Duration, failed int) {
	at := map[string]time.Duration{}
	for _, a := range seen {
		at[a.Tag] += a.Ended.Sub(a.Received)
	}
	for i, p := range results {
		if p.err != nil {
			failed++
			continue
		}
		times = append(times, p.took-at[fmt.Sprintf("soak-%d", i)])
	}
	return times, failed
}

// TestR36ATraceBelowCapacityLosesNothing: the trace of code completions, which is
// bursty, and one of conversations go at once through the gateway and straight to a
// provider with the waiting times of true ones.
func TestR36ATraceBelowCapacityLosesNothing(t *testing.T) {
	times, most := sized(t, speed, 20, 200), sized(t, "", 1<<20, 40)
	code, where := codeTrace(t)
	traces := []struct {
		name, where string
		list        []arrival
	}{
		{"code", where, faster(code, times, most)},
		{"conversation", "generated from its statistics", faster(conversation.generate(2, sized(t, "", 6000, 30)), times, most)},
	}
	h, alone := open(t, roomy), open(t, roomy)
	scale := "1"
	if !soaking() {
		scale = "0.02"
	}
	r := reportOf(t, "R36-below", "arrival traces at %d times their speed, with a provider as slow as true ones", times)
	for _, trace := range traces {
		for _, one := range []*house{h, alone} {
			one.turn(`{"latency": "calibrated", "output_tokens": 2000, "scale": ` + scale + `}`)
		}
		say("  %s, %s: %d calls in %s", trace.name, trace.where, len(trace.list), trace.list[len(trace.list)-1].at.Round(time.Second))
		since, sinceAlone := lastOf(h), lastOf(alone)
		var through, direct []played
		var both sync.WaitGroup
		both.Go(func() { through = replay(h.callers, "chat", trace.list) })
		both.Go(func() { direct = replay(strings.TrimPrefix(alone.provider, "http://"), "gpt-4o", trace.list) })
		both.Wait()
		seen := h.attempts(since)
		ours, lost := beside(through, seen)
		theirs, broken := beside(direct, alone.attempts(sinceAlone))
		r.note(trace.name+" ("+trace.where+"): calls", float64(len(trace.list)), "")
		r.note(trace.name+": calls at the provider at once, at most", float64(h.counts().MaxInFlight), "")
		r.atMost(trace.name+": calls that were lost", float64(lost), "", 0)
		r.note(trace.name+": calls that were lost without the gateway", float64(broken), "")
		r.atMost(trace.name+": attempts more than calls", float64(len(seen)-len(trace.list)), "", 0)
		r.note(trace.name+": time besides the provider's, p50", quantile(ours, 0.5), "ms")
		r.note(trace.name+": time besides the provider's, p99", quantile(ours, 0.99), "ms")
		r.note(trace.name+": the same without the gateway, p99", quantile(theirs, 0.99), "ms")
		r.atMost(trace.name+": p99 added", quantile(ours, 0.99)-quantile(theirs, 0.99), "ms", r.either(10, 1000))
		for _, p := range through {
			if p.err != nil {
				t.Errorf("%s: %v", trace.name, p.err)
				break
			}
		}
	}
}

// What the provider can do in the scenario of bursts: so many calls at once, each
// taking a while, longer with more words.
const (
	parallel     = 24
	firstToken   = 120 * time.Millisecond
	betweenToken = 2 * time.Millisecond
	places       = 24                     // of those who may wait
	waiting      = 500 * time.Millisecond // and for how long
)

func (a arrival) service() time.Duration {
	return firstToken + time.Duration(a.output-1)*betweenToken
}

// TestR36BurstsAboveCapacityAreShedCleanly: the same trace, with a provider whose
// capacity its bursts exceed. What a perfect waiting room of the same size would
// have served is served.
func TestR36BurstsAboveCapacityAreShedCleanly(t *testing.T) {
	times, most := sized(t, speed, 20, 200), sized(t, "", 1<<20, 80)
	code, where := codeTrace(t)
	list := faster(code, times, most)
	h := open(t, fmt.Sprintf(`
providers:
  main: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
concurrency: %d
queue: {max: %d, wait: %s}
routes:
  chat: {targets: [main/gpt-4o]}
`, parallel, places, waiting))
	h.turn(fmt.Sprintf(`{"output_tokens": 2000, "parallel": %d, "first_token_delay": %q, "token_interval": %q}`, parallel, firstToken, betweenToken))
	r := reportOf(t, "R36-bursts", "a bursty arrival trace at %d times its speed, with a provider that works on %d calls at a time", times, parallel)
	say("  %s: %d calls in %s", where, len(list), list[len(list)-1].at.Round(time.Second))
	ideal := idealRoom(list)
	results := replay(h.callers, "chat", list)

	var served, unclean int
	var full, others []time.Duration
	var oddest error
	for _, p := range results {
		switch {
		case p.err == nil:
			served++
		case (p.status == 503 || p.status == 429) && p.wait != "" && p.reason == "queue_full":
			full = append(full, p.took)
		case (p.status == 503 || p.status == 429) && p.wait != "" && p.reason != "":
			others = append(others, p.took)
		default:
			unclean++
			oddest = p.err
		}
	}
	r.note("calls ("+where+")", float64(len(list)), "")
	r.note("calls that a perfect waiting room serves", float64(ideal), "")
	r.note("calls served", float64(served), "")
	// A small replay under the race detector is slower than its own clock.
	r.atLeast("calls served, of those that a perfect waiting room serves", float64(served)/float64(ideal), "", r.either(0.95, 0.5))
	r.note("calls shed at once", float64(len(full)), "")
	r.note("calls shed after a wait", float64(len(others)), "")
	r.atMost("calls that ended in another way", float64(unclean), "", 0)
	r.atMost("calls at the provider at once, at most", float64(h.counts().MaxInFlight), "", parallel)
	if len(full) > 0 {
		r.note("a call that is shed at once takes, p50", quantile(full, 0.5), "ms")
		r.note("a call that is shed at once takes, p99", quantile(full, 0.99), "ms")
	}
	r.atMost("circuits that opened", sum(h.metrics(), "holdfast_breaker_transitions_total"), "", 0)
	if oddest != nil {
		t.Error(oddest)
	}
}

// idealRoom is how many of these calls a waiting room serves that takes no time
// itself: first come, first served.
func idealRoom(list []arrival) (served int) {
	var busy ends // of the calls inside
	var begins []time.Duration
	for _, a := range list {
		for len(busy) > 0 && busy[0] <= a.at {
			heap.Pop(&busy)
		}
		for len(begins) > 0 && begins[0] <= a.at {
			begins = begins[1:] // no longer waiting
		}
		start := a.at
		if len(busy) >= parallel {
			// Those before us take the first places that become free; busy holds one
			// end for each call inside or waiting.
			start = busy.nth(len(busy) - parallel)
			if len(begins) >= places || start-a.at > waiting {
				continue
			}
			begins = append(begins, start)
		}
		heap.Push(&busy, start+a.service())
		served++
	}
	return served
}

// ends is a heap of moments.
type ends []time.Duration

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i] < e[j] }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(time.Duration)) }
func (e *ends) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// nth is the n-th end, from 0, in their order.
func (e ends) nth(n int) time.Duration {
	sorted := append(ends(nil), e...)
	for range n {
		heap.Pop(&sorted)
	}
	return sorted[0]
}
