package soak

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// The engine of the overload: ten slots, and twenty tokens of 10 ms for an answer.
// What it has begun it finishes, whoever has left.
const (
	engineSlots    = 10
	engineCapacity = 50 // calls a second
	engineDials    = `{"slots": 10, "token_interval": "10ms", "output_tokens": 20}`
	engineWait     = 500 * time.Millisecond
)

const overloaded = `
providers:
  main: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  spare: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
concurrency: 11
queue: {wait: 500ms}
routes:
  chat: {targets: [main/gpt-4o]}
`

// TestR2TenTimesTheCapacityIsServedAndShed: at two, five and ten times what an
// engine can do it does what it can, those it serves are served soon, the others
// are told at once, and when the load falls everything is as before.
func TestR2TenTimesTheCapacityIsServedAndShed(t *testing.T) {
	h := open(t, overloaded)
	h.turn(engineDials)
	lasts, rest := lasting(30*time.Second, time.Second), lasting(8*time.Second, time.Second)
	factors := []int{2, 5, 10}
	if !soaking() {
		factors = []int{4}
	}
	r := reportOf(t, "R2", "overload of an engine with %d calls a second, %s of each load; nobody waits more than %s", engineCapacity, lasts, engineWait)
	refuser := refuses(t)
	calm := h.offered(engineCapacity*8/10, rest)
	alone := quantile(calm.good, 0.99)
	r.note("p99 of an answer at 0.8 times", alone, "ms")
	memory := h.rss()
	for _, factor := range factors {
		name := func(what string) string { return fmt.Sprintf("%s at %d times", what, factor) }
		highest := h.highest()
		var plain offering
		var both sync.WaitGroup
		both.Go(func() { plain = offer(refuser, (factor-1)*engineCapacity, lasts) })
		storm := h.offered(factor*engineCapacity, lasts)
		both.Wait()
		grown := highest() - memory
		after := h.offered(engineCapacity*8/10, rest)
		if len(storm.wrong) > 0 {
			t.Errorf("%s: %d calls got neither an answer nor a refusal: %v", name("load"), len(storm.wrong), storm.wrong[0])
		}
		r.atLeast(name("goodput"), 100*float64(len(storm.good))/lasts.Seconds()/engineCapacity, "% of capacity", r.either(95, 50))
		r.atMost(name("p99 of an answer"), quantile(storm.good, 0.99), "ms", r.either(2*alone+float64(engineWait.Milliseconds()), 5000))
		r.note(name("p50 of a refusal"), quantile(storm.shed, 0.5), "ms")
		r.atMost(name("p99 of a refusal"), quantile(storm.shed, 0.99), "ms", r.either(2*quantile(plain.shed, 0.99), 5000))
		r.note(name("p99 of a server that only refuses"), quantile(plain.shed, 0.99), "ms")
		r.note(name("refused after having waited"), 100*float64(storm.waited())/float64(max(1, len(storm.shed))), "% of the refusals")
		r.atMost(name("refused without Retry-After"), float64(storm.silent), "calls", 0)
		r.atLeast(name("good from 2 s after"), 100*after.goodFrom(2*time.Second, rest), "%", r.either(99, 0))
		r.atMost(name("memory more"), float64(grown)/mega, "MB", r.either(50, 500))
	}
}

// offering is what became of calls that came at a steady rate, whatever became of
// those before.
type offering struct {
	good   []time.Duration // whole answers
	shed   []time.Duration // refused
	silent int             // refused without Retry-After
	wrong  []error
	starts []start
}

type start struct {
	at   time.Duration
	good bool
}

// goodFrom is the share of good calls among those that began in a window, 0-1.
func (o offering) goodFrom(from, to time.Duration) float64 {
	inside := slices.DeleteFunc(slices.Clone(o.starts), func(s start) bool { return s.at < from || s.at >= to })
	good := slices.DeleteFunc(slices.Clone(inside), func(s start) bool { return !s.good })
	return float64(len(good)) / float64(max(1, len(inside)))
}

// waited is how many were refused only after a wait.
func (o offering) waited() (n int) {
	for _, took := range o.shed {
		if took > engineWait/5 {
			n++
		}
	}
	return n
}

// offered is offer, to the gateway.
func (h *house) offered(rate int, lasts time.Duration) offering { return offer(h.callers, rate, lasts) }

// offer calls at a steady rate for a time, each call on a connection that is free.
func offer(address string, rate int, lasts time.Duration) (o offering) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var free []*caller // the one that was free last is taken first
	began := time.Now()
	for n := range int(float64(rate) * lasts.Seconds()) {
		at := time.Duration(n) * time.Second / time.Duration(rate)
		time.Sleep(time.Until(began.Add(at)))
		mu.Lock()
		c := &caller{address: address}
		if last := len(free) - 1; last >= 0 {
			c, free = free[last], free[:last]
		}
		mu.Unlock()
		all.Go(func() {
			err := c.ask(request(chatPath, clientKey, `{"model":"chat","user":"`+strconv.Itoa(n)+`","messages":[{"role":"user","content":"Tell me a story."}]}`, ""))
			took := time.Since(began.Add(at))
			mu.Lock()
			defer mu.Unlock()
			o.count(c, at, took, err)
			free = append(free, c)
		})
	}
	all.Wait()
	for _, c := range free {
		c.leave()
	}
	return o
}

// count sorts one call in.
func (o *offering) count(c *caller, at, took time.Duration, err error) {
	good := err == nil && c.status == http.StatusOK && bytes.Contains(c.body, []byte(`"finish_reason":"stop"`))
	o.starts = append(o.starts, start{at, good})
	switch {
	case good:
		o.good = append(o.good, took)
	case err == nil && c.status == http.StatusServiceUnavailable:
		o.shed = append(o.shed, took)
	case err == nil:
		o.wrong = append(o.wrong, fmt.Errorf("%d %s %.160q", c.status, c.reason, c.body))
	default:
		o.wrong = append(o.wrong, err)
	}
	if err == nil && c.status == http.StatusServiceUnavailable && c.wait == "" {
		o.silent++
	}
	if err != nil {
		c.leave()
	}
}

// refuses runs a server that reads a request and answers 503, and does nothing
// else: what a refusal costs at least, on this machine at this moment.
func refuses(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":{"message":"busy","type":"overloaded","param":null,"code":"queue_full"}}`)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}
