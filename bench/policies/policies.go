// Command policies measures what policies cost without a wire: the same request
// through the same in-memory base, once bare, once below Holdfast's Transport
// and once below failsafe-go's stack with the policies that both have.
//
// The cost of a stack is its time per request minus that of the bare base in the
// same round, from making the request to closing the answer that was read to its
// end. Holdfast does more in that time: it reads the request for its model and
// its limits, puts the target's credential and model in, judges the answer's
// body and tells a Recorder; all of it is charged to Holdfast.
//
// What failsafe-go's policies decide alone, without anything of HTTP, is measured
// too: it is compared with the decisions of Holdfast alone, BenchmarkChain of the
// root package.
//
//	policies
//
// prints one round as JSON, after some two seconds.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/retry"
	clocks "github.com/holdfast-gateway/holdfast/timeout"
)

func main() {
	testing.Init()
	_ = flag.Set("test.benchtime", "400ms") // its own default is a second
	begin := flag.Int("begin", 0, "which of them is measured first")
	flag.Parse()
	round, err := Measure(*begin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(round)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Settings that both stacks have.
const (
	maxAttempts = 3
	backoff     = 500 * time.Millisecond
	backoffCap  = 8 * time.Second
	retryShare  = 0.1
	failedShare = 0.5
	minCalls    = 10
	window      = time.Minute
	openFor     = 15 * time.Second
	atOnce      = 1000
	limit       = 10 * time.Minute
	perSecond   = 1_000_000_000 // never reached
)

var (
	question = []byte(`{"model":"gpt-4o","max_tokens":256,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 380) + `"}]}`)
	answer   = `{"id":"c","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("hold fast ", 72) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":400,"completion_tokens":144,"total_tokens":544}}`
)

// base answers at once, as a provider would, without a wire.
type base struct{}

func (base) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	_ = req.Body.Close()
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(answer))}},
		Body:          io.NopCloser(strings.NewReader(answer)),
		ContentLength: int64(len(answer)),
		Request:       req,
	}, nil
}

// Bare is the base alone.
func Bare() http.RoundTripper { return base{} }

// Holdfast is the whole house over the base: two targets in the order of
// failover, and every policy on.
func Holdfast(recorder call.Recorder) (http.RoundTripper, error) {
	return holdfast.NewTransport(holdfast.Config{
		Transport:   base{},
		Recorder:    recorder,
		Retry:       retry.Config{MaxAttempts: maxAttempts, Base: backoff, Cap: backoffCap, BudgetRatio: retryShare},
		Breaker:     breaker.Config{Ratio: failedShare, MinCalls: minCalls, Window: window, OpenFor: openFor},
		Concurrency: concurrency.Config{Max: atOnce},
		Queue:       admission.Config{Running: atOnce},
		Timeout:     clocks.Config{Total: limit},
		Limits:      []holdfast.Limit{{Name: "all", Per: holdfast.PerAll, Config: ratelimit.Config{Points: perSecond, Duration: time.Second}}},
		Routes: []holdfast.Route{{Name: "chat", Targets: []holdfast.Target{
			{Vendor: "openai", BaseURL: "http://first.example/v1", Model: "gpt-4o", Keys: []holdfast.Key{{Secret: "sk-1"}}},
			{Vendor: "openai", Provider: "second", BaseURL: "http://second.example/v1", Model: "gpt-4o-mini", Keys: []holdfast.Key{{Secret: "sk-2"}}},
		}}},
	})
}

// Failsafe is the policies below over the base.
func Failsafe() http.RoundTripper { return failsafehttp.NewRoundTripper(base{}, policies()...) }

// policies are failsafe-go's retries with a budget, rate limiter, circuit
// breaker, bulkhead and timeout.
func policies() []failsafe.Policy[*http.Response] {
	retries := failsafehttp.NewRetryPolicyBuilder().
		WithMaxAttempts(maxAttempts).
		WithBackoff(backoff, backoffCap).
		WithJitterFactor(0.5).
		WithBudget(budget.NewBuilder().WithMaxRate(retryShare).Build()).
		Build()
	circuit := circuitbreaker.NewBuilder[*http.Response]().
		HandleIf(func(resp *http.Response, err error) bool { return err != nil || resp.StatusCode >= 500 }).
		WithFailureRateThreshold(failedShare, minCalls, window).
		WithDelay(openFor).
		Build()
	return []failsafe.Policy[*http.Response]{
		retries,
		circuit,
		ratelimiter.NewBursty[*http.Response](perSecond, time.Second),
		bulkhead.New[*http.Response](atOnce),
		timeout.New[*http.Response](limit),
	}
}

// Spend makes one request through rt and reads its answer.
func Spend(rt http.RoundTripper) error {
	req, err := http.NewRequest(http.MethodPost, "http://app.example/v1/chat/completions", bytes.NewReader(question))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK || n != int64(len(answer)):
		return fmt.Errorf("status %d with %d bytes, want 200 with %d", resp.StatusCode, n, len(answer))
	}
	return resp.Body.Close()
}

// Cost is what one request cost: time in nanoseconds, and allocations.
type Cost struct {
	Time        float64 `json:"time"`
	Allocations float64 `json:"allocations"`
}

func (c Cost) minus(other Cost) Cost {
	return Cost{Time: c.Time - other.Time, Allocations: c.Allocations - other.Allocations}
}

// Round is what everything cost in one round; the bare base is taken off the
// stacks.
type Round struct {
	Bare     Cost `json:"bare"`
	Holdfast Cost `json:"holdfast"`
	Failsafe Cost `json:"failsafe"`
	Deciding Cost `json:"failsafe_deciding"` // failsafe-go's policies alone
}

// Measure runs one round, in an order that begins somewhere else each time.
func Measure(begin int) (Round, error) {
	var counted counter
	house, err := Holdfast(&counted)
	if err != nil {
		return Round{}, err
	}
	work := []func() error{spending(Bare()), spending(house), spending(Failsafe()), Decide(policies())}
	costs := make([]Cost, len(work))
	for turn := range work {
		i := (turn + begin) % len(work)
		if costs[i], err = costOf(work[i]); err != nil {
			return Round{}, err
		}
	}
	if counted == 0 {
		return Round{}, errors.New("the Recorder heard nothing: not everything was on")
	}
	return Round{Bare: costs[0], Holdfast: costs[1].minus(costs[0]), Failsafe: costs[2].minus(costs[0]), Deciding: costs[3]}, nil
}

func spending(rt http.RoundTripper) func() error { return func() error { return Spend(rt) } }

// Decide asks the policies about an answer that is there at once.
func Decide(p []failsafe.Policy[*http.Response]) func() error {
	executor := failsafe.With(p...)
	good := &http.Response{StatusCode: http.StatusOK}
	return func() error {
		_, err := executor.Get(func() (*http.Response, error) { return good, nil })
		return err
	}
}

// costOf measures one of them.
func costOf(work func() error) (Cost, error) {
	var failed error
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if failed = work(); failed != nil {
				b.FailNow()
			}
		}
	})
	if failed != nil {
		return Cost{}, failed
	}
	n := float64(result.N)
	return Cost{Time: float64(result.T.Nanoseconds()) / n, Allocations: float64(result.MemAllocs) / n}, nil
}

// counter is the least Recorder: it counts. Requests are made one by one, so it
// needs no lock.
type counter int

func (c *counter) Record(*call.Event) { *c++ }
