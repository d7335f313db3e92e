package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestR16ReadersWhoNeverReadAreCutAndCostLittle: the provider floods callers who
// take the header and then nothing, while others go on calling.
func TestR16ReadersWhoNeverReadAreCutAndCostLittle(t *testing.T) {
	count, rounds := sized(t, "", 500, 10), sized(t, "", 5, 1)
	stall := lasting(12*time.Second, time.Second)
	const filling = 2 * time.Second // until every buffer on the way is full
	h := open(t, roomy+"write_stall: "+stall.String()+"\n")
	h.turn(`{"output_tokens": 8}`)
	r := reportOf(t, "R16", "%d rounds of %d callers who never read, with a write stall of %s", rounds, count, stall)
	quick := plainCall(chatPath, `{"model":"chat","user":"soak-%d","messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, `"finish_reason"`)
	window := lasting(stall-filling-2*time.Second, 300*time.Millisecond)
	measure := func() float64 {
		times, failures := steadily(h.callers, 200, window, quick)
		if len(failures) > 0 {
			t.Errorf("%d calls of others failed: %v", len(failures), failures[0])
		}
		return quantile(times, 0.99)
	}
	measure()
	start := h.quiet()

	var without, with, ratios, kernel []float64
	var cost float64
	var floods []flooded
	for range rounds {
		calm := measure()
		before := h.rss()
		highest := h.highest()
		crowd := notRead(h, count)
		time.Sleep(lasting(filling, 200*time.Millisecond))
		if n := h.underWay(); n != count {
			t.Errorf("%d calls are under way, want %d", n, count)
		}
		kernel = append(kernel, socketMemory())
		disturbed := measure()
		h.until("the calls that nobody reads are cut", 2*stall+10*time.Second, func() bool { return h.underWay() == 0 })
		cost = max(cost, float64(highest()-before)/1000/float64(count))
		if err := crowd.leave(); err != nil {
			t.Error(err)
		}
		floods = append(floods, h.floods(count)...)
		without, with, ratios = append(without, calm), append(with, disturbed), append(ratios, disturbed/calm)
		say("  p99 of others %.2f ms without, %.2f ms with; %.0f kB per reader so far", calm, disturbed, cost)
	}
	end := h.back(start)

	r.atLeast("readers that were cut", float64(len(floods)), "", float64(rounds*count))
	var longest []float64 // of each round
	early := math.Inf(1)
	for i, f := range floods {
		lived := f.Ended.Sub(f.Began).Seconds()
		if early = min(early, lived); i%count == 0 {
			longest = append(longest, 0)
		}
		longest[len(longest)-1] = max(longest[len(longest)-1], lived)
	}
	// The gateway moves a deadline on only when it is an eighth of the stall late.
	r.note("write stall", stall.Seconds(), "s")
	r.atLeast("provider's call, from its header to its end, at least", early, "s", stall.Seconds()*7/8)
	r.atMost("provider's call, from its header to its end, at most, in the median round", median(longest), "s", r.either((stall+filling).Seconds(), (stall+3*filling).Seconds()))
	r.note("provider's call, from its header to its end, at most, in any round", highestOf(longest), "s")
	r.atMost("memory of the gateway per reader, at most", cost, "kB", r.either(100, 10_000))
	if r.timely() { // a window of a small run has too few calls for a p99
		r.note("memory of the kernel's sockets per reader, all processes", median(kernel)/1000/float64(count), "kB")
		r.note("p99 of others without them, median", median(without), "ms")
		r.note("p99 of others with them, median", median(with), "ms")
		// Windows without them differ too: what is within that is not their doing, up
		// to a point: a machine that is less quiet cannot tell.
		noise := unrest(without)
		r.note("p99 of others without them, one window to the next, median", noise, "")
		r.atMost("p99 of others with them to without, median", median(ratios), "", rounded(min(max(1.1, noise), 1.5)))
	}
	r.atMost("goroutines more or less, 5 s after", apart(end.goroutines, start.goroutines), "", 10)
	r.atMost("descriptors more or less, 5 s after", apart(end.descriptors, start.descriptors), "", 10)
	r.atMost("connections kept for the provider", float64(end.connections), "", 256)
	r.atMost("circuits that opened", sum(h.metrics(), "holdfast_breaker_transitions_total"), "", 0)
}

// unrest is how far neighbours usually lie apart, as a ratio of 1 or more.
func unrest(values []float64) float64 {
	var steps []float64
	for i := 1; i < len(values); i++ {
		steps = append(steps, max(values[i], values[i-1])/min(values[i], values[i-1]))
	}
	return median(steps)
}

func highestOf(values []float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

// readers are callers who do not read.
type readers []*caller

// notRead opens floods and takes their headers.
func notRead(h *house, count int) readers {
	crowd := make(readers, count)
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i := range crowd {
		c := &caller{address: h.callers, narrow: true}
		crowd[i] = c
		all.Go(func() {
			err := c.send(request(chatPath, clientKey, prompt("chat", int64(i), `,"stream":true`), "X-Soak: "+floodModel+"\r\n"))
			if err == nil {
				err = c.head()
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(errs) > 0 {
		h.t.Errorf("%d readers got no header: %v", len(errs), errs[0])
	}
	return crowd
}

// leave closes all connections. What had come until then must not look like an
// answer with its end.
func (crowd readers) leave() error {
	var err error
	for _, c := range crowd {
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		for more := true; more && err == nil; {
			c.body = c.body[:0]
			var broken error
			if more, broken = c.chunk(); broken != nil {
				break
			}
			if !more || bytes.Contains(c.body, []byte("[DONE]")) {
				err = errors.New("an answer that was cut looks whole")
			}
		}
		c.leave()
	}
	return err
}

// floods are the floods that ended since the last time it was asked.
func (h *house) floods(count int) (all []flooded) {
	h.until("the provider's calls end", 10*time.Second, func() bool {
		var more []flooded
		if err := json.Unmarshal(h.get(h.provider+"/soak/floods"), &more); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, more...)
		return len(all) >= count
	})
	return all
}

// socketMemory is what the kernel holds for TCP, in bytes; 0 where that is not told.
func socketMemory() float64 {
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "TCP:"); ok {
			_, pages, _ := strings.Cut(strings.TrimSpace(rest), "mem ")
			n, _ := strconv.ParseFloat(pages, 64)
			return n * float64(os.Getpagesize())
		}
	}
	return 0
}
