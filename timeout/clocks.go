package timeout

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// The names of the clocks, as they stand in Error.Clock, in call.Outcome.Clock
// and in metrics.
const (
	ClockConnect     = "connect"
	ClockHeaders     = "headers"
	ClockFirstToken  = "first_token"
	ClockIdle        = "idle"
	ClockStall       = "stall"
	ClockAttempt     = "attempt"
	ClockStreamTotal = "stream_total"
	ClockLinger      = "linger"
	ClockCommitBy    = "commit_by" // the call's deadline; kept by whoever waits for the call
)

// Error says which clock ended an attempt. It is a net.Error whose Timeout is
// true, and errors.Is finds context.DeadlineExceeded in it.
type Error struct {
	Clock string        // one of the Clock names
	Limit time.Duration // what the clock was set to
}

// Error names the clock and its limit.
func (e *Error) Error() string {
	return fmt.Sprintf("timeout: the %s clock ended the attempt after %s", e.Clock, e.Limit)
}

// Timeout is true.
func (e *Error) Timeout() bool { return true }

// Temporary is true: it makes Error a net.Error.
func (e *Error) Temporary() bool { return true }

// Is makes errors.Is(e, context.DeadlineExceeded) true.
func (e *Error) Is(target error) bool { return target == context.DeadlineExceeded }

// clock is an index: one of the clocks that an attempt runs.
type clock uint8

const (
	idle clock = iota // this and the next come first, since every event changes them
	stall
	connect
	headers
	firstToken
	attempt
	streamTotal
	linger
	slow // cancels nothing, tells once
	numClocks
)

var names = [numClocks]string{idle: ClockIdle, stall: ClockStall, connect: ClockConnect, headers: ClockHeaders,
	firstToken: ClockFirstToken, attempt: ClockAttempt, streamTotal: ClockStreamTotal, linger: ClockLinger, slow: "slow"}

// order is who is named where two expire in the same moment: the first.
var order = [numClocks]clock{connect, headers, firstToken, idle, stall, attempt, streamTotal, linger, slow}

// never stands for a time that does not come.
const never = time.Duration(math.MaxInt64)

// Clocks are the running clocks of one attempt. They hold one timer. Every
// method may be called at any time, from any goroutine, in any order and more
// than once; what makes no sense does nothing.
//
// Reading, Byte and Meaningful are made for every event of a stream: they note the
// time, look at the clock only where it has gone on, and touch no timer. The timer
// finds out when it fires whether a clock has expired, and else sets itself again
// for the earliest that still can.
type Clocks struct {
	// What every event touches stands in front: between two events of a stream it
	// leaves the caches.
	start    time.Time
	mu       sync.Mutex
	spoken   bool // something meaningful has come
	done     bool // expired or stopped
	stream   bool
	quiet    bool
	armed    time.Duration            // when the timer fires; all times count from start
	paused   time.Duration            // when the caller stopped reading; never: it reads
	patience time.Duration            // the shorter one of idle and stall; never: neither is set
	since    [numClocks]time.Duration // when the clock began to count; never: it does not run
	limits   [numClocks]time.Duration
	timer    *time.Timer
	cancel   func(error)
	slow     func()
}

// Start starts the clocks of an attempt that is sent now: attempt, first_token,
// headers and slow count from here.
//
// When a clock expires, cancel is called once, with an *Error, from a goroutine
// of its own. It is not called for a clock that had not expired when Stop was
// called; one that expired at the same moment may still be telling. slow, which
// may be nil, is called at most once and ends nothing. Neither is called under a
// lock. Stop must be called when the attempt is over.
func Start(l Limits, cancel func(cause error), tellSlow func()) *Clocks {
	c := &Clocks{}
	c.Start(time.Now(), l, cancel, tellSlow)
	return c
}

// Start is the function Start for zero Clocks of the caller's, which must not be
// copied afterwards, and an attempt that was sent at a moment just gone. It is
// called once.
func (c *Clocks) Start(at time.Time, l Limits, cancel func(cause error), tellSlow func()) {
	c.start, c.cancel, c.slow, c.stream = at, cancel, tellSlow, l.Stream
	c.quiet = l.QuietStart && l.FirstToken > 0 // without first_token nobody would watch
	c.limits = [numClocks]time.Duration{connect: l.Connect, headers: l.Headers, firstToken: l.FirstToken, idle: l.Idle,
		stall: l.Stall, attempt: l.Attempt, streamTotal: l.StreamTotal, slow: l.Slow}
	c.armed, c.paused, c.patience = never, never, never
	for _, k := range [...]clock{idle, stall} {
		if c.limits[k] > 0 {
			c.patience = min(c.patience, c.limits[k])
		}
	}
	if tellSlow == nil {
		c.limits[slow] = 0
	}
	for i := range c.since {
		c.since[i] = never
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range [...]clock{attempt, firstToken, headers, slow} {
		c.since[k] = 0
	}
	c.arm(0)
}

// Connecting says that a new connection is being made: connect runs.
func (c *Clocks) Connecting() {
	c.change(func(now time.Duration) {
		if c.since[headers] != never {
			c.since[connect] = now
		}
	})
}

// Connected says that the connection is ready: connect stops, and headers
// counts from here.
func (c *Clocks) Connected() {
	c.change(func(now time.Duration) {
		c.since[connect] = never
		if c.since[headers] != never {
			c.since[headers] = now
		}
	})
}

// Headers says that status and headers have come: connect and headers stop and
// idle runs. An answer that is no stream is not slow any more.
func (c *Clocks) Headers() {
	c.change(func(now time.Duration) {
		c.since[connect], c.since[headers] = never, never
		if !c.stream {
			c.since[slow] = never
		}
		if !c.quiet || c.spoken {
			c.since[idle] = now
		}
	})
}

// Byte says that some of the body has come.
func (c *Clocks) Byte() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since[idle] != never {
		c.since[idle] = c.standing()
	}
}

// Meaningful says that a meaningful event of a stream has come. The first one
// stops first_token and slow and lets stall run.
func (c *Clocks) Meaningful() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over():
	case c.spoken:
		c.since[stall] = c.standing()
	default:
		c.speak(c.now())
	}
}

// Commit says that the first meaningful event of a stream goes to the caller:
// it is Meaningful, attempt stops and stream_total runs.
func (c *Clocks) Commit() {
	c.change(func(now time.Duration) {
		c.speak(now)
		c.since[attempt] = never
		if c.since[streamTotal] == never {
			c.since[streamTotal] = now
		}
	})
}

// Linger says that the stream's terminator has come: every clock stops, and the
// body may stay open for d. With d of 0 or less it is Stop.
func (c *Clocks) Linger(d time.Duration) {
	if d <= 0 {
		c.Stop()
		return
	}
	c.change(func(now time.Duration) {
		for i := range c.since {
			c.since[i] = never
		}
		c.limits[linger], c.since[linger] = d, now
	})
}

// Reading says whether the caller reads, which it does at first. While it does
// not, idle and stall stand still: a slow reader must not make the provider look
// stalled.
func (c *Clocks) Reading(reading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() || reading == (c.paused == never) {
		return
	}
	now := c.now()
	if !reading {
		c.paused = now
		return
	}
	sooner := false
	for _, k := range [...]clock{idle, stall} {
		if c.since[k] != never {
			c.since[k] = now - max(0, c.paused-c.since[k])
			sooner = sooner || c.armed-c.since[k] > c.patience
		}
	}
	c.paused = never
	if sooner {
		c.arm(now)
	}
}

// Stop ends all clocks and frees the timer. It may be called twice.
func (c *Clocks) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

func (c *Clocks) now() time.Duration { return time.Since(c.start) }

// standing is the time at which idle and stall stand: now, or since when the
// caller has not read. Called under the lock.
func (c *Clocks) standing() time.Duration {
	if c.paused != never {
		return c.paused
	}
	return c.now()
}

// change applies a change of what runs and sets the timer if that brought a
// deadline nearer.
func (c *Clocks) change(apply func(now time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() {
		return
	}
	now := c.now()
	apply(now)
	c.arm(now)
}

// over is true when nothing counts any more but linger, if that. Called under
// the lock.
func (c *Clocks) over() bool { return c.done || c.since[linger] != never }

// speak notes a meaningful event. Called under the lock.
func (c *Clocks) speak(now time.Duration) {
	c.spoken = true
	c.since[firstToken], c.since[slow] = never, never
	c.since[stall] = now
	if c.quiet && c.since[idle] == never && c.since[headers] == never {
		c.since[idle] = now
	}
	c.arm(now)
}

// next returns the clock that expires first, and when. Called under the lock.
func (c *Clocks) next() (first clock, at time.Duration) {
	at = never
	for _, k := range order {
		if c.limits[k] <= 0 || c.since[k] == never {
			continue
		}
		if c.paused != never && (k == idle || k == stall) {
			continue
		}
		if due := c.since[k] + c.limits[k]; due < at {
			first, at = k, due
		}
	}
	return first, at
}

// arm sets the timer if it would fire too late. A timer that fires too early is
// left alone: it costs less than setting it. Called under the lock.
func (c *Clocks) arm(now time.Duration) {
	_, at := c.next()
	if at >= c.armed {
		return
	}
	c.armed = at
	if c.timer == nil {
		c.timer = time.AfterFunc(at-now, c.fire)
		return
	}
	c.timer.Reset(at - now)
}

// fire is what the timer runs.
func (c *Clocks) fire() {
	expired, late := c.check()
	if late {
		c.slow()
	}
	if expired != nil {
		c.cancel(expired)
	}
}

// check finds the clock that expired, if one did, and whether slow passed.
func (c *Clocks) check() (expired *Error, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = never
	if c.done {
		return nil, false
	}
	now := c.now()
	for {
		k, at := c.next()
		if at > now {
			c.arm(now)
			return nil, late
		}
		if k != slow {
			c.done = true
			return &Error{Clock: names[k], Limit: c.limits[k]}, late
		}
		c.since[slow], late = never, true
	}
}
