package retry

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The kinds of jitter. The zero value, JitterByCause, is full for transient
// errors and equal after a throttle: a wait near zero is wasted on a rate limit,
// which counts failed calls too.
const (
	JitterByCause      = ""
	JitterFull         = "full"         // uniform in [0, d)
	JitterEqual        = "equal"        // uniform in [d/2, d)
	JitterDecorrelated = "decorrelated" // uniform in [base, 3 * the wait before)
	JitterNone         = "none"         // d
	JitterPRetry       = "p-retry"      // uniform in [d, 2d), as npm's p-retry with randomize
	JitterPythonFull   = "python-full"  // uniform in [0, d): Python backoff's full_jitter, its name for full

	// JitterPythonRandom is uniform in [d, d + 1s), as Python backoff's random_jitter.
	JitterPythonRandom = "python-random"
)

// The ways in which waits grow.
const (
	GrowthExponential = "exponential" // each is Factor times the one before
	GrowthFibonacci   = "fibonacci"   // 1, 1, 2, 3, 5, 8 times Base
)

var (
	jitters = []string{JitterByCause, JitterFull, JitterEqual, JitterDecorrelated, JitterNone, JitterPRetry, JitterPythonFull, JitterPythonRandom}
	growths = []string{"", GrowthExponential, GrowthFibonacci}
)

// Config says how often, how soon and how much is asked again. The zero value
// is ready to use: a zero field means the default beside it. Where 0 itself
// makes sense (ratios, reserves, waits), a negative value means 0.
type Config struct {
	MaxAttempts  int           `yaml:"max_attempts"`                                                                  // attempts of one call for any reason, the first included; 1 to 100; 3
	Base         time.Duration `yaml:"base"`                                                                          // first wait after a transient error; 500ms
	ThrottleBase time.Duration `yaml:"throttle_base"`                                                                 // first wait after a throttle without Retry-After; 1s
	Factor       float64       `yaml:"factor"`                                                                        // each wait is so many times the one before; 1 to 100; 2
	Growth       string        `yaml:"growth" oneof:"exponential fibonacci"`                                          // how waits grow: exponential, by factor; or fibonacci, 1, 1, 2, 3, 5 times base; exponential
	Cap          time.Duration `yaml:"cap"`                                                                           // no backoff is longer; negative: one hour; 8s
	Jitter       string        `yaml:"jitter" oneof:"full equal decorrelated none p-retry python-full python-random"` // one of the Jitter names; "" chooses by cause

	// MinDelay and MaxDelay replace the backoff by a uniform wait between them,
	// the same for every retry, when both are set.
	MinDelay time.Duration `yaml:"min_delay"`
	MaxDelay time.Duration `yaml:"max_delay"`

	// MaxRetryAfter is the longest Retry-After that is waited for; 60s. A longer
	// one is not shortened: the call goes elsewhere or ends.
	MaxRetryAfter time.Duration `yaml:"max_retry_after"`

	BudgetRatio   float64       `yaml:"budget_ratio"`   // further attempts per success; 0 to 1; 0.1
	BudgetReserve float64       `yaml:"budget_reserve"` // and so many per second without any; 1
	BudgetTTL     time.Duration `yaml:"budget_ttl"`     // how long successes and attempts count; 1s to 1h; 10s

	TokenRatio float64 `yaml:"token_ratio"` // tokens of further attempts per token of a success; 0 to 1; 0.1

	// TokenReserve is what may be spent without any success, in tokens per
	// second; 20,000: with the ttl of 10 s that is 200,000, so that an idle
	// upstream may be asked again for one prompt that fills the usual context
	// window, or for ten agent turns of 20,000, as many as BudgetReserve allows.
	// One that is larger than all of it needs successes first.
	TokenReserve float64 `yaml:"token_reserve"`

	// TokenMultiplier bounds one call: its billed attempts together may cost so
	// many times the estimate of one; 1 to 100; 2. Who schedules attempts keeps it.
	TokenMultiplier float64 `yaml:"token_multiplier"`
}

func orDefault[T int | float64 | time.Duration](v *T, fallback T) {
	if *v == 0 {
		*v = fallback
	}
}

// WithDefaults returns c with every zero field filled. It changes nothing when
// applied again: what is off stays negative.
func (c Config) WithDefaults() Config {
	orDefault(&c.MaxAttempts, 3)
	orDefault(&c.Base, 500*time.Millisecond)
	orDefault(&c.ThrottleBase, time.Second)
	orDefault(&c.Factor, 2)
	orDefault(&c.Cap, 8*time.Second)
	orDefault(&c.MaxRetryAfter, 60*time.Second)
	orDefault(&c.BudgetRatio, 0.1)
	orDefault(&c.BudgetReserve, 1)
	orDefault(&c.BudgetTTL, 10*time.Second)
	orDefault(&c.TokenRatio, 0.1)
	orDefault(&c.TokenReserve, 20_000)
	orDefault(&c.TokenMultiplier, 2)
	return c
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	c = c.WithDefaults()
	errs := append(c.badDurations(), c.badNumbers()...)
	if !slices.Contains(jitters, c.Jitter) {
		errs = append(errs, fmt.Errorf("jitter: %q is none of %s", c.Jitter, strings.Join(jitters[1:], ", ")))
	}
	if !slices.Contains(growths, c.Growth) {
		errs = append(errs, fmt.Errorf("growth: %q is none of %s", c.Growth, strings.Join(growths[1:], ", ")))
	}
	return errors.Join(errs...)
}

func (c Config) badDurations() (errs []error) {
	for _, d := range []struct {
		name        string
		value       time.Duration
		least, most time.Duration // of what is on
	}{
		{"base", c.Base, time.Millisecond, time.Hour},
		{"throttle_base", c.ThrottleBase, time.Millisecond, time.Hour},
		{"cap", c.Cap, time.Millisecond, time.Hour},
		{"min_delay", c.MinDelay, time.Millisecond, time.Hour},
		{"max_delay", c.MaxDelay, time.Millisecond, time.Hour},
		{"max_retry_after", c.MaxRetryAfter, time.Millisecond, 24 * time.Hour},
		{"budget_ttl", c.BudgetTTL, time.Second, time.Hour},
	} {
		if d.value > 0 && (d.value < d.least || d.value > d.most) {
			errs = append(errs, fmt.Errorf("%s: %s is not between %s and %s", d.name, d.value, d.least, d.most))
		}
	}
	if c.BudgetTTL < 0 {
		errs = append(errs, errors.New("budget_ttl: cannot be off"))
	}
	if c.MaxDelay > 0 && c.MinDelay > c.MaxDelay {
		errs = append(errs, fmt.Errorf("min_delay: %s is above max_delay %s", c.MinDelay, c.MaxDelay))
	}
	return errs
}

func (c Config) badNumbers() (errs []error) {
	off := math.Inf(-1) // what may be negative: off
	for _, f := range []struct {
		name        string
		value       float64
		least, most float64
	}{
		{"max_attempts", float64(c.MaxAttempts), 1, 100},
		{"factor", c.Factor, 1, 100},
		{"budget_ratio", c.BudgetRatio, off, 1},
		{"budget_reserve", c.BudgetReserve, off, 1e6},
		{"token_ratio", c.TokenRatio, off, 1},
		{"token_reserve", c.TokenReserve, off, 1e12},
		{"token_multiplier", c.TokenMultiplier, 1, 100},
	} {
		if math.IsNaN(f.value) || f.value < f.least || f.value > f.most {
			errs = append(errs, fmt.Errorf("%s: %g is not between %g and %g", f.name, f.value, max(f.least, 0), f.most))
		}
	}
	return errs
}
