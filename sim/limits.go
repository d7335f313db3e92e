package sim

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
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

// take may leave a debt.
func (b *bucket) take(n int) { b.level = min(b.limit, b.level-float64(n)) }

// wait is the time until n are there; what is more than the limit never comes, and waits
// for a full bucket.
func (b *bucket) wait(n int) time.Duration {
	missing := min(float64(n), b.limit) - b.level
	return time.Duration(max(0, missing) / b.limit * float64(time.Minute))
}

func (b *bucket) remaining() int { return max(0, int(b.level)) }

func (b *bucket) reset() time.Duration { return b.wait(int(math.Ceil(b.limit))) }

// meters are the provider's limits. Their methods may be called from several goroutines.
type meters struct {
	mu       sync.Mutex
	requests bucket
	tokens   bucket // OpenAI: input and reserved output; Anthropic: input
	output   bucket // Anthropic only
	spent    Spent
}

// admit charges one call, unless a limit that the dials set is used up: then it
// charges nothing, or the request itself where refused calls count, and returns
// how long to wait.
func (m *meters) admit(d Dials, c charge, errors bool) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(d)
	if wait = m.wait(d, c); wait > 0 {
		m.spent.Refused++
		if errors {
			m.requests.level = max(0, m.requests.level-1)
		}
		return wait
	}
	m.requests.take(1)
	m.spent.Requests++
	m.charge(c)
	return 0
}

// wait is how long a call must wait; 0 is not at all.
func (m *meters) wait(d Dials, c charge) (wait time.Duration) {
	if d.RequestsPerMinute > 0 {
		wait = m.requests.wait(1)
	}
	if d.TokensPerMinute == 0 {
		return wait
	}
	if d.Accounting != "" && float64(c.tokens) > m.tokens.limit {
		return time.Minute // it never fits
	}
	wait = max(wait, m.tokens.wait(c.tokens))
	if d.Accounting == "" || d.Accounting == "anthropic" {
		wait = max(wait, m.output.wait(1))
	}
	return wait
}

// spend charges what is known only afterwards: output that was produced, less
// what was held and not used.
func (m *meters) spend(d Dials, c charge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(d)
	m.charge(c)
}

func (m *meters) charge(c charge) {
	m.tokens.take(c.tokens)
	m.output.take(c.output)
	m.spent.Tokens += c.tokens
	m.spent.Output += c.output
}

func (m *meters) fill(d Dials) {
	now := time.Now()
	tokens := orElse(d.TokensPerMinute, announcedTokens)
	m.requests.fill(now, orElse(d.RequestsPerMinute, announcedRequests))
	m.tokens.fill(now, tokens)
	m.output.fill(now, orElse(d.OutputPerMinute, max(1, tokens/outputShare)))
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
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
