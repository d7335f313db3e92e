package spend

import (
	"errors"
	"fmt"
)

// Config is what one Account may spend, and what one call of it may ask for. A
// zero field is no limit.
type Config struct {
	USDPerDay    float64 // US dollars in a calendar day (UTC); up to 1,000,000
	TokensPerDay int64   // tokens, input and output, in a calendar day (UTC)

	MaxTokens  int   // the most output one call may ask for; a call that names no limit is refused
	MaxChoices int   // the most answers one call may ask for (chat: n)
	MaxTools   int   // the most tools one call may offer
	MaxBody    int64 // the largest request body, in bytes
}

const (
	maxUSDPerDay    = 1_000_000
	maxTokensPerDay = 1_000_000_000_000
)

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	var errs []error
	if !(c.USDPerDay >= 0 && c.USDPerDay <= maxUSDPerDay) {
		errs = append(errs, fmt.Errorf("usd_per_day: %v is not between 0 and %d", c.USDPerDay, maxUSDPerDay))
	}
	if c.TokensPerDay < 0 || c.TokensPerDay > maxTokensPerDay {
		errs = append(errs, fmt.Errorf("tokens_per_day: %d is not between 0 and %d", c.TokensPerDay, int64(maxTokensPerDay)))
	}
	for _, f := range []struct {
		name string
		n    int64
	}{{"max_tokens", int64(c.MaxTokens)}, {"max_choices", int64(c.MaxChoices)}, {"max_tools", int64(c.MaxTools)}, {"max_body", c.MaxBody}} {
		if f.n < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is negative", f.name, f.n))
		}
	}
	return errors.Join(errs...)
}

// Zero reports whether c limits nothing.
func (c Config) Zero() bool { return c == Config{} }

// Metered reports whether c limits what is spent in a day, so that every call
// must be measured.
func (c Config) Metered() bool { return c.USDPerDay > 0 || c.TokensPerDay > 0 }

// Reads reports whether c limits what only a request's body tells, so that a call
// whose body nobody reads cannot be held to it.
func (c Config) Reads() bool {
	return c.Metered() || c.MaxTokens > 0 || c.MaxChoices > 0 || c.MaxTools > 0
}
