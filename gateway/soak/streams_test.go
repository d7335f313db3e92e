package soak

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// roomy takes thousands of calls at once.
const roomy = `
providers:
  main: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  mute: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
concurrency: 8192
routes:
  chat: {targets: [main/gpt-4o]}
  mute: {targets: [mute/sim/silent]}
  stalling: {targets: [mute/sim/stall-after-2]}
`

const eventsPerSecond = 20

// TestThousandsOfLiveStreamsFitIntoMemory: each is a conversation of its own, with
// an event every 50 ms.
func TestThousandsOfLiveStreamsFitIntoMemory(t *testing.T) {
	count := sized(t, "", 2000, 20)
	each := lasting(25*time.Second, 800*time.Millisecond)
	tokens := int(each.Seconds() * eventsPerSecond)
	h := open(t, roomy)
	h.turn(fmt.Sprintf(`{"output_tokens": %d, "token_interval": "50ms"}`, tokens))
	r := reportOf(t, "streams", "%d live streams of %d events, %d a second each", count, tokens, eventsPerSecond)
	listen(h, 1, 0)
	start := h.quiet()
	highest := h.highest()
	used, began := h.cpu(), time.Now()
	done := make(chan listeners)
	go func() { done <- listen(h, count, each/4) }()
	time.Sleep(each/4 + each/2)
	middle := h.vitals()
	heard := <-done
	took, most := time.Since(began), highest()
	used = h.cpu() - used
	end := h.back(start)

	r.atLeast("streams that were live at once", float64(h.counts().MaxInFlight), "", r.either(float64(count), float64(count/2)))
	r.atMost("streams that failed", float64(heard.failed), "", 0)
	r.note("events that callers read", float64(heard.events), "")
	r.atMost("events that were lost (the opening one of each stream included)", float64(int64(count*(tokens+1))-heard.events), "", 0)
	r.note("longest stream, against its own clock", heard.longest.Seconds()/each.Seconds(), "")
	r.note("goroutines with all streams live", float64(middle.goroutines), "")
	r.note("processor time of the gateway per event", used.Seconds()*1e6/float64(heard.events), "us")
	r.note("share of one core that the gateway used", used.Seconds()/took.Seconds(), "")
	r.note("memory at the start", float64(start.rss)/mega, "MB")
	r.atMost("memory, at most", float64(most)/mega, "MB", 250)
	r.note("memory per stream", float64(most-start.rss)/1024/float64(count), "kB")
	r.atMost("goroutines more or less, 5 s after", apart(end.goroutines, start.goroutines), "", 10)
	r.atMost("descriptors more or less, 5 s after", apart(end.descriptors, start.descriptors), "", 10)
	r.atMost("connections kept for the provider", float64(end.connections), "", 256)
	if heard.err != nil {
		t.Error(heard.err)
	}
}

// listeners is what the callers of streams heard.
type listeners struct {
	events  int64
	failed  int64
	longest time.Duration
	err     error // the first failure
}

// listen opens streams, spread over a time, and reads them to their ends.
func listen(h *house, count int, over time.Duration) listeners {
	var all sync.WaitGroup
	var mu sync.Mutex
	var sum listeners
	for i := range count {
		all.Go(func() {
			time.Sleep(over * time.Duration(i) / time.Duration(count))
			began := time.Now()
			events, err := follow(h.callers, i)
			mu.Lock()
			defer mu.Unlock()
			sum.events += events
			sum.longest = max(sum.longest, time.Since(began))
			if err != nil {
				sum.failed++
				if sum.err == nil {
					sum.err = err
				}
			}
		})
	}
	all.Wait()
	return sum
}

// follow reads one stream and counts the events with content.
func follow(address string, n int) (events int64, err error) {
	c := &caller{address: address}
	defer c.leave()
	if err := c.send(request(chatPath, clientKey, prompt("chat", int64(n), `,"stream":true`), "")); err != nil {
		return 0, err
	}
	if err := c.head(); err != nil || c.status != 200 {
		return 0, fmt.Errorf("%d %s, %w", c.status, c.reason, err)
	}
	ended := false
	for {
		c.body = c.body[:0]
		more, err := c.chunk()
		if err != nil {
			return events, err
		}
		if !more {
			break
		}
		events += int64(bytes.Count(c.body, []byte(`"content":"`)))
		ended = ended || bytes.Contains(c.body, []byte("data: [DONE]"))
	}
	if !ended {
		err = fmt.Errorf("stream %d ended after %d events without its terminator", n, events)
	}
	return events, err
}

// steadily makes calls at a rate, whatever becomes of the calls before, and returns
// how long each took from the moment at which it was due, and what went wrong.
func steadily(address string, rate int, lasts time.Duration, call func(c *caller, n int64) error) (times []time.Duration, failures []error) {
	const callers = 64
	total := int64(float64(rate) * lasts.Seconds())
	times = make([]time.Duration, total)
	var all sync.WaitGroup
	var mu sync.Mutex
	var next atomic.Int64
	began := time.Now().Add(10 * time.Millisecond)
	for range callers {
		all.Go(func() {
			c := &caller{address: address}
			defer c.leave()
			for n := next.Add(1) - 1; n < total; n = next.Add(1) - 1 {
				due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(due))
				err := call(c, n)
				times[n] = time.Since(due)
				if err != nil {
					c.leave()
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return times, failures
}
