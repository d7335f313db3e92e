package soak

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestR15AThousandAbortsAtOnceReachTheProvider: before the headers, and in the
// middle of a stream.
func TestR15AThousandAbortsAtOnceReachTheProvider(t *testing.T) {
	count, rounds := sized(t, "", 1000, 30), sized(t, "", 3, 1)
	h := open(t, roomy)
	r := reportOf(t, "R15", "%d rounds of %d callers who leave at once, before the headers and in the stream", rounds, count)
	leaveTogether(h, 1, false)
	start := h.quiet()
	for _, stream := range []bool{false, true} {
		var delays []time.Duration
		lost := 0
		for range rounds {
			more := leaveTogether(h, count, stream)
			delays = append(delays, more...)
			lost += count - len(more)
		}
		when := "before the headers"
		if stream {
			when = "in the stream"
		}
		r.atMost(when+": provider's calls that were not cancelled", float64(lost), "", 0)
		r.note(when+": from leaving to the provider's end, p50", quantile(delays, 0.5), "ms")
		r.note(when+": from leaving to the provider's end, p99", quantile(delays, 0.99), "ms")
		r.atMost(when+": from leaving to the provider's end, at most", quantile(delays, 1), "ms", r.either(250, 2500))
	}
	end := h.back(start)
	m := h.metrics()
	total := float64(2*count*rounds + 1)
	r.atLeast("calls that count as cancelled", sum(m, "holdfast_requests_total", `outcome="canceled"`), "", total)
	r.atLeast("attempts that count as cancelled", sum(m, "holdfast_attempts_total", `class="canceled"`), "", total)
	r.atMost("changes of circuits", sum(m, "holdfast_breaker_transitions_total"), "", 0)
	r.atMost("goroutines more or less, 5 s after", apart(end.goroutines, start.goroutines), "", 10)
	r.atMost("descriptors more or less, 5 s after", apart(end.descriptors, start.descriptors), "", 10)
	r.atMost("connections kept for the provider", float64(end.connections), "", 256)
}

// leaveTogether opens calls, waits until all are at the provider, leaves, and
// returns how long each went on there.
func leaveTogether(h *house, count int, stream bool) (delays []time.Duration) {
	h.t.Helper()
	since := lastOf(h)
	model, more := "mute", ""
	if stream {
		model, more = "stalling", `,"stream":true`
	}
	crowd := make([]*caller, count)
	var all sync.WaitGroup
	for i := range crowd {
		crowd[i] = &caller{address: h.callers}
		all.Go(func() {
			err := crowd[i].send(request(chatPath, clientKey, prompt(model, int64(i), more), ""))
			if err == nil && stream {
				if err = crowd[i].head(); err == nil {
					_, err = crowd[i].chunk()
				}
			}
			if err != nil {
				h.t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	all.Wait()
	h.until("all calls are at the provider", time.Minute, func() bool { return h.counts().InFlight == count })

	left := map[string]time.Time{}
	for i, c := range crowd {
		left[fmt.Sprintf("soak-%d", i)] = time.Now()
		c.leave()
	}
	h.until("the provider is idle", 20*time.Second, func() bool { return h.counts().InFlight == 0 })
	for _, a := range h.attempts(since) {
		if at, ours := left[a.Tag]; ours && a.Cancelled {
			delays = append(delays, a.CancelledAt.Sub(at))
		}
	}
	h.until("the gateway is idle", 20*time.Second, func() bool { return h.underWay() == 0 })
	return delays
}

// lastOf is the number of the provider's last attempt.
func lastOf(h *house) uint64 {
	list := h.attempts(0)
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Seq
}
