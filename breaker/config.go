package breaker

import (
	"errors"
	"fmt"
	"time"
)

// Config says when a Breaker opens, how it tries again and how it closes. The
// zero value is ready to use: a zero field means the default beside it.
type Config struct {
	// Consecutive opens after this many failures in a row; only a success
	// starts the count again. Default 5; negative: never for this reason.
	Consecutive int

	// Ratio opens when at least this share of the outcomes in Window are
	// failures. In (0, 1]; default 0.5; negative: never for this reason.
	Ratio float64

	// MinCalls is how many outcomes Window must hold before Ratio or SlowRatio
	// may open. At least 1; default 10.
	MinCalls int

	// Window is how far back outcomes count, in ten steps, by the time they
	// were known. At least 10 ms; default 60 s. It may be shorter than the calls.
	Window time.Duration

	// SlowRatio opens when at least this share of the attempts in Window had no
	// content after SlowAfter. In (0, 1]; default 0.8; negative: never for this
	// reason.
	SlowRatio float64

	// SlowAfter is when an attempt without a first token is slow. The Breaker
	// does not watch the clock of an attempt; who does calls Permit.Slow.
	// Default 10 s; negative: no attempt is slow.
	SlowAfter time.Duration

	// OpenFor is the longest the circuit stays open before the first probe; the
	// true time is between one half of it and all of it. Default 15 s.
	OpenFor time.Duration

	// OpenForConsecutive, OpenForRatio and OpenForSlow replace OpenFor when the
	// circuit opened for that reason. Default: OpenFor.
	OpenForConsecutive time.Duration
	OpenForRatio       time.Duration
	OpenForSlow        time.Duration

	// MaxOpen bounds the open time, which doubles with every failed probe once
	// the outage is older than two minutes. Not below any OpenFor; default
	// 300 s, or the longest OpenFor if that is more; negative: no doubling.
	MaxOpen time.Duration

	// Lease is how long a half-open probe may occupy its place without a first
	// token or an end; then another one may go. Default 30 s.
	Lease time.Duration

	// Probes is how many half-open probes may hold a lease at once. Default 1.
	Probes int

	// Successes is how many probes must be good before the circuit closes.
	// Default 2.
	Successes int

	// Ramp is how long the admitted share grows from 25 % to 100 % after the
	// circuit has closed. Default 8 s; negative: everything at once.
	Ramp time.Duration

	// WarmUp is how long a new circuit is not opened by what it counts, however
	// many attempts fail. New is one of a process that has just begun; a changed
	// Config begins nothing. Default 0, none; negative: none.
	WarmUp time.Duration

	// Throttle sheds a growing share of the attempts while the target refuses
	// many: it is sent at most about this many times what it accepts, and always a
	// tenth of what it is asked. From 1 to 100, 2 is usual; default 0, off; negative:
	// off. It works while the circuit is closed, and begins where more than
	// 1 - 1/Throttle of the attempts fail: make Ratio larger than that, or negative,
	// and Consecutive too.
	Throttle float64

	// ThrottleWindow is how far back Throttle looks, in ten steps. At least 10 ms;
	// default 2 min. It sheds nothing before MinCalls attempts have ended in it.
	ThrottleWindow time.Duration

	// Off admits everything and counts nothing. Opening by hand still works.
	Off bool
}

// WithDefaults returns c with every zero field replaced by its default.
func (c Config) WithDefaults() Config {
	defaultTo(&c.Consecutive, 5)
	defaultTo(&c.Ratio, 0.5)
	defaultTo(&c.MinCalls, 10)
	defaultTo(&c.Window, 60*time.Second)
	defaultTo(&c.SlowRatio, 0.8)
	defaultTo(&c.SlowAfter, 10*time.Second)
	defaultTo(&c.OpenFor, 15*time.Second)
	defaultTo(&c.OpenForConsecutive, c.OpenFor)
	defaultTo(&c.OpenForRatio, c.OpenFor)
	defaultTo(&c.OpenForSlow, c.OpenFor)
	defaultTo(&c.MaxOpen, max(300*time.Second, c.longestOpen()))
	defaultTo(&c.Lease, 30*time.Second)
	defaultTo(&c.Probes, 1)
	defaultTo(&c.Successes, 2)
	defaultTo(&c.Ramp, 8*time.Second)
	defaultTo(&c.ThrottleWindow, 2*time.Minute)
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	// Written so that NaN is wrong too.
	wrong(!(c.Ratio <= 1), "ratio: %v is not in (0, 1] and not negative (off)", c.Ratio)
	wrong(!(c.SlowRatio <= 1), "slow_ratio: %v is not in (0, 1] and not negative (off)", c.SlowRatio)
	wrong(c.MinCalls < 1, "min_calls: %d is below 1", c.MinCalls)
	wrong(c.Window < 10*time.Millisecond, "window: %s is below 10ms", c.Window)
	wrong(!(c.Throttle <= 0 || c.Throttle >= 1 && c.Throttle <= 100), "throttle: %v is not from 1 to 100 and not negative (off)", c.Throttle)
	wrong(c.ThrottleWindow < 10*time.Millisecond, "throttle_window: %s is below 10ms", c.ThrottleWindow)
	wrong(c.OpenFor < 0, "open_for: %s is negative", c.OpenFor)
	wrong(c.OpenForConsecutive < 0 && c.OpenFor >= 0, "open_for_consecutive: %s is negative", c.OpenForConsecutive)
	wrong(c.OpenForRatio < 0 && c.OpenFor >= 0, "open_for_ratio: %s is negative", c.OpenForRatio)
	wrong(c.OpenForSlow < 0 && c.OpenFor >= 0, "open_for_slow: %s is negative", c.OpenForSlow)
	wrong(c.MaxOpen >= 0 && c.MaxOpen < c.longestOpen(), "max_open: %s is below the open time %s", c.MaxOpen, c.longestOpen())
	wrong(c.Lease < 0, "lease: %s is negative", c.Lease)
	wrong(c.Probes < 0, "probes: %d is negative", c.Probes)
	wrong(c.Successes < 0, "successes: %d is negative", c.Successes)
	return errors.Join(errs...)
}

func (c Config) longestOpen() time.Duration {
	return max(c.OpenFor, c.OpenForConsecutive, c.OpenForRatio, c.OpenForSlow)
}

// openFor returns the open time for a cause, before doubling and jitter.
func (c Config) openFor(cause string) time.Duration {
	switch cause {
	case CauseConsecutive:
		return c.OpenForConsecutive
	case CauseRatio:
		return c.OpenForRatio
	case CauseSlow:
		return c.OpenForSlow
	}
	return c.OpenFor
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
