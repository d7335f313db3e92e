package soak

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestR1SteadyCallsLoseNothingAndLittleTime: 500 calls a second through the
// gateway, and as many straight to the provider at the same time.
func TestR1SteadyCallsLoseNothingAndLittleTime(t *testing.T) {
	rate := sized(t, "", 500, 50)
	lasts := lasting(time.Duration(sized(t, minutes, 10, 1))*time.Minute, time.Second)
	h := open(t, mixed)
	h.turn(`{"output_tokens": 8}`)
	r := reportOf(t, "R1", "%d calls a second for %s, all policies on; one in five is streamed", rate, lasts)
	both := func(lasts time.Duration) (through, direct []time.Duration, failures []error) {
		var all sync.WaitGroup
		all.Go(func() { through, failures = steadily(h.callers, rate, lasts, oneInFiveStreamed("chat")) })
		all.Go(func() {
			var broken []error
			direct, broken = steadily(strings.TrimPrefix(h.provider, "http://"), rate, lasts, oneInFiveStreamed("gpt-4o"))
			if len(broken) > 0 {
				t.Errorf("without the gateway: %d calls failed: %v", len(broken), broken[0])
			}
		})
		all.Wait()
		return through, direct, failures
	}
	both(lasting(10*time.Second, 200*time.Millisecond))
	start, used := h.quiet(), h.cpu()

	var through, direct []time.Duration
	var failures []error
	const step = 30 * time.Second
	for left := lasts; left > 0; left -= step {
		a, b, wrong := both(min(step, left))
		through, direct, failures = append(through, a...), append(direct, b...), append(failures, wrong...)
		say("  %8d calls, %d failures; p99 %.2f ms, without the gateway %.2f ms", len(through), len(failures), quantile(a, 0.99), quantile(b, 0.99))
	}
	used = h.cpu() - used
	end := h.back(start)

	r.note("calls", float64(len(through)), "")
	r.atMost("calls that failed", float64(len(failures)), "", 0)
	r.note("p50 through the gateway", quantile(through, 0.5), "ms")
	r.note("p50 without it", quantile(direct, 0.5), "ms")
	r.note("p99 through the gateway", quantile(through, 0.99), "ms")
	r.note("p99 without it", quantile(direct, 0.99), "ms")
	r.note("p50 added", quantile(through, 0.5)-quantile(direct, 0.5), "ms")
	r.atMost("p99 added", quantile(through, 0.99)-quantile(direct, 0.99), "ms", r.either(5, 1000))
	if r.timely() {
		r.note("processor time of the gateway per call", used.Seconds()*1e6/float64(len(through)), "us")
		r.note("memory at the end", float64(end.rss)/mega, "MB")
	}
	r.atMost("goroutines more or less, 5 s after", apart(end.goroutines, start.goroutines), "", 10)
	r.atMost("descriptors more or less, 5 s after", apart(end.descriptors, start.descriptors), "", 10)
	r.atMost("connections kept for the provider", float64(end.connections), "", 256)
	if len(failures) > 0 {
		t.Error(failures[0])
	}
}

func oneInFiveStreamed(model string) func(*caller, int64) error {
	whole := plainCall(chatPath, `{"model":"`+model+`","user":"soak-%d","messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, `"finish_reason":"stop"`)
	streamed := plainCall(chatPath, `{"model":"`+model+`","user":"soak-%d","stream":true,"messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, "data: [DONE]")
	return func(c *caller, n int64) error {
		if n%5 == 0 {
			return streamed(c, n)
		}
		return whole(c, n)
	}
}
