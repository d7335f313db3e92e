package timeout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ending is what a test saw of its clocks.
type ending struct {
	began time.Time

	mu sync.Mutex
	seen
}

type seen struct {
	clock string
	after time.Duration
	calls int
	slow  int
}

// watched starts clocks and notes what they tell.
func watched(l Limits) (*Clocks, *ending) {
	e := &ending{began: time.Now()}
	c := Start(l, func(cause error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		var expired *Error
		if errors.As(cause, &expired) {
			e.clock = expired.Clock
		}
		e.after = time.Since(e.began)
		e.calls++
	}, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.slow++
	})
	return c, e
}

// now returns what was told so far, when everything that is due has been.
func (e *ending) now() seen {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// bubble runs a test in virtual time with clocks that are stopped in the end.
func bubble(t *testing.T, l Limits, run func(t *testing.T, c *Clocks, e *ending)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, e := watched(l)
		defer c.Stop()
		run(t, c, e)
	})
}

func (e *ending) want(t *testing.T, clock string, after time.Duration) {
	t.Helper()
	calls := 1
	if clock == "" {
		calls = 0
	}
	if got := e.now(); got.clock != clock || got.after != after || got.calls != calls {
		t.Fatalf("got %q after %s (%d cancels), want %q after %s", got.clock, got.after, got.calls, clock, after)
	}
}

var streamLimits = Limits{
	Connect: 5 * time.Second, Headers: 20 * time.Second, FirstToken: 30 * time.Second, Idle: 30 * time.Second,
	Stall: 120 * time.Second, Attempt: 100 * time.Second, StreamTotal: time.Hour, Stream: true,
}

func TestAConnectionThatIsNotMadeEndsByConnect(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		time.Sleep(time.Second) // waiting for a free connection is not connecting
		c.Connecting()
		time.Sleep(time.Minute)
		e.want(t, ClockConnect, 6*time.Second)
	})
}

func TestHeadersThatDoNotComeEndByHeaders(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		c.Connecting()
		time.Sleep(4 * time.Second)
		c.Connected()
		time.Sleep(time.Minute)
		e.want(t, ClockHeaders, 24*time.Second)
	})
}

func TestAStreamOfPingsEndsByFirstToken(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		for range 60 {
			time.Sleep(time.Second)
			c.Byte()
		}
		e.want(t, ClockFirstToken, 30*time.Second)
	})
}

func TestSilenceAfterTheHeadersEndsByIdle(t *testing.T) {
	limits := streamLimits
	limits.Idle = 3 * time.Second
	bubble(t, limits, func(t *testing.T, c *Clocks, e *ending) {
		time.Sleep(2 * time.Second)
		c.Headers()
		time.Sleep(2 * time.Second)
		c.Byte()
		time.Sleep(time.Minute)
		e.want(t, ClockIdle, 7*time.Second)
	})
}

func TestAReasoningModelMayBeSilentUntilItsFirstToken(t *testing.T) {
	limits := streamLimits
	limits.FirstToken, limits.Attempt, limits.QuietStart = 180*time.Second, 180*time.Second, true
	bubble(t, limits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		c.Byte()
		time.Sleep(170 * time.Second)
		c.Byte()
		c.Commit()
		e.want(t, "", 0)
		time.Sleep(time.Minute)
		e.want(t, ClockIdle, 200*time.Second)
	})
}

func TestAQuietStartWithoutAFirstTokenClockIsWatchedByIdle(t *testing.T) {
	bubble(t, Limits{Idle: 30 * time.Second, QuietStart: true, Stream: true}, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		time.Sleep(time.Minute)
		e.want(t, ClockIdle, 30*time.Second)
	})
}

func TestPingsDoNotHideAStall(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		time.Sleep(10 * time.Second)
		c.Commit()
		for range 300 {
			time.Sleep(time.Second)
			c.Byte()
		}
		e.want(t, ClockStall, 130*time.Second)
	})
}

func TestALivelyStreamRunsFarBeyondItsAttemptUntilStreamTotal(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		time.Sleep(10 * time.Second)
		c.Commit()
		for range 800 {
			time.Sleep(5 * time.Second)
			c.Byte()
			c.Meaningful()
		}
		e.want(t, ClockStreamTotal, time.Hour+10*time.Second)
	})
}

func TestAnAnswerThatIsNotStreamedEndsByAttempt(t *testing.T) {
	bubble(t, Limits{Idle: 30 * time.Second, Attempt: 120 * time.Second}, func(t *testing.T, c *Clocks, e *ending) {
		time.Sleep(100 * time.Second) // no headers yet: idle does not run
		c.Headers()
		for range 100 {
			time.Sleep(time.Second)
			c.Byte()
		}
		e.want(t, ClockAttempt, 120*time.Second)
	})
}

func TestMeaningfulEventsBeforeTheCommitLeaveAttemptRunning(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		for range 200 {
			time.Sleep(time.Second)
			c.Byte()
			c.Meaningful() // a held answer: nothing goes to the caller
		}
		e.want(t, ClockAttempt, 100*time.Second)
	})
}

func TestASlowReaderDoesNotMakeTheProviderLookStalled(t *testing.T) {
	bubble(t, streamLimits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		c.Commit()
		for range 10 {
			time.Sleep(10 * time.Second)
			c.Byte()
			c.Reading(false)
			time.Sleep(5 * time.Minute) // the caller is busy elsewhere
			c.Reading(true)
		}
		e.want(t, "", 0)
		began := time.Since(e.began)
		time.Sleep(time.Hour / 12)
		e.want(t, ClockStall, began+20*time.Second) // 100 s of reading had passed before
	})
}

func TestBytesWhileTheCallerDoesNotReadCount(t *testing.T) {
	bubble(t, Limits{Idle: 30 * time.Second, Stream: true}, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		time.Sleep(20 * time.Second)
		c.Reading(false)
		time.Sleep(time.Minute)
		c.Byte()
		time.Sleep(time.Minute)
		c.Reading(true)
		time.Sleep(time.Minute)
		e.want(t, ClockIdle, 170*time.Second)
	})
}

func TestAfterTheTerminatorOnlyLingerCounts(t *testing.T) {
	limits := streamLimits
	limits.Attempt, limits.Stall, limits.StreamTotal = 10*time.Second, 100*time.Millisecond, 100*time.Millisecond
	bubble(t, limits, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		time.Sleep(9500 * time.Millisecond)
		c.Linger(time.Second)
		c.Meaningful() // too late to start anything again
		c.Commit()
		c.Reading(false)
		c.Byte()
		time.Sleep(time.Hour)
		e.want(t, ClockLinger, 10500*time.Millisecond)
	})
}

func TestNothingIsToldAfterStop(t *testing.T) {
	stops := map[string]func(*Clocks){
		"stopped":           func(c *Clocks) { c.Stop() },
		"stopped twice":     func(c *Clocks) { c.Stop(); c.Stop() },
		"no time to linger": func(c *Clocks) { c.Linger(0) },
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			limits := streamLimits
			limits.Slow = 10 * time.Second
			bubble(t, limits, func(t *testing.T, c *Clocks, e *ending) {
				c.Connecting()
				stop(c)
				c.Connecting()
				c.Connected()
				c.Headers()
				c.Meaningful()
				c.Commit()
				c.Linger(time.Second)
				c.Reading(false)
				c.Reading(true)
				time.Sleep(2 * time.Hour)
				e.want(t, "", 0)
				if n := e.now().slow; n != 0 {
					t.Errorf("slow was told %d times after Stop", n)
				}
			})
		})
	}
}

func TestSlowIsToldOnceAndEndsNothing(t *testing.T) {
	bubble(t, Limits{Slow: 4 * time.Second, FirstToken: 30 * time.Second, Stream: true}, func(t *testing.T, c *Clocks, e *ending) {
		c.Headers()
		time.Sleep(20 * time.Second)
		e.want(t, "", 0)
		if n := e.now().slow; n != 1 {
			t.Fatalf("slow was told %d times, want once", n)
		}
		time.Sleep(time.Minute)
		e.want(t, ClockFirstToken, 30*time.Second)
		if n := e.now().slow; n != 1 {
			t.Fatalf("slow was told %d times, want once", n)
		}
	})
}

func TestWhatIsNotSlow(t *testing.T) {
	cases := []struct {
		name   string
		stream bool
		in3s   func(*Clocks)
		slow   int
	}{
		{"a stream with a first token", true, (*Clocks).Meaningful, 0},
		{"a stream with headers only", true, (*Clocks).Headers, 1},
		{"an answer with headers", false, (*Clocks).Headers, 0},
		{"an answer without headers", false, (*Clocks).Connected, 1},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, Limits{Slow: 4 * time.Second, Stream: test.stream}, func(t *testing.T, c *Clocks, e *ending) {
				time.Sleep(3 * time.Second)
				test.in3s(c)
				time.Sleep(time.Minute)
				e.want(t, "", 0)
				if n := e.now().slow; n != test.slow {
					t.Errorf("slow was told %d times, want %d", n, test.slow)
				}
			})
		})
	}
}

func TestWithoutLimitsNothingEverExpires(t *testing.T) {
	bubble(t, Limits{Stream: true}, func(t *testing.T, c *Clocks, e *ending) {
		c.Connecting()
		c.Connected()
		c.Headers()
		c.Commit()
		time.Sleep(1000 * time.Hour)
		e.want(t, "", 0)
		if c.timer != nil {
			t.Error("a timer was made for nothing")
		}
	})
}

func TestCancelMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan *Clocks, 1)
		called := make(chan struct{})
		started <- Start(Limits{Attempt: time.Second, Slow: time.Second}, func(error) {
			(<-started).Stop() // would deadlock under a lock
			close(called)
		}, func() {
			c := <-started
			c.Byte()
			started <- c
		})
		<-called // the bubble fails when nothing can happen any more
	})
}

func TestTheErrorIsATimeoutForEverybody(t *testing.T) {
	var err error = fmt.Errorf("asking: %w", &Error{Clock: ClockIdle, Limit: 30 * time.Second})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("errors.Is does not find context.DeadlineExceeded")
	}
	var netErr net.Error
	if !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Error("not a net.Error that is a timeout")
	}
	if errors.Is(err, context.Canceled) {
		t.Error("taken for a cancellation")
	}
	if want := "asking: timeout: the idle clock ended the attempt after 30s"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

// model is Clocks told differently: it counts every millisecond of every clock.
type model struct {
	limits           [numClocks]int
	running          [numClocks]bool
	elapsed          [numClocks]int
	stream, quiet    bool
	spoken, paused   bool
	headersCame, end bool
}

func (m *model) run(k clock) { m.running[k], m.elapsed[k] = true, 0 }

func (m *model) do(op int) {
	if m.end {
		return
	}
	switch op {
	case 0: // Connecting
		if !m.headersCame {
			m.run(connect)
		}
	case 1: // Connected
		m.running[connect] = false
		if !m.headersCame {
			m.run(headers)
		}
	case 2: // Headers
		m.headersCame = true
		m.running[connect], m.running[headers] = false, false
		if !m.stream {
			m.running[slow] = false
		}
		if !m.quiet || m.spoken {
			m.run(idle)
		}
	case 3, 4, 5: // Byte
		if m.running[idle] {
			m.run(idle)
		}
	case 6, 7: // Meaningful
		m.speak()
	case 8: // Commit
		m.speak()
		m.running[attempt] = false
		if !m.running[streamTotal] {
			m.run(streamTotal)
		}
	case 9, 10:
		m.paused = true
	case 11, 12:
		m.paused = false
	}
}

func (m *model) speak() {
	if !m.spoken && m.quiet && m.headersCame && !m.running[idle] {
		m.run(idle)
	}
	m.spoken = true
	m.running[firstToken], m.running[slow] = false, false
	m.run(stall)
}

// tick lets a millisecond pass and returns what expired in it.
func (m *model) tick() (expired string, tellSlow bool) {
	for k := range numClocks {
		if !m.running[k] || m.limits[k] == 0 || m.paused && (k == idle || k == stall) {
			continue
		}
		if m.elapsed[k]++; m.elapsed[k] < m.limits[k] || m.end {
			continue
		}
		if k == slow {
			m.running[slow], tellSlow = false, true
			continue
		}
		m.end, expired = true, names[k]
	}
	return expired, tellSlow
}

func (m *model) limitsOf() Limits {
	d := func(k clock) time.Duration { return time.Duration(m.limits[k]) * time.Millisecond }
	m.quiet = m.quiet && m.limits[firstToken] > 0
	return Limits{Connect: d(connect), Headers: d(headers), FirstToken: d(firstToken), Idle: d(idle), Stall: d(stall),
		Attempt: d(attempt), StreamTotal: d(streamTotal), Slow: d(slow), Stream: m.stream, QuietStart: m.quiet}
}

var operations = []func(*Clocks){(*Clocks).Connecting, (*Clocks).Connected, (*Clocks).Headers,
	(*Clocks).Byte, (*Clocks).Byte, (*Clocks).Byte, (*Clocks).Meaningful, (*Clocks).Meaningful, (*Clocks).Commit,
	func(c *Clocks) { c.Reading(false) }, func(c *Clocks) { c.Reading(false) },
	func(c *Clocks) { c.Reading(true) }, func(c *Clocks) { c.Reading(true) }}

func TestClocksAgreeWithAModelThatCountsEveryMillisecond(t *testing.T) {
	expiries := map[string]int{}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{stream: r.IntN(2) == 0, quiet: r.IntN(3) == 0}
		for k := range numClocks {
			if k != linger && r.IntN(5) > 0 {
				m.limits[k] = 1 + r.IntN(40)
			}
		}
		for _, k := range []clock{attempt, firstToken, headers, slow} {
			m.run(k)
		}
		synctest.Test(t, func(t *testing.T) { expiries[agree(t, r, m, seed)]++ })
	}
	for k := range slow {
		if k != linger && expiries[names[k]] == 0 {
			t.Errorf("%s never expired: the schedules test too little (%v)", names[k], expiries)
		}
	}
}

// agree runs both for 100 ms of a random schedule and returns what expired.
func agree(t *testing.T, r *rand.Rand, m *model, seed uint64) string {
	c, e := watched(m.limitsOf())
	defer c.Stop()
	busy := 1 + r.IntN(30)
	slows := 0
	for ms := 1; ms <= 100; ms++ {
		time.Sleep(time.Millisecond)
		got := e.now()
		expired, tellSlow := m.tick()
		if tellSlow {
			slows++
		}
		// Several may expire in the same millisecond: then any of them will do.
		if (expired != "") != (got.calls == 1 && got.after == time.Duration(ms)*time.Millisecond) {
			t.Fatalf("seed %d, ms %d: the model says %q, the clocks %+v", seed, ms, expired, got)
		}
		if got.slow != slows && !m.end {
			t.Fatalf("seed %d, ms %d: slow told %d times, want %d", seed, ms, got.slow, slows)
		}
		for range r.IntN(3) {
			if r.IntN(busy) == 0 {
				op := r.IntN(len(operations))
				m.do(op)
				operations[op](c)
			}
		}
	}
	if got := e.now(); got.calls > 1 || got.slow > 1 {
		t.Fatalf("seed %d: told too often: %+v", seed, got)
	}
	return e.now().clock
}

func TestClocksAreSafeForConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancels, slows atomic.Int32
		c := Start(Limits{Connect: 50 * time.Millisecond, Idle: 20 * time.Millisecond, Stall: 30 * time.Millisecond,
			Attempt: time.Second, Slow: 2 * time.Millisecond, Stream: true},
			func(error) { cancels.Add(1) }, func() { slows.Add(1) })
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(g), 2))
				for range 2000 {
					operations[r.IntN(len(operations))](c)
					time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
				}
			})
		}
		all.Wait()
		c.Reading(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if cancels.Load() != 1 || slows.Load() > 1 {
			t.Errorf("cancelled %d times and slow %d times, want once and at most once", cancels.Load(), slows.Load())
		}
		c.Stop()
	})
}

func TestAnEventCostsNoAllocation(t *testing.T) {
	c := Start(streamLimits, func(error) {}, nil)
	defer c.Stop()
	c.Headers()
	c.Commit()
	if n := testing.AllocsPerRun(1000, func() { event(c) }); n != 0 {
		t.Errorf("%v allocations per event, want 0", n)
	}
}

func event(c *Clocks) {
	c.Reading(true)
	c.Byte()
	c.Meaningful()
	c.Reading(false)
}

func BenchmarkAnEvent(b *testing.B) {
	c := Start(streamLimits, func(error) {}, nil)
	defer c.Stop()
	c.Headers()
	c.Commit()
	b.ReportAllocs()
	for b.Loop() {
		event(c)
	}
}

func BenchmarkAnAttempt(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c := Start(streamLimits, func(error) {}, nil)
		c.Headers()
		c.Commit()
		c.Stop()
	}
}
