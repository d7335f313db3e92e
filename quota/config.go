package quota

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// defaultShare is the part of a limit that is used. The rest is for what two
	// clocks and two estimates may differ by.
	defaultShare = 0.95
	// defaultBurst is how much unused quota is kept, in time.
	defaultBurst = 15 * time.Second
	// defaultMaxOutput is what a request without max_tokens is taken to ask for.
	defaultMaxOutput = 4096

	ceiling = 1_000_000_000_000 // tokens a minute: more is a mistake of units
	beyond  = 100 * ceiling     // what a request asks for is not counted further
)

// Config says what one key may spend on one model. The zero value limits nothing.
// A zero limit is no limit, and so is a negative one.
type Config struct {
	RPM  int `yaml:"rpm"`  // requests per minute
	RPD  int `yaml:"rpd"`  // requests in any 24 hours
	TPM  int `yaml:"tpm"`  // tokens per minute, as the provider counts them
	ITPM int `yaml:"itpm"` // input tokens per minute, where they have their own limit
	OTPM int `yaml:"otpm"` // output tokens per minute, where they have their own limit

	// Accounting is how the provider counts. Default: as its vendor documents it,
	// or usage: prompt and max_tokens are held, what was used stays.
	Accounting string `yaml:"accounting" oneof:"anthropic anthropic-cached azure bedrock bedrock-1 cerebras gemini groq openai usage"`

	// Reserve is what is held for an answer until its length is known: max_tokens,
	// p90 or mean of the last 200 answers, or none. Default: max_tokens where the
	// provider holds that, else p90.
	Reserve string `yaml:"reserve" oneof:"max_tokens p90 mean none"`

	Share     float64       `yaml:"share"`      // part of each limit that is used, up to 1; 0.95
	Burst     time.Duration `yaml:"burst"`      // how much unused quota is kept, in time, 1s to 1m; 15s
	MaxOutput int           `yaml:"max_output"` // tokens that the provider holds for a request without max_tokens; 4096
}

// Limits reports whether c limits anything.
func (c Config) Limits() bool {
	return c.RPM > 0 || c.RPD > 0 || c.TPM > 0 || c.ITPM > 0 || c.OTPM > 0
}

// WithDefaults returns c with every zero setting, the limits apart, replaced by
// its default.
func (c Config) WithDefaults() Config {
	if c.Accounting == "" {
		c.Accounting = "usage"
	}
	if c.Share == 0 {
		c.Share = defaultShare
	}
	if c.Burst == 0 {
		c.Burst = defaultBurst
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = defaultMaxOutput
	}
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	report := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, l := range []struct {
		name  string
		limit int
	}{{"rpm", c.RPM}, {"rpd", c.RPD}, {"tpm", c.TPM}, {"itpm", c.ITPM}, {"otpm", c.OTPM}, {"max_output", c.MaxOutput}} {
		report(l.limit > ceiling, "%s: %d is above %d", l.name, l.limit, ceiling)
	}
	_, known := accountingOf(c.Accounting)
	report(!known, "accounting: %q is none of %s", c.Accounting, strings.Join(Accountings(), ", "))
	report(!slices.Contains([]string{"", reserveMaxTokens, reserveP90, reserveMean, reserveNone}, c.Reserve),
		"reserve: %q is none of max_tokens, p90, mean, none", c.Reserve)
	report(!(c.Share > 0 && c.Share <= 1) || math.IsNaN(c.Share), "share: %v is not above 0 and up to 1", c.Share)
	report(c.Burst < time.Second || c.Burst > time.Minute, "burst: %s is not between 1s and 1m", c.Burst)
	report(c.MaxOutput < 1, "max_output: %d is not positive", c.MaxOutput)
	return errors.Join(errs...)
}

// The ways to reserve for an answer whose length is not known yet.
const (
	reserveMaxTokens = "max_tokens"
	reserveP90       = "p90"
	reserveMean      = "mean"
	reserveNone      = "none"
)
