package spend

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrExhausted reports a call that an Account cannot bear today.
var ErrExhausted = errors.New("spend: the budget of the day is used up")

// ExhaustedError is an ErrExhausted that knows whose budget and until when.
type ExhaustedError struct {
	Account string
	Cap     string        // usd_per_day or tokens_per_day
	For     time.Duration // until the next day begins
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("spend: %s of %s is used up for %s", e.Cap, e.Account, e.For.Round(time.Second))
}

// Unwrap returns ErrExhausted.
func (e *ExhaustedError) Unwrap() error { return ErrExhausted }

// Account is what one client key or route spends. Make it with New; it is safe
// for concurrent use.
type Account struct {
	name  string
	order int64 // of taking locks

	mu      sync.Mutex
	config  Config
	day     int64 // days since 1970; what follows is of this day
	spent   Charge
	held    Charge // reserved by calls under way, of this day
	refused int64
	odd     int64
}

// Charge is an amount of both kinds.
type Charge struct {
	Tokens int64
	Money  Money
}

func (c Charge) plus(o Charge) Charge {
	return Charge{Tokens: int64(plus(Money(c.Tokens), Money(o.Tokens))), Money: plus(c.Money, o.Money)}
}

// less returns c without o, not below nothing.
func (c Charge) less(o Charge) Charge {
	return Charge{Tokens: max(0, c.Tokens-o.Tokens), Money: max(0, c.Money-o.Money)}
}

var made atomic.Int64

// New returns an Account that has spent nothing. c must be valid.
func New(name string, c Config) *Account {
	return &Account{name: name, order: made.Add(1), config: c, day: today()}
}

// Name returns the name given to New.
func (a *Account) Name() string { return a.name }

// Config returns what is in force.
func (a *Account) Config() Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config
}

// Reconfigure puts another Config in force. What was spent stays spent.
func (a *Account) Reconfigure(c Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.config = c
}

const secondsPerDay = 24 * 60 * 60

func today() int64 { return time.Now().Unix() / secondsPerDay }

// untilMidnight is how long today still is.
func untilMidnight() time.Duration {
	now := time.Now()
	return time.Unix((now.Unix()/secondsPerDay+1)*secondsPerDay, 0).Sub(now)
}

// turn begins a new day when it has come. What calls of yesterday hold was
// yesterday's.
func (a *Account) turn() {
	if now := today(); now > a.day { // a clock that is set back does not give the day again
		a.day, a.spent, a.held = now, Charge{}, Charge{}
	}
}

// bears names the cap that a charge would go over; "" none.
func (a *Account) bears(c Charge) (over string) {
	all := a.spent.plus(a.held).plus(c)
	switch {
	case a.config.USDPerDay > 0 && all.Money > FromDollars(a.config.USDPerDay):
		return "usd_per_day"
	case a.config.TokensPerDay > 0 && all.Tokens > a.config.TokensPerDay:
		return "tokens_per_day"
	}
	return ""
}

// Hold is what one call has reserved. Its methods are safe for concurrent use.
type Hold struct {
	accounts []*Account
	reserved Charge
	days     []int64

	mu    sync.Mutex
	ended bool
	added Charge
}

// Reserve takes c in every account or in none; the error is then an
// *ExhaustedError. The Hold must be ended. An account may stand among them once.
func Reserve(accounts []*Account, c Charge) (*Hold, error) {
	accounts = slices.Clone(accounts)
	slices.SortFunc(accounts, func(a, b *Account) int { return int(a.order - b.order) })
	for _, a := range accounts {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.turn()
	}
	for _, a := range accounts {
		if over := a.bears(c); over != "" {
			a.refused++
			return nil, &ExhaustedError{Account: a.name, Cap: over, For: untilMidnight()}
		}
	}
	h := &Hold{accounts: accounts, reserved: c}
	for _, a := range accounts {
		a.held = a.held.plus(c)
		h.days = append(h.days, a.day)
	}
	return h, nil
}

// Add notes what an attempt cost. After End, when the attempt was given up and
// went on, it is charged all the same. odd says that the provider reported what
// cannot be. The nil Hold ignores it.
func (h *Hold) Add(c Charge, odd bool) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if odd {
		for _, a := range h.accounts {
			a.noteOdd()
		}
	}
	if !h.ended {
		h.added = h.added.plus(c)
		return
	}
	for i := range h.accounts {
		h.settle(i, Charge{}, c)
	}
}

// End gives back what was reserved and charges what was used. It may be called
// twice, and on a nil Hold.
func (h *Hold) End() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.ended = true
	for i := range h.accounts {
		h.settle(i, h.reserved, h.added)
	}
}

// settle moves a charge from what is held to what is spent. A call that began
// yesterday is charged to the day in which it ends: its reservation is gone.
func (h *Hold) settle(i int, held, spent Charge) {
	a := h.accounts[i]
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn()
	if a.day == h.days[i] {
		a.held = a.held.less(held)
	}
	a.spent = a.spent.plus(spent)
}

func (a *Account) noteOdd() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.odd++
}

// Status is an Account at one moment.
type Status struct {
	Name         string  `json:"name"`
	Day          string  `json:"day"` // UTC, as 2027-01-31
	USD          float64 `json:"usd"` // spent today
	USDHeld      float64 `json:"usd_held"`
	USDPerDay    float64 `json:"usd_per_day,omitempty"`
	Tokens       int64   `json:"tokens"` // used today
	TokensHeld   int64   `json:"tokens_held"`
	TokensPerDay int64   `json:"tokens_per_day,omitempty"`
	Refused      int64   `json:"refused"`   // calls refused since it was made
	OddUsage     int64   `json:"odd_usage"` // attempts whose provider reported what cannot be
}

// Status returns where the Account stands.
func (a *Account) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn()
	return Status{
		Name: a.name, Day: time.Unix(a.day*secondsPerDay, 0).UTC().Format(time.DateOnly),
		USD: a.spent.Money.Dollars(), USDHeld: a.held.Money.Dollars(), USDPerDay: a.config.USDPerDay,
		Tokens: a.spent.Tokens, TokensHeld: a.held.Tokens, TokensPerDay: a.config.TokensPerDay,
		Refused: a.refused, OddUsage: a.odd,
	}
}
