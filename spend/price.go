package spend

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
)

// Money is an amount in picodollars (1e-12 USD). It is never negative here and
// stops at the largest, 9.2 million USD.
type Money int64

// dollar is one US dollar.
const dollar Money = 1_000_000_000_000

const maxMoney = Money(math.MaxInt64)

// Dollars returns an amount in US dollars, for people.
func (m Money) Dollars() float64 { return float64(m) / float64(dollar) }

// FromDollars returns an amount; what is negative or no number is 0.
func FromDollars(usd float64) Money {
	switch {
	case !(usd > 0):
		return 0
	case usd >= maxMoney.Dollars():
		return maxMoney
	}
	return Money(math.Round(usd * float64(dollar)))
}

// Price is what tokens cost, in US dollars for a million.
type Price struct {
	Input  float64 // tokens of the prompt
	Output float64 // tokens of the answer, reasoning among them
	Cached float64 // tokens of the prompt that were read from a cache; 0: as Input
}

// dearest is above every price we know; more is a mistake of units.
const dearest = 100_000

// Validate reports everything that is wrong with p, not only the first thing.
func (p Price) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		usd  float64
	}{{"input", p.Input}, {"output", p.Output}, {"cached", p.Cached}} {
		if !(f.usd >= 0 && f.usd <= dearest) {
			errs = append(errs, fmt.Errorf("%s: %v is not between 0 and %d USD for a million tokens", f.name, f.usd, dearest))
		}
	}
	return errors.Join(errs...)
}

// Of returns what tokens cost. Counts below 0 count as 0.
func (p Price) Of(t Tokens) Money {
	t = t.whole()
	cached := p.Cached
	if cached == 0 {
		cached = p.Input
	}
	sum := times(perToken(p.Input), t.Input-t.Cached)
	sum = plus(sum, times(perToken(cached), t.Cached))
	return plus(sum, times(perToken(p.Output), t.Output))
}

// perToken is exact for prices with six decimals.
func perToken(perMillion float64) Money { return FromDollars(perMillion / 1e6) }

// Tokens is what an attempt used. Cached is the part of Input that was read from
// a cache.
type Tokens struct{ Input, Output, Cached int64 }

// Sum returns input and output together.
func (t Tokens) Sum() int64 { return int64(plus(Money(max(0, t.Input)), Money(max(0, t.Output)))) }

// whole returns t without counts that cannot be.
func (t Tokens) whole() Tokens {
	t.Input, t.Output = max(0, t.Input), max(0, t.Output)
	t.Cached = min(max(0, t.Cached), t.Input)
	return t
}

// Prices are the prices of models, by name; in a name * stands for any text.
type Prices map[string]Price

// Validate reports everything that is wrong with p, not only the first thing.
func (p Prices) Validate() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name == "" {
			errs = append(errs, errors.New("a price without a model"))
		}
		if err := p[name].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Find returns the price of the first of the models that has one. A name that is
// written out wins over a pattern, a longer pattern over a shorter one.
func (p Prices) Find(models ...string) (Price, bool) {
	for _, model := range models {
		if price, ok := p[model]; ok && model != "" {
			return price, true
		}
		best, found := "", false
		for pattern := range p {
			longer := len(pattern) > len(best) || len(pattern) == len(best) && pattern < best
			if strings.Contains(pattern, "*") && (longer || !found) && call.Matches(pattern, model) {
				best, found = pattern, true
			}
		}
		if found {
			return p[best], true
		}
	}
	return Price{}, false
}

func plus(a, b Money) Money {
	if a > maxMoney-b {
		return maxMoney
	}
	return a + b
}

func times(a Money, n int64) Money {
	hi, lo := bits.Mul64(uint64(a), uint64(n)) //nolint:gosec // neither is negative
	if hi != 0 || lo > uint64(maxMoney) {
		return maxMoney
	}
	return Money(lo)
}
