package quota

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// maxHold is the longest time a 429 keeps the buckets shut: they are a minute
// deep. Who must wait longer is paused as a key.
const maxHold = time.Minute

// TooLargeError reports a request that takes more than the whole limit: waiting
// never helps. It needs a smaller prompt, a smaller max_tokens or another target.
type TooLargeError struct {
	Of    Dimension
	Need  int64 // what the request takes, as the provider counts
	Limit int64 // per minute
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("quota: the request takes %d of a %s limit of %d", e.Need, e.Of, e.Limit)
}

// Account is what one key may spend on one model. Its methods may be called from
// many goroutines at once, never wait and start no goroutine. Make it with New.
type Account struct {
	origin time.Time
	rand   func() float64

	mu      sync.Mutex
	c       Config // with defaults
	kind    contract
	buckets [Day]bucket
	day     day
	open    int64         // reservations that are neither settled nor returned
	hold    time.Duration // since origin: nothing goes before, a 429 said so
	ramp    ramp
	seq     uint64 // of reservations
	newest  uint64 // the youngest reservation whose answer's headers were read
	told429 uint64 // reservations up to this one were made before the last 429
	claim   claim
	lengths lengths
}

// Options are what an Account asks of others. Every field may be nil.
type Options struct {
	// Rand returns numbers in [0, 1), from any goroutine; nil is math/rand/v2.
	Rand func() float64
}

// New returns an Account whose buckets are full. c should have been validated;
// its zero settings mean their defaults.
func New(c Config, o Options) *Account {
	a := &Account{origin: time.Now(), rand: o.Rand}
	if a.rand == nil {
		a.rand = rand.Float64
	}
	a.Reconfigure(c)
	return a
}

// Reconfigure changes limits and accounting. What was spent stays spent; what is
// reserved is settled by the accounting that is then in force.
func (a *Account) Reconfigure(c Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.c = c.WithDefaults()
	a.kind, _ = accountingOf(a.c.Accounting)
	for d, limit := range [Day]int{Requests: c.RPM, Tokens: c.TPM, Input: c.ITPM, Output: c.OTPM} {
		b := &a.buckets[d]
		if b.stated = int64(max(0, limit)); b.stated == 0 {
			*b = bucket{reserved: b.reserved}
			continue
		}
		b.shape(a.c.Share, a.c.Burst)
	}
	a.day.limit = int64(max(0, float64(c.RPD)*a.c.Share))
	if c.RPD > 0 {
		a.day.limit = max(1, a.day.limit)
	}
}

// Take reserves what a request will be charged, into r, all of it or nothing. It
// returns 0 when it did; else how long it takes until that much is there, or a
// *TooLargeError. What was taken must be settled (End) or returned (Return).
func (a *Account) Take(n Need, who Waiter, r *Reservation) (wait time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Since(a.origin)
	held, wait, err := a.ask(now, n, who)
	if err != nil || wait > 0 {
		return wait, err
	}
	for d := range a.buckets {
		if b := &a.buckets[d]; b.stated > 0 {
			b.level -= float64(held[d])
			b.reserved += held[d]
		}
	}
	if a.day.limit > 0 {
		a.day.add(a.day.hour, 1)
	}
	if a.claim.who == who.Number {
		a.claim = claim{}
	}
	a.open++
	a.seq++
	*r = Reservation{account: a, need: n, held: held, hour: a.day.hour, seq: a.seq}
	return 0, nil
}

// Ready says what Take would say, and takes nothing. Who must wait, and can, has a
// place from then on, as with Take.
func (a *Account) Ready(n Need, who Waiter) (wait time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, wait, err = a.ask(time.Since(a.origin), n, who)
	return wait, err
}

// Rests returns how long nothing may go because a 429 said so; 0: it may.
func (a *Account) Rests() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.hold-time.Since(a.origin))
}

// ask says whether a request may go, and what it takes.
func (a *Account) ask(now time.Duration, n Need, who Waiter) (held amounts, wait time.Duration, err error) {
	wait = max(0, a.hold-now)
	n.Input = int(a.lengths.input(int64(n.Input)))
	sure := a.kind.held(n, 0, int64(a.c.MaxOutput))
	held = a.kind.held(n, a.expected(n), int64(a.c.MaxOutput))
	for d := range a.buckets {
		b := &a.buckets[d]
		if b.stated == 0 {
			continue
		}
		if sure[d] > b.limit() {
			return held, 0, &TooLargeError{Of: Dimension(d), Need: sure[d], Limit: b.limit()}
		}
		held[d] = max(sure[d], min(held[d], int64(b.depth))) // a guess is no reason for debt
		b.fill(now, a.ramp)
		wait = max(wait, b.wait(now, held[d], a.ramp))
	}
	if a.day.limit > 0 {
		a.day.turn(now)
		wait = max(wait, a.day.wait(now))
	}
	return held, a.inTurn(now, wait, who), nil
}

// expected is the length of the answer that is reserved for.
func (a *Account) expected(n Need) int64 {
	most := n.most()
	guess := most
	if most == 0 {
		guess = n.together(int64(min(a.c.MaxOutput, call.UnnamedOutput)))
	}
	mode := a.c.Reserve
	if mode == "" && (a.kind.Hold == holdNothing || a.kind.Weight > 1) {
		mode = reserveP90
	}
	switch mode {
	case reserveNone:
		return 0
	case reserveP90:
		guess = a.lengths.quantile(0.9, guess)
	case reserveMean:
		guess = a.lengths.mean(guess)
	}
	if most > 0 {
		guess = min(guess, most)
	}
	return guess
}

// Level is one limit at a moment.
type Level struct {
	Of       Dimension
	Limit    int64 // as configured, or as the provider announces if that is lower
	Left     int64 // that may be taken now; negative is debt
	Reserved int64 // held by attempts under way
}

// Levels returns the limits there are, in the order of their names' declaration.
func (a *Account) Levels() []Level {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Since(a.origin)
	var levels []Level
	for d := range a.buckets {
		if b := &a.buckets[d]; b.stated > 0 {
			b.fill(now, a.ramp)
			levels = append(levels, Level{Of: Dimension(d), Limit: b.limit(), Left: int64(math.Floor(b.level + crumb)), Reserved: b.reserved})
		}
	}
	if a.day.limit > 0 {
		a.day.turn(now)
		levels = append(levels, Level{Of: Day, Limit: a.day.limit, Left: a.day.limit - a.day.sum, Reserved: a.open})
	}
	return levels
}

// Open returns how many reservations are neither settled nor returned.
func (a *Account) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int(a.open)
}
