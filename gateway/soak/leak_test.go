package soak

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mixed are all policies at work: failover, circuits that open, keys that pause.
// Each kind of trouble has a provider of its own, so that it troubles no other.
const mixed = `
providers:
  main: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  claude: {kind: anthropic, base_url: "PROVIDER", api_key: no-secret}
  spare: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  shaky: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  broken: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  limited: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  mute: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
  cutting: {kind: openai, base_url: "PROVIDER", api_key: no-secret}
concurrency: 512
queue: {concurrency: 1024, max: 1000}
retry: {max_attempts: 3, base: 20ms, cap: 100ms}
routes:
  chat: {targets: [main/gpt-4o, spare/gpt-4o-mini]}
  claude: {targets: [claude/claude-x]}
  embed: {targets: [main/text-embedding-3-small]}
  shaky: {targets: [shaky/sim/503, spare/gpt-4o]}
  broken: {targets: [broken/sim/500]}
  limited: {targets: [limited/sim/429-forever], retry: {max_attempts: 1}, timeout: {total: 200ms}}
  wrong: {targets: [main/sim/400]}
  mute: {targets: [mute/sim/silent]}
  cutting: {targets: [cutting/sim/cut-after-2], breaker: {off: true}}
  stalling: {targets: [mute/sim/stall-after-2]}
  long: {targets: [main/sim/echo-headers]}
`

// kind is one kind of call. Each makes the call number n on its caller and returns
// what was wrong with the gateway's part.
type kind struct {
	name  string
	share int  // of a thousand
	waits bool // it takes its time: made by callers of its own, beside the quick ones
	play  func(c *caller, n int64) error
}

const (
	chatPath      = "/v1/chat/completions"
	responsesPath = "/v1/responses"
	messagesPath  = "/v1/messages"
)

// prompt is a chat body; more are further members.
func prompt(model string, n int64, more string) string {
	return fmt.Sprintf(`{"model":%q,"user":"soak-%d"%s,"messages":[{"role":"user","content":"Tell me the story of number %d."}]}`, model, n, more, n)
}

// plainCall is a kind that asks and is answered whole.
func plainCall(path, body, more string, status int, mark string) func(*caller, int64) error {
	return func(c *caller, n int64) error {
		headers := more
		if n%500 == 0 {
			headers += "Connection: close\r\n"
		}
		if err := c.ask(request(path, clientKey, fmt.Sprintf(body, n), headers)); err != nil {
			return err
		}
		return c.got(status, mark)
	}
}

var kinds = []kind{
	{"chat", 500, false, plainCall(chatPath, `{"model":"chat","user":"soak-%d","max_tokens":8,"messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, `"finish_reason":"stop"`)},
	{"responses", 80, false, plainCall(responsesPath, `{"model":"chat","user":"soak-%d","max_output_tokens":8,"input":"Tell me a story."}`, "", 200, `"object":"response"`)},
	{"messages", 80, false, plainCall(messagesPath, `{"model":"claude","max_tokens":8,"metadata":{"user_id":"soak-%d"},"messages":[{"role":"user","content":"Tell me a story."}]}`, "Anthropic-Version: 2023-06-01\r\n", 200, `"stop_reason":"end_turn"`)},
	{"embeddings", 30, false, plainCall("/v1/embeddings", `{"model":"embed","user":"soak-%d","input":"a story"}`, "", 200, `"embedding"`)},
	{"chat, streamed", 120, false, plainCall(chatPath, `{"model":"chat","user":"soak-%d","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, "data: [DONE]")},
	{"messages, streamed", 40, false, plainCall(messagesPath, `{"model":"claude","stream":true,"max_tokens":5,"metadata":{"user_id":"soak-%d"},"messages":[{"role":"user","content":"Tell me a story."}]}`, "Anthropic-Version: 2023-06-01\r\n", 200, "event: message_stop")},
	{"failed over", 40, false, plainCall(chatPath, `{"model":"shaky","user":"soak-%d","max_tokens":5,"messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, `"finish_reason"`)},
	{"client's error", 20, false, plainCall(chatPath, `{"model":"wrong","user":"soak-%d","messages":[{"role":"user","content":"Tell me a story."}]}`, "", 400, `"error"`)},
	{"unknown model", 10, false, plainCall(chatPath, `{"model":"nobody","user":"soak-%d","messages":[]}`, "", 404, `"error"`)},
	{"stream that breaks", 10, false, plainCall(chatPath, `{"model":"cutting","user":"soak-%d","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"Tell me a story."}]}`, "", 200, `"error"`)},
	{"wrong key", 10, false, wrongKey},
	{"provider down", 10, true, whileDown("broken")},
	{"provider throttles", 10, true, whileDown("limited")},
	{"abort before the headers", 15, true, abortWaiting},
	{"abort in the stream", 15, true, abortStream},
	{"abort in the body", 5, true, abortBody},
	{"slow reader", 5, true, readSlowly},
}

func wrongKey(c *caller, n int64) error {
	if err := c.ask(request(chatPath, "hf_wrong", prompt("chat", n, ""), "")); err != nil {
		return err
	}
	return c.got(401, `"error"`)
}

// whileDown is refused in the dialect, by the provider, a circuit or a pause.
func whileDown(model string) func(*caller, int64) error {
	return func(c *caller, n int64) error {
		if err := c.ask(request(chatPath, clientKey, prompt(model, n, ""), "")); err != nil {
			return err
		}
		if c.status < 429 || !bytes.Contains(c.body, []byte(`"error"`)) {
			return fmt.Errorf("%d %.160q, want a refusal", c.status, c.body)
		}
		return nil
	}
}

// abortWaiting leaves a provider that does not answer.
func abortWaiting(c *caller, n int64) error {
	defer c.leave()
	if err := c.send(request(chatPath, clientKey, prompt("mute", n, ""), "")); err != nil {
		return err
	}
	time.Sleep(time.Duration(2+n%20) * time.Millisecond)
	return nil
}

// abortStream leaves after the first piece of a long answer.
func abortStream(c *caller, n int64) error {
	defer c.leave()
	if err := c.send(request(chatPath, clientKey, prompt("stalling", n, `,"stream":true`), "")); err != nil {
		return err
	}
	if err := c.head(); err != nil {
		return err
	}
	if c.status != 200 {
		return fmt.Errorf("%d %s", c.status, c.reason)
	}
	_, err := c.chunk()
	return err
}

// abortBody leaves in the middle of a request.
func abortBody(c *caller, n int64) error {
	defer c.leave()
	all := request(chatPath, clientKey, prompt("chat", n, ""), "")
	return c.send(all[:len(all)-20])
}

// manyWords is a header that the provider answers with: some hundred events.
var manyWords = "X-Words: " + strings.Repeat("story ", 1000) + "\r\n"

// readSlowly takes a long answer a kilobyte at a time.
func readSlowly(c *caller, n int64) error {
	c.leave()
	c.narrow = true
	defer func() { c.leave(); c.narrow = false }()
	if err := c.send(request(chatPath, clientKey, prompt("long", n, `,"stream":true`), manyWords)); err != nil {
		return err
	}
	if err := c.head(); err != nil {
		return err
	}
	for pieces := 0; ; pieces++ {
		more, err := c.chunk()
		if err != nil {
			return err
		}
		if !more {
			return c.got(200, "data: [DONE]")
		}
		if pieces%5 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// crowd makes total calls of these kinds by their shares and counts them.
type crowd struct {
	house *house
	done  [32]atomic.Int64 // by kind
	spent [32]atomic.Int64 // nanoseconds
	wrong [32]atomic.Int64
	total atomic.Int64

	mu   sync.Mutex
	said []string // the first things that went wrong
}

// run makes the calls; quick and patient are how many callers of each sort there are.
func (cr *crowd) run(total int64, quick, patient int) {
	var all sync.WaitGroup
	for _, waits := range []bool{false, true} {
		table := tableOf(waits)
		part := total * int64(len(table)) / 1000
		workers := quick
		if waits {
			workers = patient
		}
		var next atomic.Int64
		for range workers {
			all.Go(func() {
				c := &caller{address: cr.house.callers}
				defer c.leave()
				for n := next.Add(1) - 1; n < part; n = next.Add(1) - 1 {
					cr.one(c, table[n%int64(len(table))], n)
				}
			})
		}
	}
	all.Wait()
}

// tableOf is the kinds in a fixed, mixed order, each as often as its share says.
func tableOf(waits bool) []int {
	var table []int
	for i, k := range kinds {
		for range k.share {
			if k.waits == waits {
				table = append(table, i)
			}
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(table), func(i, j int) { table[i], table[j] = table[j], table[i] })
	return table
}

func (cr *crowd) one(c *caller, k int, n int64) {
	began := time.Now()
	err := kinds[k].play(c, n)
	cr.spent[k].Add(int64(time.Since(began)))
	cr.done[k].Add(1)
	cr.total.Add(1)
	if err == nil {
		return
	}
	c.leave()
	cr.wrong[k].Add(1)
	cr.mu.Lock()
	defer cr.mu.Unlock()
	if len(cr.said) < 20 {
		cr.said = append(cr.said, fmt.Sprintf("%s %d: %v", kinds[k].name, n, err))
	}
}

// watch says how far it is, until the returned function is called.
func (cr *crowd) watch(total int64) (stop func()) {
	if !soaking() {
		return func() {}
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		last := int64(0)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Second):
				now := cr.total.Load()
				v := cr.house.vitals()
				say("  %8d of %d, %5d/s, %4d goroutines, %4d descriptors, %3d MB", now, total, (now-last)/5, v.goroutines, v.descriptors, v.rss/mega)
				last = now
			}
		}
	})
	return func() { close(done); watching.Wait() }
}

// TestR30AMillionMixedCallsLeaveNothingBehind: good ones, failing ones, streams,
// callers who leave at every stage and callers who hardly read.
func TestR30AMillionMixedCallsLeaveNothingBehind(t *testing.T) {
	total := int64(sized(t, requests, 1_000_000, 300))
	h := open(t, mixed)
	h.turn(`{"output_tokens": 8}`)
	r := reportOf(t, "R30", "%d mixed calls, all policies on", total)

	// What it remembers on purpose (stories of 10,000 calls, pools) is filled first.
	warm := crowd{house: h}
	warm.run(max(total/20, min(total, 30_000)), 32, 64)
	if err := warm.errors(); err != nil {
		t.Errorf("the first calls: %v", err)
	}
	h.collect()
	start := h.quiet()

	calls := crowd{house: h}
	stop := calls.watch(total)
	began := time.Now()
	used := h.cpu()
	calls.run(total, 32, 64)
	took := time.Since(began)
	used = h.cpu() - used
	stop()
	h.collect()
	end := h.back(start)
	for until := time.Now().Add(30 * time.Second); end.rss > start.rss+20*mega && time.Now().Before(until); end = h.vitals() {
		time.Sleep(2 * time.Second) // memory goes back to the system at its own pace
		h.collect()
	}

	made := calls.total.Load()
	r.note("calls", float64(made), "")
	for i, k := range kinds {
		done := float64(calls.done[i].Load())
		r.note("calls: "+k.name, done, "")
		say("  %-26s %8.0f, %6.1f ms each", k.name, done, float64(calls.spent[i].Load())/1e6/done)
	}
	rate := float64(made) / took.Seconds()
	r.note("calls per second, closed loop", rate, "/s")
	r.note("processor time of the gateway per call", used.Seconds()*1e6/float64(made), "us")
	r.atMost("calls that were not answered as they should be", float64(calls.wrongs()), "", 0)
	r.note("goroutines at the start", float64(start.goroutines), "")
	r.atMost("goroutines more or less at the end", apart(end.goroutines, start.goroutines), "", 10)
	r.note("descriptors at the start", float64(start.descriptors), "")
	r.atMost("descriptors more or less at the end", apart(end.descriptors, start.descriptors), "", 10)
	r.atMost("connections kept for the provider", float64(end.connections), "", 256)
	r.note("live heap at the start", float64(start.heap)/mega, "MB")
	r.note("live heap more at the end", float64(end.heap-start.heap)/mega, "MB")
	r.note("memory at the start, after a collection", float64(start.rss)/mega, "MB")
	r.atMost("memory more at the end, after a collection", float64(end.rss-start.rss)/mega, "MB", r.either(20, 100))
	m := h.metrics()
	r.atMost("calls that the gateway believes are under way", sum(m, "holdfast_attempts_in_flight"), "", 0)
	r.atMost("circuits of healthy targets that opened", sum(m, "holdfast_breaker_transitions_total", `to="open"`, `target="main/`)+sum(m, "holdfast_breaker_transitions_total", `to="open"`, `target="spare/`), "", 0)
	r.atMost("calls that the provider is still working on", float64(h.counts().InFlight), "", 0)
	if err := calls.errors(); err != nil {
		t.Error(err)
	}
}

func apart(a, b int) float64 { return float64(max(a, b) - min(a, b)) }

func (cr *crowd) wrongs() (n int64) {
	for i := range cr.wrong {
		n += cr.wrong[i].Load()
	}
	return n
}

func (cr *crowd) errors() error {
	var errs []error
	for _, text := range cr.said {
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}
