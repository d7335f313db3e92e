package main

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// grace is how long an open loop waits for answers after its window. A call
// that has none by then counts with the delay it has.
const grace = 2 * time.Second

// crowded is how many connections an open loop makes. A call that finds all of
// them busy has failed: what is measured cannot carry this rate.
const crowded = 1000

var errSaturated = errors.New("saturated: 1,000 calls under way")

// openLoop begins calls at random moments, rate per second on average, whether
// or not earlier ones have ended. A delay counts from the moment at which the
// call was due, so that a proxy that stalls is charged for everybody who came
// meanwhile. The same seed gives the same moments.
func openLoop(rate float64, seed uint64) func(*load) {
	return func(l *load) {
		o := &openCallers{load: l, request: chatRequest(l.addr, l.headers, nil)}
		o.run(rate, rand.New(rand.NewPCG(seed, 0)))
	}
}

// openCallers are the connections of an open loop.
type openCallers struct {
	*load
	request []byte
	readers sync.WaitGroup
	made    int // connections, by the clock's goroutine

	lock sync.Mutex
	idle []*openCaller // the one used last is last
	all  []*openCaller
}

// openCaller is a connection whose goroutine reads what the clock began.
type openCaller struct {
	*caller
	due    atomic.Int64 // of the call under way, in nanoseconds since 1970; 0: none
	gone   atomic.Bool
	delays []time.Duration // of its reader
}

// run begins the calls. It sleeps in the kernel, on a thread of its own: the
// runtime's timers wait whole milliseconds where a process is idle.
func (o *openCallers) run(rate float64, random *rand.Rand) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 32 { // so that the first calls need not connect
		o.readers.Go(func() { o.open(0) })
	}
	for due := time.Now().Add(10 * time.Millisecond); due.Before(o.end); {
		sleepUntil(due)
		o.send(due.UnixNano())
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
	}
	o.finish()
}

func sleepUntil(due time.Time) {
	for wait := time.Until(due); wait > 0; wait = time.Until(due) {
		ts := syscall.NsecToTimespec(int64(wait))
		_ = syscall.Nanosleep(&ts, nil) // interrupted: sleeps again
	}
}

// send begins a call on the connection that was used last, or on a new one.
func (o *openCallers) send(due int64) {
	if c := o.take(); c != nil {
		o.write(c, due)
		return
	}
	if o.made++; o.made > crowded {
		o.fail(errSaturated)
		return
	}
	o.readers.Go(func() { o.open(due) })
}

// open connects, begins the call that was due, if any, and reads answers.
func (o *openCallers) open(due int64) {
	inner, err := dial(o.addr)
	if err != nil {
		o.fail(err)
		return
	}
	c := &openCaller{caller: inner}
	o.lock.Lock()
	o.all = append(o.all, c)
	o.lock.Unlock()
	if due != 0 {
		o.write(c, due)
	} else {
		o.putBack(c)
	}
	o.read(c)
}

func (o *openCallers) write(c *openCaller, due int64) {
	c.due.Store(due)
	if _, err := c.conn.Write(o.request); err != nil {
		o.fail(err)
		c.due.Store(0)
		c.close()
	}
}

// read takes the answers on one connection until it ends.
func (o *openCallers) read(c *openCaller) {
	defer c.close()
	for {
		err := c.whole()
		now := time.Now()
		if err != nil {
			c.gone.Store(true)
			if c.due.Load() != 0 { // an idle connection may end
				o.fail(err)
			}
			return
		}
		o.count(now)
		o.delayed(c, c.due.Swap(0), now)
		o.putBack(c)
	}
}

// delayed notes the delay of a call that was due within the window.
func (o *openCallers) delayed(c *openCaller, due int64, now time.Time) {
	at := time.Unix(0, due)
	if due != 0 && !at.Before(o.begin) && at.Before(o.end) {
		c.delays = append(c.delays, now.Sub(at))
	}
}

func (o *openCallers) take() *openCaller {
	o.lock.Lock()
	defer o.lock.Unlock()
	for len(o.idle) > 0 {
		c := o.idle[len(o.idle)-1]
		o.idle = o.idle[:len(o.idle)-1]
		if !c.gone.Load() {
			return c
		}
	}
	return nil
}

func (o *openCallers) putBack(c *openCaller) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.idle = append(o.idle, c)
}

// finish waits for the last answers, ends every connection and gathers delays.
func (o *openCallers) finish() {
	for until := time.Now().Add(grace); o.busy() && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond)
	}
	o.lock.Lock()
	for _, c := range o.all {
		c.close()
	}
	o.lock.Unlock()
	o.readers.Wait()
	now := time.Now()
	for _, c := range o.all {
		o.delayed(c, c.due.Load(), now)
		o.keep(c.delays)
	}
}

func (o *openCallers) busy() bool {
	o.lock.Lock()
	defer o.lock.Unlock()
	for _, c := range o.all {
		if c.due.Load() != 0 {
			return true
		}
	}
	return false
}
