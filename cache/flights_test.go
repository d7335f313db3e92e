package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
)

var errGone = errors.New("the caller is gone")

// takes is work that lasts so long, or until it is cancelled.
func takes(d time.Duration, result string) func(context.Context) string {
	return func(ctx context.Context) string {
		select {
		case <-time.After(d):
			return result
		case <-ctx.Done():
			return "cancelled: " + context.Cause(ctx).Error()
		}
	}
}

func TestCallsAtTheSameTimeAreOnePieceOfWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f cache.Flights[string]
		var done, led atomic.Int32
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				l, err := f.Do(t.Context(), keyOf("a"), func(ctx context.Context) string {
					done.Add(1)
					return takes(time.Second, "answer")(ctx)
				})
				if err != nil || l.Result != "answer" || !l.Landed {
					t.Errorf("%+v, %v", l, err)
				}
				if l.Led {
					led.Add(1)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 || led.Load() != 1 || f.Under() != 0 {
			t.Errorf("done %d times, led %d times, %d under way", done.Load(), led.Load(), f.Under())
		}
		if _, err := f.Do(t.Context(), keyOf("a"), func(context.Context) string { done.Add(1); return "" }); err != nil || done.Load() != 2 {
			t.Errorf("a call that comes after: %v, done %d times", err, done.Load())
		}
	})
}

func TestALeaderThatLeavesFailsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f cache.Flights[string]
		ctx, leave := context.WithCancelCause(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if l, err := f.Do(ctx, keyOf("a"), takes(10*time.Second, "answer")); !errors.Is(err, errGone) || l.Landed || !l.Led {
				t.Errorf("the leader: %+v, %v", l, err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if l, err := f.Do(t.Context(), keyOf("a"), takes(0, "another")); err != nil || l.Result != "answer" || l.Led {
				t.Errorf("the follower: %+v, %v", l, err)
			}
		})
		time.Sleep(time.Second)
		leave(errGone)
		all.Wait()
	})
}

func TestWorkThatNobodyWaitsForIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f cache.Flights[string]
		began := time.Now()
		leader, leave := context.WithCancelCause(t.Context())
		follower, stop := context.WithTimeoutCause(t.Context(), 3*time.Second, errGone)
		defer stop()
		ended := make(chan string, 1)
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = f.Do(leader, keyOf("a"), func(ctx context.Context) string {
				ended <- takes(time.Hour, "answer")(ctx)
				return ""
			})
		})
		synctest.Wait()
		all.Go(func() { _, _ = f.Do(follower, keyOf("a"), nil) })
		time.Sleep(time.Second)
		leave(errors.New("first"))
		if got := <-ended; got != "cancelled: "+errGone.Error() || time.Since(began) != 3*time.Second {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		all.Wait()
	})
}

func TestALeaderThatLeavesLastWaitsForItsWorkToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f cache.Flights[string]
		ctx, stop := context.WithTimeoutCause(t.Context(), time.Second, errGone)
		defer stop()
		l, err := f.Do(ctx, keyOf("a"), takes(time.Hour, "answer"))
		if !errors.Is(err, errGone) || !l.Landed || l.Result != "cancelled: "+errGone.Error() {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func TestAPanicIsThatOfEverybodyWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f cache.Flights[string]
		var seen atomic.Int32
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				defer func() {
					if recover() == "broken" {
						seen.Add(1)
					}
				}()
				_, _ = f.Do(t.Context(), keyOf("a"), func(context.Context) string {
					time.Sleep(time.Second)
					panic("broken")
				})
			})
		}
		all.Wait()
		if seen.Load() != 5 || f.Under() != 0 {
			t.Errorf("%d saw it; %d under way", seen.Load(), f.Under())
		}
	})
}

// Any mixture of callers with deadlines of their own: work is never done twice
// at a time, everybody has its answer or leaves when it wanted to, and at the end
// nothing runs.
func TestAnyMixtureOfCallersEndsWell(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			var f cache.Flights[int]
			var running [3]atomic.Int32
			var all sync.WaitGroup
			for range 60 {
				wait, patience, name := time.Duration(random.IntN(5e6))*time.Microsecond, time.Duration(1+random.IntN(3e6))*time.Microsecond, random.IntN(3)
				lasts := time.Duration(random.IntN(2e6)) * time.Microsecond
				all.Go(func() {
					time.Sleep(wait)
					ctx, stop := context.WithTimeoutCause(t.Context(), patience, errGone)
					defer stop()
					began := time.Now()
					l, err := f.Do(ctx, keyOf(fmt.Sprint(name)), func(ctx context.Context) int {
						if running[name].Add(1) > 1 {
							t.Errorf("seed %d: %d is done twice at a time", seed, name)
						}
						defer running[name].Add(-1)
						takes(lasts, "")(ctx)
						return name
					})
					switch {
					case err == nil && (!l.Landed || l.Result != name):
						t.Errorf("seed %d: %+v, want %d", seed, l, name)
					case err != nil && (!errors.Is(err, errGone) || time.Since(began) != patience):
						t.Errorf("seed %d: %v after %s of %s", seed, err, time.Since(began), patience)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			if f.Under() != 0 {
				t.Errorf("seed %d: %d under way", seed, f.Under())
			}
		})
	}
}
