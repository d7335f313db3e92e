package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// The dialects of the calls.
const (
	chat      = "chat"
	responses = "responses"
)

var paths = map[string]string{chat: "/v1/chat/completions", responses: "/v1/responses"}

// ask is one call, the same in both arms.
type ask struct {
	n        int // 0, 1, 2 ...
	dialect  string
	streamed bool
	seed     uint64
}

// askOf returns the n-th call: of four in a row, two are streamed and two are of
// each dialect.
func askOf(n int, seed uint64) ask {
	a := ask{n: n, dialect: chat, streamed: n%2 == 0, seed: seed}
	if n%4 >= 2 {
		a.dialect = responses
	}
	return a
}

// tag is by what a provider's log names the call.
func (a ask) tag() string { return fmt.Sprintf("call-%d", a.n) }

func (a ask) body() []byte {
	prompt := fmt.Sprintf("Tell me story %d of book %d.", a.n, a.seed)
	body := map[string]any{"model": modelName, "stream": a.streamed, "user": a.tag()}
	if a.dialect == chat {
		body["messages"] = []map[string]string{{"role": "user", "content": prompt}}
	} else {
		body["input"] = prompt
	}
	text, _ := json.Marshal(body) // strings and booleans only
	return text
}

// result is one call as its caller saw it.
type result struct {
	ask
	began, ended time.Time
	failure      string // "" for a good answer
	provider     string // who answered, as the gateway says; "" without one
}

// arm is one group of callers and what they saw. Make it with newArm.
type arm struct {
	url    string
	client *http.Client

	mu      sync.Mutex
	started int
	results []result // in the order of their ends
}

// newArm returns callers of one address. Their client neither retries nor follows.
func newArm(url string) *arm {
	return &arm{url: url, client: &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 256, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call sends one call and keeps its result.
func (a *arm) call(ctx context.Context, what ask) {
	a.mu.Lock()
	a.started++
	a.mu.Unlock()
	r := a.send(ctx, what)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.results = append(a.results, r)
}

func (a *arm) send(ctx context.Context, what ask) result {
	r := result{ask: what, began: time.Now()}
	r.provider, r.failure = a.exchange(ctx, what)
	r.ended = time.Now()
	return r
}

// exchange returns who answered, and what is wrong with the answer.
func (a *arm) exchange(ctx context.Context, what ask) (provider, failure string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+paths[what.dialect], bytes.NewReader(what.body()))
	if err != nil {
		return "", "no request"
	}
	req.GetBody = nil // so that net/http cannot send it again by itself
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return "", "no answer"
	}
	defer resp.Body.Close()
	provider = resp.Header.Get("X-Holdfast-Provider")
	if err := judge(what.dialect, what.streamed, resp); err != nil {
		return provider, err.Error()
	}
	return provider, ""
}

// seen returns how many calls were started, and the results so far.
func (a *arm) seen() (started int, results []result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.started, a.results[:len(a.results):len(a.results)] // what stands is never changed
}

func (a *arm) close() { a.client.CloseIdleConnections() }

// traffic sends the same calls in all arms at a steady rate, whatever becomes of
// the calls before, until until is closed. Then it waits for those under way,
// which end when ctx does.
func traffic(ctx context.Context, until <-chan struct{}, rate int, seed uint64, arms ...*arm) {
	var running sync.WaitGroup
	defer running.Wait()
	random := rand.New(rand.NewPCG(seed, 0))
	interval := time.Second / time.Duration(rate)
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		jitter := time.Duration(random.Float64() * float64(interval)) // arms in lockstep, callers not
		timer.Reset(time.Until(began.Add(time.Duration(n)*interval + jitter)))
		select {
		case <-timer.C:
		case <-until:
			return
		case <-ctx.Done():
			return
		}
		for _, a := range arms {
			running.Go(func() { a.call(ctx, askOf(n, seed)) })
		}
	}
}
