package retry

import (
	"math"
	"math/rand/v2"
	"time"
)

// Backoff returns how long to wait before the n-th retry on the same target (1
// is the first) when nobody said how long. throttle says that the target was
// busy rather than broken. prev is the wait before this one, 0 if there was
// none; only decorrelated jitter reads it. rnd returns numbers in [0, 1); nil is
// math/rand/v2. The result is never negative and at most Cap, or lies between MinDelay and MaxDelay where both are set.
func (c Config) Backoff(n int, throttle bool, prev time.Duration, rnd func() float64) time.Duration {
	c = c.WithDefaults()
	if rnd == nil {
		rnd = rand.Float64
	}
	if c.MinDelay > 0 && c.MaxDelay > 0 {
		return c.MinDelay + scale(max(0, c.MaxDelay-c.MinDelay), rnd())
	}
	base, jitter := max(0, c.Base), c.Jitter
	if throttle {
		base = max(0, c.ThrottleBase)
	}
	if jitter == JitterByCause {
		jitter = JitterFull
		if throttle {
			jitter = JitterEqual
		}
	}
	most := c.Cap
	if most < 0 {
		most = time.Hour
	}
	d := min(most, scale(base, c.growth(n)))
	return min(most, spread(jitter, d, base, prev, rnd()))
}

// growth returns how many times the base the n-th wait is, before cap and jitter.
func (c Config) growth(n int) float64 {
	if c.Growth == GrowthFibonacci {
		return fibonacci(n)
	}
	return math.Pow(max(1, c.Factor), float64(max(0, n-1)))
}

// fibonacci returns the n-th of 1, 1, 2, 3, 5; beyond the 100th all waits are at
// their cap.
func fibonacci(n int) float64 {
	a, b := 1.0, 1.0
	for range min(n, 100) - 1 {
		a, b = b, a+b
	}
	return a
}

// spread applies a kind of jitter to d with a random r in [0, 1).
func spread(jitter string, d, base, prev time.Duration, r float64) time.Duration {
	switch jitter {
	case JitterNone:
		return d
	case JitterEqual:
		return d/2 + scale(d-d/2, r)
	case JitterPRetry:
		return scale(d, 1+r)
	case JitterPythonRandom:
		return d + scale(min(time.Second, math.MaxInt64-d), r)
	case JitterDecorrelated:
		return base + scale(max(0, scale(max(prev, base), 3)-base), r)
	default: // full, python-full
		return scale(d, r)
	}
}

// scale multiplies without overflow.
func scale(d time.Duration, by float64) time.Duration {
	product := float64(d) * by
	if product >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(product)
}

// Delay returns how long to wait when the provider may have said how long: the
// backoff if it has not (hasWait is false), else the longer of the two and up
// to a tenth of wait on top (at most 1 s), so that those who were told the same
// do not come back at the same instant. It is never shorter than wait. Whether
// wait is too long to be waited for (MaxRetryAfter, the deadline) is for the
// caller to decide before.
func (c Config) Delay(backoff, wait time.Duration, hasWait bool, rnd func() float64) time.Duration {
	backoff = max(0, backoff)
	if !hasWait || wait <= 0 {
		return backoff
	}
	if rnd == nil {
		rnd = rand.Float64
	}
	least := max(backoff, wait)
	extra := scale(min(wait/10, time.Second), rnd())
	if least > math.MaxInt64-extra {
		return least
	}
	return least + extra
}
