package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// openPlan keeps a stream open for minutes with an event each second.
var openPlan = streamPlan{events: 300, pause: time.Second}

// opening is how many streams begin in a second.
const opening = 4000

// grow opens as many streams as steps says, one step after the other, and
// returns how much memory each took since before the first, in kB. The process
// has answered a few requests before, one by one: what a first request takes is
// not counted, and there is no heap of a busy time that streams could fill.
func (r *running) grow(ctx context.Context, steps []int) (map[string]float64, error) {
	request := chatRequest(r.addr, r.headers, nil)
	for range 20 {
		if err := ask(r.addr, request); err != nil {
			return nil, err
		}
	}
	settle(r.process)
	before, err := r.process.rss()
	if err != nil {
		return nil, err
	}
	values := map[string]float64{memoryIdle: float64(before) / 1e6}
	crowd := &crowd{subject: r.subject, request: chatRequest(r.addr, r.headers, &openPlan)}
	defer crowd.leave()
	for i, n := range steps {
		if err := crowd.growTo(ctx, n); err != nil {
			return values, err
		}
		after, err := r.process.rss()
		if err != nil {
			return values, err
		}
		values[[]string{memory1000, memory5000}[i]] = float64(after-before) / 1e3 / float64(n)
	}
	return values, nil
}

// crowd are streams that are open.
type crowd struct {
	subject
	request []byte
	callers []*caller
	readers sync.WaitGroup

	alive  atomic.Int64 // have had an event
	broken atomic.Int64
	reason atomic.Pointer[error]
}

// growTo opens streams until there are n, and returns when each has had its
// first event and another second has passed.
func (c *crowd) growTo(ctx context.Context, n int) error {
	for due := time.Now(); len(c.callers) < n && ctx.Err() == nil; due = due.Add(time.Second / opening) {
		time.Sleep(time.Until(due))
		caller, err := dial(c.addr)
		if err != nil {
			return fmt.Errorf("stream %d of %d: %w", len(c.callers)+1, n, err)
		}
		c.callers = append(c.callers, caller)
		c.readers.Go(func() { c.read(caller) })
	}
	for until := time.Now().Add(10 * time.Second); c.alive.Load() < int64(n); time.Sleep(10 * time.Millisecond) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case c.broken.Load() > 0:
			return fmt.Errorf("%d of %d streams broke, for one: %w", c.broken.Load(), n, *c.reason.Load())
		case time.Now().After(until):
			return fmt.Errorf("%d of %d streams had no event after ten seconds", int64(n)-c.alive.Load(), n)
		}
	}
	time.Sleep(time.Second)
	if broken := c.broken.Load(); broken > 0 {
		return fmt.Errorf("%d of %d streams broke, for one: %w", broken, n, *c.reason.Load())
	}
	return nil
}

func (c *crowd) read(one *caller) {
	first := true
	_, err := one.conn.Write(c.request)
	if err == nil {
		err = one.stream(func(time.Time) {
			if first {
				c.alive.Add(1)
				first = false
			}
		})
	}
	if err != nil {
		c.reason.CompareAndSwap(nil, &err)
		c.broken.Add(1)
	}
}

// leave closes every stream and waits for their readers.
func (c *crowd) leave() {
	for _, one := range c.callers {
		one.close()
	}
	c.readers.Wait()
}
