// Package concurrency bounds how many attempts a target carries at once.
//
// A permit is held from before the attempt is sent until its body has ended, so
// that the limit means what the provider sees: open streams, not requests that
// have not answered yet. Nobody waits here; waiting is the admission room's.
package concurrency

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/holdfast-gateway/holdfast/call"
)

// DefaultMax is the limit of a zero Config.
const DefaultMax = 64

// ceiling is above what one process can carry: more is a mistake of units.
const ceiling = 1_000_000

// Config says how many attempts may be under way at once. The zero value is
// ready to use.
type Config struct {
	// Max is the number of permits, 1 to 1,000,000; default 64; negative:
	// unlimited.
	Max int
}

// WithDefaults returns c with every zero field replaced by its default.
func (c Config) WithDefaults() Config {
	if c.Max == 0 {
		c.Max = DefaultMax
	}
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	var errs []error
	if c.Max > ceiling {
		errs = append(errs, fmt.Errorf("max: %d is above %d", c.Max, ceiling))
	}
	return errors.Join(errs...)
}

// Limit hands out permits. Its methods never wait and may be called from many
// goroutines at once. Make it with New.
type Limit struct {
	max      atomic.Int64 // negative: unlimited
	inFlight atomic.Int64 // never negative
	bugs     atomic.Int64
}

// New returns a Limit with all its permits free.
func New(c Config) *Limit {
	l := &Limit{}
	l.Reconfigure(c)
	return l
}

// TryAcquire takes a permit if one is free. Each success needs one Release.
func (l *Limit) TryAcquire() bool {
	for {
		n := l.inFlight.Load()
		if limit := l.max.Load(); limit >= 0 && n >= limit {
			return false
		}
		if l.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a permit back. One that was never taken is a bug of the caller:
// it is not believed, because a permit too many would stay for ever, and is
// counted in Bugs.
func (l *Limit) Release() {
	for {
		n := l.inFlight.Load()
		if n <= 0 {
			l.bugs.Add(1)
			return
		}
		if l.inFlight.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// Gate takes a permit if one is free and returns the End that gives it back.
// The first call of End counts, later ones are ignored.
func (l *Limit) Gate() (call.End, bool) {
	if !l.TryAcquire() {
		return nil, false
	}
	var ended atomic.Bool
	return func(call.Outcome) {
		if ended.CompareAndSwap(false, true) {
			l.Release()
		}
	}, true
}

// Free reports whether TryAcquire would succeed now.
func (l *Limit) Free() bool {
	limit := l.max.Load()
	return limit < 0 || l.inFlight.Load() < limit
}

// InFlight returns how many permits are held. After Max was lowered it may be
// above Max until enough of them are released.
func (l *Limit) InFlight() int { return int(l.inFlight.Load()) }

// Max returns the number of permits; negative means unlimited.
func (l *Limit) Max() int { return int(l.max.Load()) }

// Bugs returns how many permits were released that had not been taken. It is 0
// in a correct program.
func (l *Limit) Bugs() int { return int(l.bugs.Load()) }

// Reconfigure changes the limit. Permits that are held stay held.
func (l *Limit) Reconfigure(c Config) { l.max.Store(int64(c.WithDefaults().Max)) }
