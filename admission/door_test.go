package admission_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
)

// target is something a call needs one of besides its place: what the door's
// Ready stands for.
type target struct {
	door *admission.Door
	free atomic.Int64
}

func newTarget(d *admission.Door, free int) *target {
	t := &target{door: d}
	t.free.Store(int64(free))
	return t
}

func (t *target) ready() bool { return t.free.Load() > 0 }

func (t *target) acquire() bool {
	for {
		n := t.free.Load()
		if n <= 0 {
			return false
		}
		if t.free.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

func (t *target) release(n int) {
	t.free.Add(int64(n))
	t.door.Wake()
}

// caller is one call that entered, or tried to, in a goroutine of its own.
type caller struct {
	place  *admission.Place
	err    error
	after  time.Duration
	cancel context.CancelFunc
	done   chan struct{}
}

// enter starts a call and returns when it is in, refused or waiting.
func enter(d *admission.Door, t admission.Ticket) *caller {
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{cancel: cancel, done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(c.done)
		c.place, c.err = d.Enter(ctx, t)
		c.after = time.Since(began)
	}()
	synctest.Wait()
	return c
}

func (c *caller) waiting() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func wantIn(t *testing.T, c *caller) {
	t.Helper()
	synctest.Wait()
	if c.waiting() {
		t.Fatal("the call waits, want it in")
	}
	if c.err != nil {
		t.Fatalf("Enter: %v, want a place", c.err)
	}
}

func wantWaiting(t *testing.T, c *caller) {
	t.Helper()
	synctest.Wait()
	if !c.waiting() {
		t.Fatalf("Enter has returned %v, want the call to wait", c.err)
	}
}

func wantRefused(t *testing.T, c *caller, kind error, reason string) *admission.Error {
	t.Helper()
	<-c.done
	var refusal *admission.Error
	if !errors.Is(c.err, kind) || !errors.As(c.err, &refusal) {
		t.Fatalf("Enter: %v, want %v", c.err, kind)
	}
	if refusal.Reason != reason || refusal.Route != "chat" || refusal.RetryAfter < time.Second || refusal.RetryAfter > time.Minute {
		t.Fatalf("got %+v, want reason %s, route chat and 1 to 60 s", refusal, reason)
	}
	return refusal
}

func wantStats(t *testing.T, d *admission.Door, running, waiting int) {
	t.Helper()
	synctest.Wait()
	if r, w := count(d); r != running || w != waiting {
		t.Fatalf("%d inside, %d waiting; want %d, %d", r, w, running, waiting)
	}
}

func count(d *admission.Door) (running, waiting int) {
	s := d.Snapshot()
	return s.Running, s.Waiting
}

func newDoor(c admission.Config) *admission.Door { return admission.NewDoor("chat", c) }

func inBubble(name string, t *testing.T, story func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
}

func TestCallsGoInAtOnceWhileThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 2})
		for range 2 {
			c := enter(d, admission.Ticket{})
			wantIn(t, c)
			if c.place.Wait() != 0 {
				t.Errorf("it waited %s, want 0", c.place.Wait())
			}
		}
		third := enter(d, admission.Ticket{})
		wantWaiting(t, third)
		third.cancel()
		<-third.done
		wantStats(t, d, 2, 0)
	})
}

func TestCallsGoInInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		first := enter(d, admission.Ticket{})
		var line []*caller
		for range 20 {
			line = append(line, enter(d, admission.Ticket{}))
		}
		inside := first
		for i, next := range line {
			time.Sleep(50 * time.Millisecond)
			wantStats(t, d, 1, 20-i)
			inside.place.Leave()
			wantIn(t, next)
			if want := time.Duration(i+1) * 50 * time.Millisecond; next.place.Wait() != want || next.after != want {
				t.Fatalf("call %d waited %s, says %s, want %s", i, next.after, next.place.Wait(), want)
			}
			inside = next
		}
		inside.place.Leave()
		wantStats(t, d, 0, 0)
	})
}

func TestAWaitIsBoundedByTime(t *testing.T) {
	for _, c := range []struct {
		name            string
		maxWait, waited time.Duration
		deadline        time.Duration // 0: none
		want            time.Duration
	}{
		{"two seconds by default", 0, 0, 0, 2 * time.Second},
		{"as configured", 5 * time.Second, 0, 0, 5 * time.Second},
		{"a fifth of the remaining deadline", 0, 0, 4 * time.Second, 800 * time.Millisecond},
		{"a long deadline does not lengthen it", 0, 0, time.Hour, 2 * time.Second},
		{"less what the call has waited before", 0, 1500 * time.Millisecond, 0, 500 * time.Millisecond},
		{"a fifth of what remains after an earlier wait", 0, time.Second, 4 * time.Second, 800 * time.Millisecond},
		{"nothing when all is spent", 0, 2 * time.Second, 0, 0},
		{"nothing after the deadline", 0, 0, -time.Second, 0},
	} {
		inBubble(c.name, t, func(t *testing.T) {
			d := newDoor(admission.Config{Running: 1, MaxWait: c.maxWait})
			enter(d, admission.Ticket{})
			ticket := admission.Ticket{Waited: c.waited}
			if c.deadline != 0 {
				ticket.CommitBy = time.Now().Add(c.deadline)
			}
			late := enter(d, ticket)
			wantRefused(t, late, admission.ErrTimeout, admission.ReasonTimeout)
			if late.after != c.want {
				t.Errorf("refused after %s, want %s", late.after, c.want)
			}
			wantStats(t, d, 1, 0)
		})
	}
}

func TestALateCallStillGoesInWithoutAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		wantIn(t, enter(d, admission.Ticket{CommitBy: time.Now().Add(-time.Second)}))
	})
}

func TestTheLineHasALength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 4, MaxDepth: 50})
		var all []*caller
		for range 54 {
			all = append(all, enter(d, admission.Ticket{}))
		}
		wantStats(t, d, 4, 50)
		wantRefused(t, enter(d, admission.Ticket{}), admission.ErrFull, admission.ReasonFull)
		jumper := enter(d, admission.Ticket{Jump: true})
		wantWaiting(t, jumper) // it has been inside: not refused for depth
		all[0].place.Leave()
		wantIn(t, jumper)
		wantStats(t, d, 4, 50)
		for _, c := range all {
			c.cancel()
		}
		wantStats(t, d, 4, 0)
	})
}

func TestANegativeDepthMeansNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxDepth: -1})
		first := enter(d, admission.Ticket{})
		wantIn(t, first)
		wantRefused(t, enter(d, admission.Ticket{}), admission.ErrFull, admission.ReasonFull)
		first.place.Leave()
		wantIn(t, enter(d, admission.Ticket{}))
	})
}

func TestACallWaitsUntilATargetIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		primary := newTarget(d, 0)
		c := enter(d, admission.Ticket{Ready: primary.ready})
		wantWaiting(t, c)
		d.Wake() // something else was released
		wantWaiting(t, c)
		time.Sleep(time.Second)
		primary.release(1)
		wantIn(t, c)
		if c.place.Wait() != time.Second {
			t.Errorf("it waited %s, want 1 s", c.place.Wait())
		}
	})
}

func TestAHeadWithBusyTargetsDoesNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		busy, idle := newTarget(d, 0), newTarget(d, 1)
		var stuck []*caller
		for range 7 {
			stuck = append(stuck, enter(d, admission.Ticket{Ready: busy.ready}))
		}
		eighth := enter(d, admission.Ticket{Ready: idle.ready})
		wantIn(t, eighth)
		eighth.place.Took()
		stuck = append(stuck, enter(d, admission.Ticket{Ready: busy.ready}))
		ninth := enter(d, admission.Ticket{Ready: idle.ready})
		wantWaiting(t, ninth) // the first eight are asked, no more
		stuck[3].cancel()
		wantIn(t, ninth) // it has moved up
		ninth.place.Took()
		busy.release(1)
		wantIn(t, stuck[0])
		untilAllGaveUp()
	})
}

// TestOneReleaseIsOfferedToOneCallAtATime: when all that could use it went in
// at once, who gets it would be luck, and the others would go in and out until
// their time is over.
func TestOneReleaseIsOfferedToOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		primary := newTarget(d, 0)
		var line []*caller
		for range 4 {
			line = append(line, enter(d, admission.Ticket{Ready: primary.ready}))
		}
		primary.release(1)
		wantIn(t, line[0])
		wantWaiting(t, line[1]) // although it is ready too
		primary.acquire()
		line[0].place.Took()
		wantWaiting(t, line[1]) // it is no longer
		primary.release(1)
		wantIn(t, line[1]) // says nothing, and is waited for a moment
		wantWaiting(t, line[2])
		time.Sleep(time.Millisecond)
		wantIn(t, line[2])
		go func() { _ = line[2].place.Back(context.Background(), func() bool { return false }) }()
		wantIn(t, line[3]) // the third has found nothing: the next one may try at once
		for _, c := range line[:2] {
			c.place.Leave()
		}
		line[3].place.Leave()
		untilAllGaveUp()
	})
}

func TestACallThatFoundEverythingBusyGoesBackToTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		primary := newTarget(d, 1)
		first := enter(d, admission.Ticket{Ready: primary.ready})
		wantIn(t, first)
		primary.acquire() // by somebody faster
		var line []*caller
		for range 3 {
			line = append(line, enter(d, admission.Ticket{Ready: primary.ready}))
		}
		back := make(chan error, 1)
		go func() { back <- first.place.Back(context.Background(), nil) }()
		wantStats(t, d, 0, 4)
		time.Sleep(time.Second)
		primary.release(1)
		wantStats(t, d, 1, 3)
		if err := <-back; err != nil {
			t.Fatalf("Back: %v, want nil", err)
		}
		if got := first.place.Wait(); got != time.Second {
			t.Errorf("it waited %s in all, want 1 s", got)
		}
		first.place.Leave()
		wantIn(t, line[0])
		line[0].place.Leave()
		wantIn(t, line[1])
		line[1].place.Leave()
		wantIn(t, line[2])
	})
}

func TestWaitsTogetherAreBoundedByOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		primary := newTarget(d, 0)
		c := enter(d, admission.Ticket{Ready: primary.ready})
		time.Sleep(1200 * time.Millisecond)
		primary.release(1)
		wantIn(t, c)
		primary.acquire()       // by somebody faster
		time.Sleep(time.Minute) // inside, not waiting
		began := time.Now()
		err := c.place.Back(context.Background(), nil)
		if !errors.Is(err, admission.ErrTimeout) {
			t.Fatalf("Back: %v, want ErrTimeout", err)
		}
		if got := time.Since(began); got != 800*time.Millisecond {
			t.Errorf("the second wait was %s, want the 800 ms that were left", got)
		}
		wantStats(t, d, 0, 0)
		c.place.Leave() // given up already
		wantStats(t, d, 0, 0)
	})
}

func TestACallThatWasInVainIsNotLetInAgainForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		lies := func() bool { return true } // Ready says yes, dispatch finds no
		tries := 0
		p, err := d.Enter(context.Background(), admission.Ticket{Ready: lies})
		for ; err == nil; tries++ {
			err = p.Back(context.Background(), nil)
		}
		if tries != 1 {
			t.Errorf("%d tries though nothing was released, want 1", tries)
		}
		done := make(chan int)
		go func() {
			tries := 0
			p, err := d.Enter(context.Background(), admission.Ticket{Ready: lies})
			for ; err == nil; tries++ {
				err = p.Back(context.Background(), nil)
			}
			done <- tries
		}()
		for range 5 {
			synctest.Wait()
			d.Wake()
		}
		if got := <-done; got != 6 {
			t.Errorf("%d tries with five releases, want 6", got)
		}
	})
}

func TestALeavingCallLetsOneThatWasInVainTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		other, c := enter(d, admission.Ticket{}), enter(d, admission.Ticket{})
		back := make(chan error, 1)
		go func() { back <- c.place.Back(context.Background(), nil) }()
		wantStats(t, d, 1, 1)
		other.place.Leave()
		wantStats(t, d, 1, 0)
		if err := <-back; err != nil {
			t.Errorf("Back: %v, want nil", err)
		}
	})
}

func TestACallThatCanGoAtOnceIsNotJudgedByThoseThatCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		busy := newTarget(d, 0)
		stuck := enter(d, admission.Ticket{Ready: busy.ready})
		time.Sleep(1900 * time.Millisecond) // nobody has gone in for long
		wantIn(t, enter(d, admission.Ticket{}))
		wantRefused(t, stuck, admission.ErrTimeout, admission.ReasonTimeout)
	})
}

// slowReady is a Ready that takes its time, as one does that is scheduled out:
// what happens meanwhile must not confuse the door.
type slowReady struct {
	asked  chan struct{}
	answer chan bool
}

func newSlowReady() *slowReady {
	return &slowReady{asked: make(chan struct{}), answer: make(chan bool)}
}

func (s *slowReady) ready() bool {
	s.asked <- struct{}{}
	return <-s.answer
}

func TestWhatHappensWhileACallIsAsked(t *testing.T) {
	// held is a call that waits and is being asked; resume lets it answer.
	held := func(d *admission.Door, answer bool) (c *caller, resume func()) {
		inside := enter(d, admission.Ticket{})
		slow := newSlowReady()
		c = enter(d, admission.Ticket{Ready: slow.ready})
		go inside.place.Leave()
		<-slow.asked
		return c, func() {
			slow.answer <- answer
			synctest.Wait()
		}
	}
	inBubble("the door is paused", t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		c, resume := held(d, true)
		d.Pause()
		resume()
		wantWaiting(t, c)
		wantRefused(t, c, admission.ErrPaused, admission.ReasonTimeout)
	})
	inBubble("its caller leaves", t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		c, resume := held(d, true)
		c.cancel()
		<-c.done
		resume()
		wantStats(t, d, 0, 0)
		wantIn(t, enter(d, admission.Ticket{}))
	})
	inBubble("a newcomer that cannot wait is asked", t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		slow := newSlowReady()
		spent := enter(d, admission.Ticket{Ready: slow.ready, Waited: time.Hour})
		<-slow.asked
		next := enter(d, admission.Ticket{}) // the place is promised
		wantWaiting(t, next)
		slow.answer <- false
		wantRefused(t, spent, admission.ErrTimeout, admission.ReasonTimeout)
		wantIn(t, next)
	})
}

func TestAReleaseBetweenTheTryAndTheReturnIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		primary := newTarget(d, 1)
		c := enter(d, admission.Ticket{Ready: primary.ready})
		wantIn(t, c)
		primary.acquire()  // by somebody faster
		primary.release(1) // before the call has come back
		if err := c.place.Back(context.Background(), nil); err != nil {
			t.Fatalf("Back: %v, want nil", err)
		}
		if got := c.place.Wait(); got != 0 {
			t.Errorf("it waited %s, want 0", got)
		}
	})
}

func TestOneReleaseDoesNotStartEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		primary := newTarget(d, 0)
		var tries atomic.Int64
		for range 100 {
			go func() {
				p, err := d.Enter(context.Background(), admission.Ticket{Ready: primary.ready})
				for err == nil {
					tries.Add(1)
					if primary.acquire() {
						p.Took()
						time.Sleep(time.Hour)
						p.Leave()
						return
					}
					err = p.Back(context.Background(), nil)
				}
			}()
		}
		wantStats(t, d, 0, 100)
		primary.release(1)
		time.Sleep(time.Second)
		wantStats(t, d, 1, 99)
		if got := tries.Load(); got != 1 {
			t.Errorf("%d calls ran for one permit, want one", got)
		}
		primary.release(60) // a target came back: one wake, room for many
		synctest.Wait()
		wantStats(t, d, 61, 39)
		time.Sleep(2 * time.Hour)
		wantStats(t, d, 0, 0)
	})
}

func TestACallerThatLeavesFreesItsSpot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxDepth: 1})
		first := enter(d, admission.Ticket{})
		second := enter(d, admission.Ticket{})
		second.cancel()
		<-second.done
		if !errors.Is(second.err, context.Canceled) || second.place != nil {
			t.Fatalf("got %v, %v; want no place and the context's error", second.place, second.err)
		}
		third := enter(d, admission.Ticket{})
		wantWaiting(t, third)
		first.place.Leave()
		wantIn(t, third)
	})
}

func TestACallerThatLeftBeforeItEnteredIsNotLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := d.Enter(ctx, admission.Ticket{}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Enter: %v, want the context's error", err)
		}
		c := enter(d, admission.Ticket{})
		if err := c.place.Back(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("Back: %v, want the context's error", err)
		}
		wantStats(t, d, 0, 0)
	})
}

func TestACancelStormLosesNoWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxDepth: 2000, MaxWait: time.Hour})
		for range 20 {
			first := enter(d, admission.Ticket{})
			ctx, cancel := context.WithCancel(context.Background())
			var storm sync.WaitGroup
			for range 1000 {
				storm.Go(func() {
					if p, err := d.Enter(ctx, admission.Ticket{}); err == nil {
						p.Leave() // let in at the very moment
					}
				})
			}
			synctest.Wait()
			patient := enter(d, admission.Ticket{})
			go cancel()
			go first.place.Leave()
			storm.Wait()
			wantIn(t, patient)
			patient.place.Leave()
			wantStats(t, d, 0, 0)
		}
	})
}

func TestLeaveCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		first := enter(d, admission.Ticket{})
		second, third := enter(d, admission.Ticket{}), enter(d, admission.Ticket{})
		for range 5 {
			first.place.Leave()
		}
		wantIn(t, second)
		wantWaiting(t, third)
		wantStats(t, d, 1, 1)
		third.cancel()
		synctest.Wait()
	})
}

func TestAPlaceGivenUpWhileItWaitsEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{})
		c := enter(d, admission.Ticket{})
		back := make(chan error, 1)
		go func() { back <- c.place.Back(context.Background(), func() bool { return false }) }()
		synctest.Wait()
		c.place.Leave()
		if err := <-back; err == nil {
			t.Error("Back says the call is inside, its place was given up")
		}
		if err := c.place.Back(context.Background(), nil); err == nil {
			t.Error("Back brought a place back that was given up")
		}
		wantStats(t, d, 0, 0)
	})
}

func TestJumpersGoFirstTheOldestCallBeforeTheYounger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		inside := enter(d, admission.Ticket{})
		plain := enter(d, admission.Ticket{})
		young := enter(d, admission.Ticket{Jump: true, Arrived: time.Now().Add(-time.Second)})
		old := enter(d, admission.Ticket{Jump: true, Arrived: time.Now().Add(-time.Minute)})
		for _, next := range []*caller{old, young, plain} {
			inside.place.Leave()
			wantIn(t, next)
			inside = next
		}
	})
}

// overload keeps a door with four places at several times what it can carry and
// returns how long the refused had waited and how many were served.
func overload(d *admission.Door, times int) (refusedAfter []time.Duration, served int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 60 * times { // one minute, 4 per second is what it carries
		all.Go(func() {
			began := time.Now()
			p, err := d.Enter(context.Background(), admission.Ticket{})
			mu.Lock()
			if err != nil {
				refusedAfter = append(refusedAfter, time.Since(began))
			} else {
				served++
			}
			mu.Unlock()
			if err == nil {
				time.Sleep(time.Second)
				p.Leave()
			}
		})
		time.Sleep(time.Second / time.Duration(times))
	}
	all.Wait()
	return refusedAfter, served
}

func TestUnderOverloadMostAreRefusedAtOnceAndNoPlaceIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 4})
		refused, served := overload(d, 40)
		if served < 4*58 {
			t.Errorf("%d served in a minute, want nearly 240", served)
		}
		late := slices.DeleteFunc(refused, func(d time.Duration) bool { return d == 0 })
		if total := 60 * 40; len(late)*20 > total {
			t.Errorf("%d of %d were refused after a wait, want less than 5 %%", len(late), total)
		}
	})
}

func TestALittleOverloadIsServedAlmostWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 4})
		if refused, served := overload(d, 4); len(refused) > 4 {
			t.Errorf("%d refused and %d served at exactly the capacity", len(refused), served)
		}
	})
}

func TestAnOldJamDoesNotRefuseTheNextLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		overload(d, 20)
		time.Sleep(10 * time.Minute)
		inside := enter(d, admission.Ticket{})
		first, second := enter(d, admission.Ticket{}), enter(d, admission.Ticket{})
		wantWaiting(t, second)
		inside.place.Leave()
		wantIn(t, first)
		first.place.Leave()
		wantIn(t, second)
	})
}

func TestAPauseIsInvisibleIfItIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		d.Pause()
		short := enter(d, admission.Ticket{})
		wantWaiting(t, short)
		time.Sleep(time.Second)
		d.Resume()
		wantIn(t, short)
		d.Pause()
		long := enter(d, admission.Ticket{})
		short.place.Leave()
		wantWaiting(t, long)
		wantRefused(t, long, admission.ErrPaused, admission.ReasonTimeout)
		if long.after != 2*time.Second {
			t.Errorf("refused after %s, want 2 s", long.after)
		}
	})
}

func TestDrainingRefusesNewcomersAndFinishesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		inside, line := enter(d, admission.Ticket{}), enter(d, admission.Ticket{})
		d.Drain()
		wantRefused(t, enter(d, admission.Ticket{}), admission.ErrDraining, admission.ReasonDraining)
		inside.place.Leave()
		wantIn(t, line)
		line.place.Leave()
		wantStats(t, d, 0, 0)
		wantRefused(t, enter(d, admission.Ticket{}), admission.ErrDraining, admission.ReasonDraining)
		d.Resume()
		wantIn(t, enter(d, admission.Ticket{}))
	})
}

func TestReconfigureLetsInWhoMayNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1})
		var all []*caller
		for range 4 {
			all = append(all, enter(d, admission.Ticket{}))
		}
		d.Reconfigure(admission.Config{Running: 3})
		wantStats(t, d, 3, 1)
		d.Reconfigure(admission.Config{Running: 1})
		all[0].place.Leave()
		all[1].place.Leave()
		wantStats(t, d, 1, 1)
		all[2].place.Leave()
		wantIn(t, all[3])
	})
}

func TestAPanicInReadyLeavesTheDoorInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxWait: time.Hour})
		bad := func() bool { panic("ready") }
		mustPanic(t, func() { _, _ = d.Enter(context.Background(), admission.Ticket{Ready: bad}) })
		wantStats(t, d, 0, 0)
		inside := enter(d, admission.Ticket{})
		broken := false
		c := enter(d, admission.Ticket{Ready: func() bool {
			if broken {
				panic("ready")
			}
			return true
		}})
		broken = true
		mustPanic(t, inside.place.Leave)
		broken = false
		d.Wake()
		wantIn(t, c)
	})
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

func TestValidateReportsEveryMistake(t *testing.T) {
	if err := (admission.Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	bad := admission.Config{Running: -1, MaxWait: -1, MaxDepth: 2_000_000}
	err := bad.Validate()
	if err == nil {
		t.Fatal("no mistake found")
	}
	for _, key := range []string{"running:", "max_wait:", "max_depth:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in\n%v", key, err)
		}
	}
	if err := (admission.Config{Running: 2_000_000}).Validate(); err == nil {
		t.Error("two million inside: no mistake found")
	}
}

func TestManyGoroutinesKeepTheBounds(t *testing.T) {
	const places, permits = 6, 4
	d := admission.NewDoor("chat", admission.Config{Running: places, MaxWait: time.Minute, MaxDepth: 1000})
	primary := newTarget(d, permits)
	var inside, done atomic.Int64
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if i%7 == g%7 {
					go cancel()
				}
				p, err := d.Enter(ctx, admission.Ticket{Ready: primary.ready})
				for err == nil && !primary.acquire() {
					err = p.Back(ctx, nil)
				}
				if err == nil {
					if n := inside.Add(1); n > permits {
						t.Errorf("%d inside with %d permits", n, permits)
					}
					inside.Add(-1)
					primary.release(1)
					p.Leave()
					done.Add(1)
				} else if ctx.Err() == nil {
					t.Errorf("refused: %v", err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if running, waiting := count(d); running != 0 || waiting != 0 || done.Load() == 0 {
		t.Errorf("%d inside, %d waiting, %d served; want 0, 0 and many", running, waiting, done.Load())
	}
}

func Example() {
	door := admission.NewDoor("chat", admission.Config{Running: 1, MaxDepth: -1})
	place, _ := door.Enter(context.Background(), admission.Ticket{})

	_, err := door.Enter(context.Background(), admission.Ticket{})
	var refusal *admission.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Reason, refusal.RetryAfter)
	}
	place.Leave() // when the call's body has ended
	fmt.Println(door.Snapshot().Running, "running")
	// Output:
	// queue_full 1s
	// 0 running
}

func BenchmarkEnterWithRoom(b *testing.B) {
	d := newDoor(admission.Config{Running: 4})
	ready := func() bool { return true }
	b.ReportAllocs()
	for b.Loop() {
		p, err := d.Enter(context.Background(), admission.Ticket{Ready: ready})
		if err != nil {
			b.Fatal(err)
		}
		p.Leave()
	}
}
