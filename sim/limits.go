package sim

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// What the headers announce where the dials set no limit: more than any test asks for.
const (
	announcedRequests = 1_000_000
	announcedTokens   = 100_000_000
	outputShare       = 5 // Anthropic's output limit is a fifth of its input limit
)

// bucket is an allowance per minute that refills without steps.
type bucket struct {
	limit float64
	level float64
	at    time.Time
}

// fill brings b up to now. A bucket with a new limit begins full.
func (b *bucket) fill(now time.Time, limit int) {
	if b.limit != float64(limit) {
		*b = bucket{limit: float64(limit), level: float64(limit), at: now}
	}
	b.level = min(b.limit, b.level+b.limit*now.Sub(b.at).Minutes())
	b.at = now
}

func (b *bucket) take(n int) { b.level = max(0, b.level-float64(n)) }

// wait is the time until n are there; what is more than the limit never comes, and waits
// for a full bucket.
func (b *bucket) wait(n int) time.Duration {
	missing := min(float64(n), b.limit) - b.level
	return time.Duration(max(0, missing) / b.limit * float64(time.Minute))
}

func (b *bucket) remaining() int { return int(b.level) }

func (b *bucket) reset() time.Duration { return b.wait(int(math.Ceil(b.limit))) }

// meters are the provider's limits. Their methods may be called from several goroutines.
type meters struct {
	mu       sync.Mutex
	requests bucket
	tokens   bucket // OpenAI: input and reserved output; Anthropic: input
	output   bucket // Anthropic only
}

// admit charges one call, unless a limit that the dials set is used up: then it charges
// nothing and returns how long to wait.
func (m *meters) admit(d Dials, tokens int) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(d)
	if d.RequestsPerMinute > 0 {
		wait = m.requests.wait(1)
	}
	if d.TokensPerMinute > 0 {
		wait = max(wait, m.tokens.wait(tokens), m.output.wait(1))
	}
	if wait > 0 {
		return wait
	}
	m.requests.take(1)
	m.tokens.take(tokens)
	return 0
}

// spend charges output that was produced, which Anthropic counts only afterwards.
func (m *meters) spend(d Dials, output int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(d)
	m.output.take(output)
}

func (m *meters) fill(d Dials) {
	now := time.Now()
	tokens := orElse(d.TokensPerMinute, announcedTokens)
	m.requests.fill(now, orElse(d.RequestsPerMinute, announcedRequests))
	m.tokens.fill(now, tokens)
	m.output.fill(now, max(1, tokens/outputShare))
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// headers writes the state of the limits in the vendor's way. throttled, if not zero, is
// the wait of a 429: then no request is left and the reset is that far away.
func (m *meters) headers(h http.Header, s fault.Style, d Dials, throttled time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(d)
	requests := gauge{"requests", int(m.requests.limit), m.requests.remaining(), m.requests.reset()}
	if throttled > 0 {
		requests.remaining, requests.reset = 0, throttled
	}
	tokens := gauge{"tokens", int(m.tokens.limit), m.tokens.remaining(), m.tokens.reset()}
	if s == fault.OpenAI {
		requests.openAI(h)
		tokens.openAI(h)
		return
	}
	output := gauge{"output-tokens", int(m.output.limit), m.output.remaining(), m.output.reset()}
	input := tokens
	input.name = "input-tokens"
	both := gauge{"tokens", input.limit + output.limit, input.remaining + output.remaining, max(input.reset, output.reset)}
	for _, g := range []gauge{requests, input, output, both} {
		g.anthropic(h)
	}
}

// gauge is one limit as the headers show it.
type gauge struct {
	name             string
	limit, remaining int
	reset            time.Duration
}

func (g gauge) openAI(h http.Header) {
	h.Set("X-Ratelimit-Limit-"+g.name, strconv.Itoa(g.limit))
	h.Set("X-Ratelimit-Remaining-"+g.name, strconv.Itoa(g.remaining))
	h.Set("X-Ratelimit-Reset-"+g.name, g.reset.Round(time.Millisecond).String())
}

func (g gauge) anthropic(h http.Header) {
	prefix := "Anthropic-Ratelimit-" + g.name
	h.Set(prefix+"-limit", strconv.Itoa(g.limit))
	h.Set(prefix+"-remaining", strconv.Itoa(g.remaining))
	h.Set(prefix+"-reset", time.Now().Add(g.reset+time.Second-1).UTC().Truncate(time.Second).Format(time.RFC3339))
}

// gate lets a limited number of calls work at a time, in the order of arrival.
type gate struct {
	mu      sync.Mutex
	running int
	waiting []chan struct{}
}

// enter waits for a place and reports whether it has one; false means that ctx ended
// first. limit 0 is no limit.
func (g *gate) enter(ctx context.Context, limit int) bool {
	g.mu.Lock()
	if limit == 0 || g.running < limit {
		g.running++
		g.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
		return g.giveUp(turn)
	}
}

// giveUp leaves the queue. A turn that came at the same moment counts: its owner must leave.
func (g *gate) giveUp(turn chan struct{}) (entered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == turn {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return false
		}
	}
	return true
}

func (g *gate) leave(limit int) {
	g.mu.Lock()
	g.running--
	g.mu.Unlock()
	g.admit(limit)
}

// admit gives free places to those who wait; also to be called when the limit grows.
func (g *gate) admit(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > 0 && (limit == 0 || g.running < limit) {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.running++
	}
}
