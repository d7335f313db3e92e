package quota

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
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
	kind    Accounting
	buckets [Day]bucket
	day     day
	open    int64 // reservations that are neither settled nor returned
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
	a.kind, _ = AccountingOf(a.c.Accounting)
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

// Reservation is what one attempt holds of an Account. The zero Reservation
// holds nothing, and returning or settling it does nothing. It is used by one
// goroutine at a time.
type Reservation struct {
	account *Account
	need    Need
	held    amounts
	hour    int64
	seq     uint64
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
	if a.claim.who == who.Number && who.Number != 0 {
		a.claim = claim{}
	}
	a.open++
	a.seq++
	*r = Reservation{account: a, need: n, held: held, hour: a.day.hour, seq: a.seq}
	return 0, nil
}

// Ready says what Take would say, and takes nothing.
func (a *Account) Ready(n Need, who Waiter) (wait time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, wait, err = a.ask(time.Since(a.origin), n, who)
	return wait, err
}

// ask says whether a request may go, and what it takes.
func (a *Account) ask(now time.Duration, n Need, who Waiter) (held amounts, wait time.Duration, err error) {
	n.Input = int(a.lengths.input(int64(n.Input)))
	sure := a.kind.held(n, 0, int64(a.c.MaxOutput))
	held = a.kind.held(n, a.expected(n), int64(a.c.MaxOutput))
	for d := range a.buckets {
		b := &a.buckets[d]
		if b.stated == 0 {
			continue
		}
		if sure[d] > b.limit() {
			return held, 0, &TooLargeError{Of: Dimension(d), Need: sure[d], Limit: b.limit()} //nolint:gosec // a handful
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

// Waiter is a call that will wait if it must. A large one is not overtaken by
// smaller ones as long as it goes on asking. The zero Waiter does not wait.
type Waiter struct {
	Number   uint64        // tells calls apart
	Patience time.Duration // how much longer it can wait
}

// claim is the place of a call that was refused and comes first when there is
// enough for it. Until then nobody overtakes it, or the small ones would leave
// nothing for the large.
type claim struct {
	who  uint64
	due  time.Duration // when there will be enough
	seen time.Duration // when it asked last
}

// attendance is how long a claim stands whose call does not ask any more.
const attendance = time.Second

// inTurn lengthens a wait by what a claim of somebody else takes, and makes a
// claim for who must wait, finds none and can wait so long.
func (a *Account) inTurn(now, wait time.Duration, who Waiter) time.Duration {
	c := &a.claim
	if c.who != 0 && c.who != who.Number && now < c.seen+attendance {
		return max(wait, c.due-now, time.Millisecond)
	}
	if who.Number != 0 && wait > 0 && wait <= who.Patience {
		*c = claim{who: who.Number, due: now + wait, seen: now}
	}
	return wait
}

// expected is the length of the answer that is reserved for.
func (a *Account) expected(n Need) int64 {
	most := n.most()
	guess := most
	if most == 0 {
		guess = int64(min(a.c.MaxOutput, 1024)) * int64(max(1, n.Choices))
	}
	mode := a.c.Reserve
	if mode == "" && (a.kind.Hold == HoldNothing || a.kind.Weight > 1) {
		mode = ReserveP90
	}
	switch mode {
	case ReserveNone:
		return 0
	case ReserveP90:
		guess = a.lengths.quantile(0.9, guess)
	case ReserveMean:
		guess = a.lengths.mean(guess)
	}
	if most > 0 {
		guess = min(guess, most)
	}
	return guess
}

// Return gives everything back: nothing was sent.
func (r *Reservation) Return() {
	a := r.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r.settle(amounts{})
}

// End settles a reservation with how its attempt ended: what the provider charged
// stays spent, the rest comes back. The first call of End or Return counts, later
// ones are ignored.
func (r *Reservation) End(o call.Outcome) {
	a := r.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.Class == call.Throttled {
		a.throttled(r.seq, o)
	}
	r.settle(r.charge(o))
}

// charge is what the provider counts for an attempt that ended so.
func (r *Reservation) charge(o call.Outcome) amounts {
	a := r.account
	input, cached, output := int64(o.Usage.Input), int64(o.Usage.Cached), int64(o.Usage.Output)
	switch {
	case o.Class == call.Refused || o.Class == call.Transport && !o.Sent:
		return amounts{}
	case o.Class == call.OK || o.Class == call.PolicyViolation:
		if !o.Usage.Known {
			return r.guess(o)
		}
		charged := a.kind.used(r.held, input, cached, output)
		a.lengths.add(length{guessed: int64(r.need.Input), input: input, output: output, most: r.need.most(), charged: charged[Tokens]})
		return charged
	case o.Class == call.Throttled || o.Billed() == call.BilledNo || o.Status >= 400:
		return a.failed(r.held, o.Class == call.Throttled)
	case !o.Superseded && (o.Committed || o.Class == call.Canceled):
		// It broke or was left in the middle. What has come is what it took.
		input = max(input, r.held[Input])
		return a.kind.used(r.held, input, cached, min(r.held[Output], max(output, int64(o.Produced))))
	}
	return r.held // it may have been answered in full, and billed
}

// guess is what an answer took whose provider did not say so: as much as was
// seen of it and a quarter more, or all that was held, if that is less or if some
// of it cannot be seen.
func (r *Reservation) guess(o call.Outcome) amounts {
	seen := int64(o.Produced) * 5 / 4
	if r.need.Thinks || seen == 0 || o.Usage.Odd {
		return r.held
	}
	return r.account.kind.used(r.held, r.held[Input], 0, min(seen, r.held[Output]))
}

// failed is what a call takes that was refused before it was answered.
func (a *Account) failed(held amounts, throttled bool) amounts {
	var kept amounts
	if a.kind.Failed {
		kept[Requests], kept[Day] = held[Requests], held[Day]
		if !a.kind.TrueUp && !throttled {
			kept[Tokens] = held[Tokens]
		}
	}
	return kept
}

// settle puts what was charged in the place of what was held. Called under the
// lock.
func (r *Reservation) settle(charged amounts) {
	a := r.account
	r.account = nil
	now := time.Since(a.origin)
	for d := range a.buckets {
		b := &a.buckets[d]
		b.reserved = max(0, b.reserved-r.held[d])
		if b.stated > 0 {
			b.fill(now, a.ramp)
			b.level = min(b.depth, b.level+float64(r.held[d]-charged[d]))
		}
	}
	if a.day.limit > 0 {
		a.day.turn(now)
		a.day.add(r.hour, charged[Day]-r.held[Day])
	}
	a.open--
}

// throttled empties the buckets after a 429 and starts the ramp. A 429 to a
// request that was sent before the last one is old news.
func (a *Account) throttled(seq uint64, o call.Outcome) {
	if seq <= a.told429 {
		return
	}
	a.told429 = a.seq
	now := time.Since(a.origin)
	var wait time.Duration
	if o.HasWait {
		wait = min(o.Wait, maxHold)
		wait += time.Duration(a.rand() * float64(min(wait/10, time.Second)))
	}
	for d := range a.buckets {
		if b := &a.buckets[d]; b.stated > 0 {
			b.fill(now, a.ramp)
			b.drain(now + wait)
		}
	}
	a.ramp = ramp{from: now + wait, on: true}
}

// Headers takes what an answer's headers say of the limits. It can only make the
// Account more careful. What is negative, no number or contradicts itself is
// unknown, and an answer to an older request than the last one read says nothing.
func (r *Reservation) Headers(h http.Header) {
	a := r.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.seq <= a.newest || len(a.kind.Headers) == 0 {
		return
	}
	a.newest = r.seq
	now := time.Since(a.origin)
	for _, name := range a.kind.Headers {
		limit, remaining, ok := name.read(h)
		if !ok {
			continue
		}
		if name.Of == Day {
			a.day.turn(now)
			a.day.tighten(remaining)
			continue
		}
		if b := &a.buckets[name.Of]; b.stated > 0 {
			b.fill(now, a.ramp)
			a.tell(b, limit, remaining)
		}
	}
}

// tell takes a believable word of the provider's about one limit.
func (a *Account) tell(b *bucket, limit, remaining int64) {
	told := int64(0)
	if limit < b.stated && limit >= b.stated/absurd {
		told = limit
	}
	if told != b.told {
		b.told = told
		b.shape(a.c.Share, a.c.Burst)
	}
	b.level = min(b.level, float64(remaining))
}

// absurd is how many times lower than configured an announced limit may be before
// it is taken for another one.
const absurd = 100

// read returns what h says of one limit. Azure has sent -1 and 0 for what it does
// not know: without a positive limit beside it nothing is believed.
func (n Header) read(h http.Header) (limit, remaining int64, ok bool) {
	limit, ok = number(h[n.Limit])
	if !ok || limit <= 0 {
		return 0, 0, false
	}
	remaining, ok = number(h[n.Remaining])
	return limit, remaining, ok && remaining >= 0 && remaining <= limit
}

func number(values []string) (int64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	return n, err == nil && n <= ceiling
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
			levels = append(levels, Level{Of: Dimension(d), Limit: b.limit(), Left: int64(math.Floor(b.level + crumb)), Reserved: b.reserved}) //nolint:gosec // a handful
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
