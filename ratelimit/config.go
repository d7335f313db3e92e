package ratelimit

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// The meters a limit can have.
const (
	ModeGCRA   = "gcra"
	ModeWindow = "window"
)

const (
	defaultKeys = 65_536
	maxKeys     = 16 << 20
	maxPoints   = 1_000_000_000_000
	maxPeriod   = 31 * 24 * time.Hour
)

// Config is one limit. Points and Duration are required; another zero field
// means the default beside it.
type Config struct {
	// Points is how much may be used in Duration: calls, or tokens, whatever the
	// costs given to Take count. 1 to 1e12.
	Points int64

	// Duration is the time in which Points may be used; 1 ns to 31 days.
	Duration time.Duration

	// Burst is how much may be used at once (gcra only); default Points. A cost
	// above it is let through when nothing at all is in use, and paid off
	// afterwards, since it would never fit otherwise.
	Burst int64

	// BlockFor is the penalty box: who goes over the limit is refused for this
	// long, at least until the points are back. Calls during it do not extend it.
	// Default 0, none; at most 31 days.
	BlockFor time.Duration

	// Mode is ModeGCRA (default) or ModeWindow. A window lets up to twice Points
	// through around its end.
	Mode string

	// Compat makes a window behave as rate-limiter-flexible does: refused calls
	// count, and the penalty box replaces the window, so that a box shorter than
	// the window lets a key in early. Window only.
	Compat bool

	// Shadow counts what would be refused and refuses nothing.
	Shadow bool

	// MaxKeys is about how many keys are kept, 1 to 16,777,216; default 65,536. A
	// key takes about 64 bytes. See the package's page for what happens above it.
	MaxKeys int
}

// WithDefaults returns c with every zero field replaced by its default.
func (c Config) WithDefaults() Config {
	if c.Mode == "" {
		c.Mode = ModeGCRA
	}
	if c.Burst == 0 || c.Mode == ModeWindow {
		c.Burst = c.Points
	}
	if c.MaxKeys == 0 {
		c.MaxKeys = defaultKeys
	}
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Points < 1 || c.Points > maxPoints, "points: %d is not between 1 and %d", c.Points, int64(maxPoints))
	check(c.Duration < 1 || c.Duration > maxPeriod, "duration: %s is not between 1ns and %s", c.Duration, maxPeriod)
	check(c.Burst < 0 || c.Burst > maxPoints, "burst: %d is not between 1 and %d", c.Burst, int64(maxPoints))
	check(c.BlockFor < 0 || c.BlockFor > maxPeriod, "block_for: %s is not between 0 and %s", c.BlockFor, maxPeriod)
	check(c.Mode != "" && c.Mode != ModeGCRA && c.Mode != ModeWindow, "mode: %q is none of %s, %s", c.Mode, ModeGCRA, ModeWindow)
	check(c.Mode == ModeWindow && c.Burst != 0 && c.Burst != c.Points, "burst: a window has none, all its points may be used at once")
	check(c.Mode != ModeWindow && c.Compat, "compat: only a window (mode: window) can behave as rate-limiter-flexible")
	check(c.MaxKeys < 0 || c.MaxKeys > maxKeys, "max_keys: %d is not between 1 and %d", c.MaxKeys, maxKeys)
	if len(errs) == 0 && c.refill() > maxPeriod {
		check(true, "burst: %d points take longer than %s to come back", c.Burst, maxPeriod)
	}
	return errors.Join(errs...)
}

// refill is how long the whole burst takes to come back; above maxPeriod it is
// only known to be so.
func (c Config) refill() time.Duration {
	c = c.WithDefaults()
	burst, duration, points := uint64(c.Burst), uint64(c.Duration), uint64(c.Points) //nolint:gosec // none is negative: they were checked
	hi, lo := bits.Mul64(burst, duration)
	if hi >= points {
		return maxPeriod + 1
	}
	d, _ := bits.Div64(hi, lo, points)
	return time.Duration(min(d, uint64(maxPeriod+1)))
}
