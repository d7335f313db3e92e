package ratelimit

import "math"

// meter is the arithmetic of one limit. Times are nanoseconds since its Limiter
// was made.
//
// A GCRA is kept as the level of a bucket that leaks: a point weighs `point`, and
// `leak` flows out each nanosecond. Both are whole numbers without a common
// factor, so that nothing is rounded and a limit of 3 a second gives exactly 3.
type meter struct {
	window   bool
	compat   bool
	point    int64 // weight of one point
	leak     int64 // weight that flows out in one nanosecond; 0 in a window
	capacity int64 // weight that fits
	deepest  int64 // debts are forgiven below this, in weight
	period   int64 // length of a window, ns
	block    int64 // penalty box, ns
}

// ceilingWeight keeps sums of two weights, and a debt of ten bursts, within an
// int64.
const ceilingWeight = math.MaxInt64 / 32

func newMeter(c Config) meter {
	m := meter{window: c.Mode == ModeWindow, compat: c.Compat, period: int64(c.Duration), block: int64(c.BlockFor)}
	if m.window {
		m.point, m.capacity = 1, c.Points
	} else {
		m.point, m.leak = ratio(int64(c.Duration), c.Points, c.Burst)
		m.capacity = c.Burst * m.point
	}
	m.deepest = 11 * m.capacity
	return m
}

// ratio reduces duration/points to its smallest terms. Where a burst would not
// fit into 64 bits even so, the rate is rounded down, by less than one part in a
// thousand for the longest durations.
func ratio(duration, points, burst int64) (point, leak int64) {
	g := gcd(duration, points)
	point, leak = duration/g, points/g
	for burst > ceilingWeight/point {
		point, leak = point/2+point%2, leak/2
	}
	return point, max(leak, 1)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// cell is what is known of one key.
type cell struct {
	hash  uint64
	level int64 // weight in use
	at    int64 // gcra: when level was true; window: when it ends, 0 none has begun
	since int64 // since when the level has not been 0; which window
	until int64 // end of the penalty box; 0 none
}

// pass lets time pass for a cell.
func (m *meter) pass(c *cell, now int64) {
	if c.until != 0 && now >= c.until {
		c.until = 0
		if m.compat {
			c.level, c.at = 0, 0
		}
	}
	if m.window {
		if c.at != 0 && now >= c.at && (!m.compat || c.until == 0) {
			c.level, c.at = 0, 0
		}
		return
	}
	elapsed := now - c.at
	if elapsed <= 0 { // two callers read the clock in another order than they came here
		return
	}
	c.at = now
	if elapsed >= divUp(c.level, m.leak) {
		c.level = 0
		return
	}
	c.level -= elapsed * m.leak
}

// idle reports whether a cell can be told from a new one; time must have passed.
func (m *meter) idle(c *cell) bool {
	return c.until == 0 && c.level == 0 && (!m.window || c.at == 0)
}

// weigh returns the weight of a cost. It is held below what can ever be owed.
func (m *meter) weigh(cost int64) int64 {
	switch {
	case cost <= 0:
		return 0
	case cost > m.deepest/m.point:
		return m.deepest
	}
	return cost * m.point
}

// fits reports whether a weight may be added now.
func (m *meter) fits(c *cell, weight int64) bool {
	switch {
	case c.until != 0:
		return false
	case weight == 0:
		return true
	case weight > m.capacity:
		return !m.window && c.level == 0
	}
	return c.level+weight <= m.capacity
}

// add charges a weight, which may be more than fits.
func (m *meter) add(c *cell, weight, now int64) {
	if weight == 0 {
		return
	}
	if m.window && c.at == 0 {
		c.since, c.at = now, now+m.period
	}
	if !m.window && c.level == 0 {
		c.since = now
	}
	c.level = min(c.level+weight, m.deepest)
}

// give takes a weight back that was charged in the stretch that began at since.
// When the level has been 0 in between there is nothing left of it to give back:
// the bucket would be as it is without it.
func (m *meter) give(c *cell, weight, since int64) {
	if c.since == since {
		c.level = max(0, c.level-weight)
	}
}

// punish puts a cell that went over the limit into the penalty box.
func (m *meter) punish(c *cell, weight, now int64) {
	if c.until != 0 {
		return
	}
	if m.compat {
		m.add(c, weight, now)
	}
	if m.block == 0 {
		return
	}
	c.until = now + m.block
	if !m.compat {
		c.until = max(c.until, now+m.wait(c, weight, now))
	}
}

// wait is how long it takes until a weight fits.
func (m *meter) wait(c *cell, weight, now int64) int64 {
	wait := max(0, c.until-now)
	switch {
	case m.window:
		if c.until == 0 || !m.compat {
			wait = max(wait, c.at-now)
		}
	case weight > m.capacity:
		wait = max(wait, divUp(c.level, m.leak))
	case c.level+weight > m.capacity:
		wait = max(wait, divUp(c.level+weight-m.capacity, m.leak))
	}
	return wait
}

// left returns the points that may be used now and when all are back.
func (m *meter) left(c *cell, now int64) (remaining, reset int64) {
	if m.window {
		reset = m.wait(c, 0, now)
	} else {
		reset = max(divUp(c.level, m.leak), c.until-now, 0)
	}
	if c.until != 0 {
		return 0, reset
	}
	return max(0, m.capacity-c.level) / m.point, reset
}

func divUp(a, b int64) int64 { return (a + b - 1) / b }
