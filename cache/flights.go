package cache

import (
	"context"
	"sync"
)

// Flights makes one piece of work of several that are the same and wanted at the
// same time. The zero value is ready; it is safe for concurrent use.
type Flights[T any] struct {
	mu    sync.Mutex
	under map[Key]*flight[T]
}

// flight is one piece of work.
type flight[T any] struct {
	landed chan struct{} // closed when result is there
	result T
	panics any // what work panicked with
	cancel context.CancelCauseFunc

	waiting int  // guarded by the Flights' mu
	taken   bool // somebody has the result; guarded too
}

// Landing is what one caller gets of a flight.
type Landing[T any] struct {
	Result T
	Landed bool // Result is there: also for the leader that nobody outlasted
	Led    bool // this caller's work it is
}

// Do returns the result of work, which is done once for all callers with the
// same k that come while it is under way. It runs with the values of the first
// caller's context, in a goroutine of its own, and is cancelled, with the cause
// of the last one's leaving, when nobody waits for it any more. A caller whose
// ctx ends leaves with its cause; a leader that leaves last waits for work to
// end. A panic of work is that of everybody who waits.
//
// The context of work is not cancelled by its return: the result may go on with
// it. It is when all have left and nobody has taken the result.
func (f *Flights[T]) Do(ctx context.Context, k Key, work func(context.Context) T) (Landing[T], error) {
	one, led := f.board(ctx, k, work)
	select {
	case <-one.landed:
	case <-ctx.Done():
		last := f.leave(k, one, context.Cause(ctx))
		if !led || !last {
			return Landing[T]{Led: led}, context.Cause(ctx)
		}
		<-one.landed
		return one.land(led), context.Cause(ctx)
	}
	f.take(one)
	return one.land(led), nil
}

// board finds the flight under way, or begins one.
func (f *Flights[T]) board(ctx context.Context, k Key, work func(context.Context) T) (one *flight[T], led bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one = f.under[k]; one == nil {
		led = true
		inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		one = &flight[T]{landed: make(chan struct{}), cancel: cancel}
		if f.under == nil {
			f.under = map[Key]*flight[T]{}
		}
		f.under[k] = one
		go f.fly(inner, k, one, work)
	}
	one.waiting++
	return one, led
}

func (f *Flights[T]) fly(ctx context.Context, k Key, one *flight[T], work func(context.Context) T) {
	defer func() {
		one.panics = recover()
		f.mu.Lock()
		f.forget(k, one)
		f.mu.Unlock()
		close(one.landed)
	}()
	one.result = work(ctx)
}

// forget lets nobody else join.
func (f *Flights[T]) forget(k Key, one *flight[T]) {
	if f.under[k] == one {
		delete(f.under, k)
	}
}

// leave gives up waiting, and reports whether nobody waits any more.
func (f *Flights[T]) leave(k Key, one *flight[T], cause error) (last bool) {
	f.mu.Lock()
	one.waiting--
	last = one.waiting == 0 && !one.taken
	if last {
		f.forget(k, one)
	}
	f.mu.Unlock()
	if last {
		one.cancel(cause)
	}
	return last
}

func (f *Flights[T]) take(one *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.waiting--
	one.taken = true
}

func (one *flight[T]) land(led bool) Landing[T] {
	if one.panics != nil {
		panic(one.panics)
	}
	return Landing[T]{Result: one.result, Landed: true, Led: led}
}

// Under returns how many flights are under way.
func (f *Flights[T]) Under() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.under)
}
