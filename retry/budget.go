package retry

import (
	"sync"
	"time"
)

// Why a Budget refuses a further attempt.
const (
	DeniedAmplification = "amplification" // too many further attempts for the calls of the last 10 s
	DeniedRetries       = "retries"       // too many for the successes of the last ttl
	DeniedTokens        = "tokens"        // too many tokens for those of the successes
)

// Budget bounds the further attempts (retries, hedges, recoveries) on one
// upstream. A call's first attempt there is never charged. Three bounds hold at
// once, and always:
//
//   - in any 10 s, further attempts <= 10 + 0.2 * calls that reached the upstream;
//   - in the last BudgetTTL, further attempts that were not refunded <=
//     BudgetReserve * BudgetTTL + BudgetRatio * successes;
//   - the same in tokens, for attempts that may have been billed.
//
// Only successes of first attempts earn: an upstream that fails gets fewer
// retries the longer it does. A Budget is safe for concurrent use, takes no
// memory as it works and starts no goroutine.
type Budget struct {
	origin time.Time

	mu         sync.Mutex
	config     Config
	amplified  amplification
	spent      account
	generation int // of spent: tickets of an older one are void
}

// Ticket is a granted withdrawal. The zero Ticket refunds nothing.
type Ticket struct {
	slot       int64
	generation int
	tokens     int64
}

// Level is what a Budget holds at a moment.
type Level struct {
	Retries       float64 // further attempts that successes and reserve allow now
	Tokens        float64 // tokens that these may cost
	Amplification float64 // further attempts that the calls of the last 10 s allow
}

// NewBudget returns a full budget: BudgetReserve * BudgetTTL retries. Zero
// fields of c count as their defaults; an invalid TTL counts as 10 s.
func NewBudget(c Config) *Budget {
	c = budgetConfig(c)
	return &Budget{origin: time.Now(), config: c, amplified: newAmplification(), spent: newAccount(c.BudgetTTL), generation: 1}
}

func budgetConfig(c Config) Config {
	if c.BudgetTTL < time.Second {
		c.BudgetTTL = 0
	}
	return c.WithDefaults()
}

// Reached says that a call makes its first attempt on this upstream, now.
func (b *Budget) Reached() { b.ReachedAt(time.Now()) }

// ReachedAt is Reached for who has just read the clock.
func (b *Budget) ReachedAt(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.amplified.add(now.Sub(b.origin), perCall)
}

// Success says that a call's first attempt on this upstream succeeded and what
// it cost in tokens, as estimated or reported; less than 0 counts as 0, more
// than 16,777,216 as that, so that a provider's absurd count earns nothing absurd.
func (b *Budget) Success(tokens int) { b.SuccessAt(time.Now(), tokens) }

// SuccessAt is Success for who has just read the clock.
func (b *Budget) SuccessAt(now time.Time, tokens int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.spent.current(now.Sub(b.origin))
	s.successes++
	s.tokensEarned += int64(min(max(0, tokens), 1<<24))
}

// Withdraw asks for a further attempt that costs so many tokens. billed says
// that the attempts before it may have been billed; where they are known not to
// have been, the further one costs no tokens. It takes from all bounds or from
// none, and returns why not: one of the Denied reasons, or "" when the attempt
// may be made.
func (b *Budget) Withdraw(tokens int, billed bool) (Ticket, string) {
	cost := cost(tokens, billed)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if reason := b.refusal(now, cost); reason != "" {
		return Ticket{}, reason
	}
	b.amplified.add(now, perAttempt)
	s := b.spent.current(now)
	s.attempts++
	s.tokensOut += cost
	return Ticket{slot: b.spent.number(now), generation: b.generation, tokens: cost}, ""
}

// Peek returns what Withdraw would, and takes nothing.
func (b *Budget) Peek(tokens int, billed bool) (reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusal(b.now(), cost(tokens, billed))
}

// Refund gives back a retry that was never sent, or that succeeded. It must be
// called at most once for a ticket. Amplification is not given back: the load
// was there, or might have been.
func (b *Budget) Refund(t Ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.generation != b.generation {
		return
	}
	if s := b.spent.find(t.slot); s != nil {
		s.attempts = max(0, s.attempts-1)
		s.tokensOut = max(0, s.tokensOut-t.tokens)
	}
}

// Level returns what may be withdrawn now.
func (b *Budget) Level() Level {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	sum := b.spent.total(now)
	retries, tokens := b.allowed(sum)
	return Level{
		Retries:       max(0, retries-float64(sum.attempts)),
		Tokens:        max(0, tokens-float64(sum.tokensOut)),
		Amplification: float64(max(0, amplificationLimit-b.amplified.worst(now))) / perAttempt,
	}
}

// Remaining returns how much of the scarcest bound is left, from 0 (further
// attempts are refused) to 1 (none was made lately).
func (b *Budget) Remaining() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	sum := b.spent.total(now)
	retries, tokens := b.allowed(sum)
	return min(
		left(float64(sum.attempts), retries),
		left(float64(sum.tokensOut), tokens),
		left(float64(b.amplified.worst(now)), amplificationLimit),
	)
}

// Reconfigure changes the bounds. What happened before still counts; with
// another TTL it counts as if it had happened now, and open tickets cannot be
// refunded any more.
func (b *Budget) Reconfigure(c Config) {
	c = budgetConfig(c)
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.BudgetTTL != b.config.BudgetTTL {
		now := b.now()
		sum := b.spent.total(now)
		b.spent = newAccount(c.BudgetTTL)
		*b.spent.current(now) = sum
		b.generation++
	}
	b.config = c
}

// refusal says why a further attempt of that cost may not be made. Called under
// the lock, as the rest.
func (b *Budget) refusal(now time.Duration, cost int64) string {
	if !b.amplified.allows(now) {
		return DeniedAmplification
	}
	sum := b.spent.total(now)
	retries, tokens := b.allowed(sum)
	switch {
	case float64(sum.attempts+1) > retries+rounding:
		return DeniedRetries
	case cost > 0 && float64(sum.tokensOut+cost) > tokens+rounding:
		return DeniedTokens
	}
	return ""
}

// rounding keeps 10 * 0.1 from being less than 1.
const rounding = 1e-6

// allowed returns the bounds of the last TTL for what was earned in it.
func (b *Budget) allowed(sum flow) (retries, tokens float64) {
	c := b.config
	ttl := c.BudgetTTL.Seconds()
	retries = max(0, c.BudgetReserve)*ttl + max(0, c.BudgetRatio)*float64(sum.successes)
	tokens = max(0, c.TokenReserve)*ttl + max(0, c.TokenRatio)*float64(sum.tokensEarned)
	return retries, tokens
}

func (b *Budget) now() time.Duration { return time.Since(b.origin) }

func cost(tokens int, billed bool) int64 {
	if !billed || tokens < 0 {
		return 0
	}
	return int64(min(tokens, 1<<40)) // far above any prompt, far below overflow
}

func left(used, limit float64) float64 {
	if limit <= 0 {
		return 0
	}
	return max(0, 1-used/limit)
}
