// Package concurrency bounds how many attempts a target carries at once.
//
// A permit is held from before the attempt is sent until its body has ended, so
// that the limit means what the provider sees: open streams, not requests that
// have not answered yet. Nobody waits here; waiting is the admission room's.
//
// A limit is static, or it is adaptive and finds out how much its target bears.
// A server that decodes a batch of fixed size shows neither in its rate nor in
// the duration of its answers that a queue is growing in it, but in the time to
// the first token. So the limit grows by one in a second while first tokens come
// as soon as they do without a queue, for prompts of that size, and shrinks by a
// tenth, or by the queue that it has estimated, when they come later. After each
// cut, when the queue has gone, it measures again what "without a queue" is. A
// refusal for want of capacity takes three tenths off.
package concurrency

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The defaults of a Config.
const (
	DefaultMax     = 64  // permits of a static limit
	DefaultMost    = 200 // what an adaptive limit grows to
	DefaultLeast   = 1   // what an adaptive limit shrinks to
	DefaultInitial = 20  // what an adaptive limit begins with
)

// The values of Config.Adaptive.
const (
	On  = "on"
	Off = "off"
)

// ceiling is above what one process can carry: more is a mistake of units.
const ceiling = 1_000_000

// Config says how many attempts may be under way at once. The zero value is
// ready to use.
type Config struct {
	// Max is the number of permits, 1 to 1,000,000; default 64; negative:
	// unlimited. Of an adaptive limit it is the most that it grows to; default
	// 200.
	Max int
	// Adaptive is on to find out, between Min and Max, how much the target bears
	// at once: from the time to the first token of streamed answers, by size of
	// prompt, and from refusals for want of capacity. Default: on for servers of
	// one's own (kinds vllm, llamacpp, lmstudio and ollama), off for others.
	Adaptive string `oneof:"on off"`
	// Min is the least that an adaptive limit shrinks to, 1 to Max; default 1.
	Min int
	// Initial is what an adaptive limit begins with, between Min and Max; default
	// 20.
	Initial int
}

// WithDefaults returns c with every zero field replaced by its default. An empty
// Adaptive is off: whose server it is, others know.
func (c Config) WithDefaults() Config {
	if c.Adaptive != On {
		c.Adaptive = Off
		if c.Max == 0 {
			c.Max = DefaultMax
		}
		return c
	}
	switch {
	case c.Max == 0:
		c.Max = max(DefaultMost, c.Min, c.Initial)
	case c.Max < 0:
		c.Max = ceiling
	}
	if c.Min <= 0 {
		c.Min = DefaultLeast
	}
	if c.Initial <= 0 {
		c.Initial = min(max(DefaultInitial, c.Min), c.Max)
	}
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	var errs []error
	for _, s := range []struct {
		name  string
		value int
	}{{"max", c.Max}, {"min", c.Min}, {"initial", c.Initial}} {
		if s.value > ceiling {
			errs = append(errs, fmt.Errorf("%s: %d is above %d", s.name, s.value, ceiling))
		}
	}
	if c.Adaptive != "" && c.Adaptive != On && c.Adaptive != Off {
		errs = append(errs, fmt.Errorf("adaptive: %q is none of on, off", c.Adaptive))
	}
	for _, s := range []struct {
		name  string
		value int
	}{{"min", c.Min}, {"initial", c.Initial}} {
		if s.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is below 1", s.name, s.value))
		}
		if c.Max > 0 && s.value > c.Max {
			errs = append(errs, fmt.Errorf("%s: %d is above max, which is %d", s.name, s.value, c.Max))
		}
	}
	if c.Initial > 0 && c.Initial < c.Min {
		errs = append(errs, fmt.Errorf("initial: %d is below min, which is %d", c.Initial, c.Min))
	}
	return errors.Join(errs...)
}

// Limit hands out permits. Its methods never wait and may be called from many
// goroutines at once. Make it with New.
type Limit struct {
	max      atomic.Int64 // in force; negative: unlimited
	inFlight atomic.Int64 // never negative

	adaptive atomic.Bool // there is a finder
	mu       sync.Mutex
	finder   *finder // nil: static
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
// it is not believed, because a permit too many would stay for ever.
func (l *Limit) Release() {
	for {
		n := l.inFlight.Load()
		if n <= 0 || l.inFlight.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// Free reports whether TryAcquire would succeed now.
func (l *Limit) Free() bool {
	limit := l.max.Load()
	return limit < 0 || l.inFlight.Load() < limit
}

// InFlight returns how many permits are held. After Max was lowered it may be
// above Max until enough of them are released.
func (l *Limit) InFlight() int { return int(l.inFlight.Load()) }

// Max returns the number of permits now; negative means unlimited.
func (l *Limit) Max() int { return int(l.max.Load()) }

// FirstToken tells an adaptive limit that the first token of an answer came now,
// after that long from sending, to a prompt of about so many tokens. The time of
// one that never came is how long it was waited for; of an answer whose first
// token nobody saw, because it was not streamed, it is 0. A static limit ignores
// it. It reports whether the limit has grown.
func (l *Limit) FirstToken(tokens int, after time.Duration) (grown bool) {
	if !l.adaptive.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.finder == nil {
		return false
	}
	l.finder.observe(time.Now(), tokens, after, int(l.inFlight.Load()))
	return l.enforce()
}

// Refused tells an adaptive limit that the target had no capacity for an attempt
// (503, 529, or a 429 that is about calls at once). A static limit ignores it.
func (l *Limit) Refused() {
	if !l.adaptive.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.finder != nil {
		l.finder.refused(time.Now())
		l.enforce()
	}
}

// enforce puts what the finder has found in force. Called under the lock.
func (l *Limit) enforce() (grown bool) {
	found := int64(l.finder.limit)
	return l.max.Swap(found) < found
}

// Snapshot is what a Limit knows at one moment.
type Snapshot struct {
	Limit    int // permits now; negative: unlimited
	InFlight int // of these, held
	Adaptive bool
	Min, Max int     // bounds of an adaptive limit
	Ratio    float64 // of an adaptive limit: the usual first token of the last window, by what it is without a queue; 0 unknown
}

// Snapshot returns what l knows now.
func (l *Limit) Snapshot() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Limit: l.Max(), InFlight: l.InFlight()}
	if f := l.finder; f != nil {
		s.Adaptive, s.Min, s.Max, s.Ratio = true, int(f.least), int(f.most), f.ratio
	}
	return s
}

// Reconfigure changes the limit. Permits that are held stay held, and an adaptive
// limit keeps what it has found, within the new bounds.
func (l *Limit) Reconfigure(c Config) {
	c = c.WithDefaults()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adaptive.Store(c.Adaptive == On)
	if c.Adaptive != On {
		l.finder = nil
		l.max.Store(int64(c.Max))
		return
	}
	if l.finder == nil {
		l.finder = newFinder(float64(c.Initial))
	}
	l.finder.bound(float64(c.Min), float64(c.Max))
	l.enforce()
}
