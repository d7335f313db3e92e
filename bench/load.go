package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// subject is what is under load: an address, and what calls to it carry.
type subject struct {
	addr    string
	headers []string
	process *process // whose CPU counts; nil for none
}

// tally is what one phase of load found. Counted is what ended within the
// window, answers or events; CPU what the subject's process used meanwhile.
type tally struct {
	Counted int64
	Failed  int64
	Window  time.Duration
	CPU     time.Duration
	Delays  []time.Duration // unordered; of what was due within the window
}

// load is one phase under way: a time to warm up, then a window that counts.
type load struct {
	subject
	begin, end time.Time

	counted, failed atomic.Int64
	failure         atomic.Pointer[error]

	mu     sync.Mutex
	delays []time.Duration
}

// measure runs phase until the end of the window and reads the subject's CPU
// time at both ends of it. It fails when ctx ends.
func measure(ctx context.Context, s subject, warm, window time.Duration, phase func(l *load)) (*tally, error) {
	begin := time.Now().Add(warm)
	l := &load{subject: s, begin: begin, end: begin.Add(window)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		phase(l)
	}()
	used, err := l.watch(ctx)
	<-done
	if err != nil {
		return nil, err
	}
	t := &tally{Counted: l.counted.Load(), Failed: l.failed.Load(), Window: window, CPU: used, Delays: l.delays}
	if failure := l.failure.Load(); failure != nil && t.Failed*100 > t.Counted {
		return t, fmt.Errorf("%d of %d failed, for one: %w", t.Failed, t.Counted+t.Failed, *failure)
	}
	return t, nil
}

// watch waits for the window to begin and to end.
func (l *load) watch(ctx context.Context) (time.Duration, error) {
	var marks [2]time.Duration
	for i, at := range []time.Time{l.begin, l.end} {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Until(at)):
		}
		if l.process == nil {
			continue
		}
		var err error
		if marks[i], err = l.process.cpu(); err != nil {
			return 0, fmt.Errorf("the process under load has gone: %w", err)
		}
	}
	return marks[1] - marks[0], nil
}

// count notes something that ended at now.
func (l *load) count(now time.Time) {
	if !now.Before(l.begin) && now.Before(l.end) {
		l.counted.Add(1)
	}
}

// fail notes a failure within the window.
func (l *load) fail(err error) {
	if now := time.Now(); !now.Before(l.begin) && now.Before(l.end) {
		l.failed.Add(1)
		l.failure.CompareAndSwap(nil, &err)
	}
}

func (l *load) keep(delays []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = append(l.delays, delays...)
}

// together runs worker n times at once and waits for all.
func together(n int, worker func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { worker(i) })
	}
	all.Wait()
}

// closedLoop keeps n calls under way: the next begins when one has ended.
func closedLoop(n int) func(*load) {
	return func(l *load) {
		request := chatRequest(l.addr, l.headers, nil)
		together(n, func(int) { l.repeat(request, (*caller).whole) })
	}
}

// streamLoop keeps n streams of plan under way, and counts streams.
func streamLoop(n int, plan streamPlan) func(*load) {
	return func(l *load) {
		request := chatRequest(l.addr, l.headers, &plan)
		together(n, func(int) {
			l.repeat(request, func(c *caller) error { return c.stream(func(time.Time) {}) })
		})
	}
}

// repeat makes one call after the other on one connection, and a new one where
// that broke, until the window ends.
func (l *load) repeat(request []byte, read func(*caller) error) {
	var c *caller
	for time.Now().Before(l.end) {
		var err error
		if c == nil {
			if c, err = dial(l.addr); err != nil {
				l.fail(err)
				time.Sleep(time.Millisecond)
				continue
			}
			_ = c.conn.SetDeadline(l.end.Add(2 * time.Second))
		}
		if _, err = c.conn.Write(request); err == nil {
			err = read(c)
		}
		if err == nil {
			l.count(time.Now())
			continue
		}
		l.fail(err)
		c.close()
		c = nil
	}
	if c != nil {
		c.close()
	}
}

// liveStreams keeps n streams of plan open that began one after the other, and
// counts events and their delays.
func liveStreams(n int, plan streamPlan) func(*load) {
	return func(l *load) {
		request := chatRequest(l.addr, l.headers, &plan)
		spread := time.Until(l.begin) / time.Duration(n)
		together(n, func(i int) {
			time.Sleep(time.Duration(i) * spread)
			l.live(request)
		})
	}
}

// live reads one stream after the other until the window ends, and leaves in
// the middle of the last.
func (l *load) live(request []byte) {
	var delays []time.Duration
	defer func() { l.keep(delays) }()
	event := func(written time.Time) {
		now := time.Now()
		l.count(now)
		if !written.Before(l.begin) && now.Before(l.end) {
			delays = append(delays, now.Sub(written))
		}
	}
	for time.Now().Before(l.end) {
		c, err := dial(l.addr)
		if err != nil {
			l.fail(err)
			time.Sleep(time.Millisecond)
			continue
		}
		_ = c.conn.SetDeadline(l.end)
		for err == nil {
			if _, err = c.conn.Write(request); err == nil {
				err = c.stream(event)
			}
		}
		c.close()
		l.fail(err) // counts only within the window: its end is no failure
	}
}
