package admission_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
)

// seeds is how many seeds a simulation runs with.
func seeds() uint64 {
	if os.Getenv("HOLDFAST_EXPERIMENTS") == "1" {
		return 20
	}
	return 3
}

// customer offers calls at random moments, so many a second, through a door
// whose places are held for a second on average.
type customer struct {
	class  admission.Class
	tenant string
	rate   float64
	cost   int64

	mu      sync.Mutex
	offered int
	took    []time.Duration // from arrival to the end, of those served
	late    int             // refused after a wait
}

// offer sends calls until the bubble's clock has moved on by during.
func (c *customer) offer(d *admission.Door, r *rand.Rand, during time.Duration, all *sync.WaitGroup) {
	for end := time.Now().Add(during); ; {
		time.Sleep(time.Duration(r.ExpFloat64() / c.rate * float64(time.Second)))
		if time.Now().After(end) {
			return
		}
		c.offered++
		hold := time.Duration(500+r.IntN(1001)) * time.Millisecond
		all.Go(func() {
			began := time.Now()
			p, err := d.Enter(context.Background(), admission.Ticket{Class: c.class, Tenant: c.tenant, Cost: c.cost})
			if err == nil {
				time.Sleep(hold)
				p.LeaveAfter(c.cost)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			switch took := time.Since(began); {
			case err == nil:
				c.took = append(c.took, took)
			case took > 0:
				c.late++
			}
		})
	}
}

func (c *customer) p95() time.Duration {
	slices.Sort(c.took)
	return c.took[len(c.took)*95/100]
}

// market lets customers offer to a door with ten places for two minutes: 1,200
// calls are what it can serve.
func market(t *testing.T, seed uint64, customers ...*customer) {
	t.Helper()
	longMarket(t, seed, 2*time.Minute, customers...)
}

func longMarket(t *testing.T, seed uint64, during time.Duration, customers ...*customer) {
	synctest.Test(t, func(*testing.T) {
		d := newDoor(admission.Config{Running: 10})
		var all, calls sync.WaitGroup
		for i, c := range customers {
			all.Go(func() { c.offer(d, rand.New(rand.NewPCG(seed, uint64(i))), during, &calls) })
		}
		all.Wait()
		calls.Wait()
	})
}

func TestATenantThatOffersTenTimesAsMuchTakesNothingFromAnother(t *testing.T) {
	for seed := range seeds() {
		alone := &customer{tenant: "quiet", rate: 2}
		longMarket(t, seed, 20*time.Minute, alone)
		quiet, loud := &customer{tenant: "quiet", rate: 2}, &customer{tenant: "loud", rate: 20}
		longMarket(t, seed, 20*time.Minute, quiet, loud)
		if len(quiet.took)*100 < quiet.offered*90 {
			t.Errorf("seed %d: %d of the quiet tenant's %d calls were served, want 90 %%", seed, len(quiet.took), quiet.offered)
		}
		if was, is := alone.p95(), quiet.p95(); is > was*12/10 {
			t.Errorf("seed %d: its p95 rose from %s to %s, want at most 20 %%", seed, was, is)
		}
	}
}

func TestTenantsThatBothOfferTooMuchShareEquallyByTokens(t *testing.T) {
	for seed := range seeds() {
		few, many := &customer{tenant: "few", rate: 10, cost: 100}, &customer{tenant: "many", rate: 100, cost: 100}
		market(t, seed, few, many)
		if len(few.took) < 540 {
			t.Errorf("seed %d: %d calls were served of the tenant that offers a tenth, want 90 %% of half of 1200", seed, len(few.took))
		}
		small, large := &customer{tenant: "small", rate: 50, cost: 100}, &customer{tenant: "large", rate: 50, cost: 300}
		market(t, seed, small, large)
		if ratio := float64(len(small.took)) / float64(len(large.took)); ratio < 2.4 || ratio > 3.6 {
			t.Errorf("seed %d: %.1f small calls for a large one, want 3", seed, ratio)
		}
	}
}

func TestACallThatTookMoreThanItSaidIsChargedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxWait: time.Hour})
		inside := enter(d, admission.Ticket{})
		ask := func(tenant string) *caller { return enter(d, admission.Ticket{Tenant: tenant, Cost: 10}) }
		liar, liars, honest := ask("liar"), ask("liar"), []*caller{ask("honest"), ask("honest"), ask("honest")}
		inside.place.Leave()
		wantIn(t, liar)
		liar.place.LeaveAfter(35) // of 10
		for _, c := range honest {
			wantIn(t, c)
			wantWaiting(t, liars)
			c.place.LeaveAfter(10)
		}
		wantIn(t, liars)
	})
}

func TestEveryClassHasItsShareAndCriticalGoesFirst(t *testing.T) {
	for seed := range seeds() {
		all := map[admission.Class]*customer{}
		for _, class := range admission.Classes {
			all[class] = &customer{class: class, rate: 15}
		}
		market(t, seed, all[admission.Critical], all[admission.High], all[admission.Normal], all[admission.Batch])
		for class, atLeast := range map[admission.Class]int{admission.Critical: 65 - 5, admission.High: 20 - 2, admission.Normal: 10 - 2, admission.Batch: 5 - 1} {
			if got := len(all[class].took); got*100 < atLeast*1200 {
				t.Errorf("seed %d: %d calls of class %s were served, want %d %% of 1200", seed, got, class, atLeast)
			}
		}
		urgent, bulk := &customer{class: admission.Critical, rate: 5}, &customer{class: admission.Batch, rate: 100}
		market(t, seed, urgent, bulk)
		if len(urgent.took)*100 < urgent.offered*99 {
			t.Errorf("seed %d: %d of %d critical calls were served beside a flood of batch work, want 99 %%", seed, len(urgent.took), urgent.offered)
		}
		if served := len(urgent.took) + len(bulk.took); served < 1100 {
			t.Errorf("seed %d: %d served in all, want nearly 1200: places were idle", seed, served)
		}
	}
}

func TestBatchCannotFillTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxDepth: 10, MaxWait: time.Hour})
		enter(d, admission.Ticket{})
		ask := func(class admission.Class) *caller { return enter(d, admission.Ticket{Class: class}) }
		var batch, normal []*caller
		for range 5 {
			batch = append(batch, ask(admission.Batch))
		}
		wantRefused(t, ask(admission.Batch), admission.ErrFull, admission.ReasonFull)
		for range 5 {
			normal = append(normal, ask(admission.Normal))
		}
		wantStats(t, d, 1, 10)
		urgent := ask(admission.Critical)
		wantWaiting(t, urgent)
		wantRefused(t, batch[4], admission.ErrFull, admission.ReasonFull) // it made room
		wantWaiting(t, normal[4])
		wantRefused(t, ask(admission.Batch), admission.ErrFull, admission.ReasonFull) // and finds none again
		if s := d.Snapshot(); s.Waiting != 10 || s.Classes[3].Full != 3 || s.Classes[0].Waiting != 1 {
			t.Errorf("got %+v, want 10 waiting, one of them critical, and 3 batch calls refused", s)
		}
		untilAllGaveUp()
	})
}

func TestAFullLineTakesATenantsFirstCallForALastOfTheTenantThatFillsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxDepth: 4, MaxWait: time.Hour})
		inside := enter(d, admission.Ticket{})
		var loud []*caller
		for range 4 {
			loud = append(loud, enter(d, admission.Ticket{Tenant: "loud"}))
		}
		wantRefused(t, enter(d, admission.Ticket{Tenant: "loud"}), admission.ErrFull, admission.ReasonFull)
		quiet := enter(d, admission.Ticket{Tenant: "quiet"})
		wantWaiting(t, quiet)
		wantRefused(t, loud[3], admission.ErrFull, admission.ReasonFull)
		inside.place.Leave()
		wantIn(t, loud[0])
		loud[0].place.Leave()
		wantIn(t, quiet)
		untilAllGaveUp()
	})
}

// untilAllGaveUp ends the waits of a bubble's callers.
func untilAllGaveUp() {
	time.Sleep(2 * time.Hour)
	synctest.Wait()
}

func TestTheNewestGoFirstWhereAQueueStaysAStandingOneAndTheOldestOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxWait: 2 * time.Second})
		patient := admission.Ticket{Waited: -time.Hour} // nobody gives up
		inside := enter(d, patient)
		first, second := enter(d, patient), enter(d, patient)
		time.Sleep(1100 * time.Millisecond)
		third := enter(d, patient) // the others have waited too long by now
		time.Sleep(900 * time.Millisecond)
		inside.place.Leave()
		wantIn(t, first) // but not for an interval
		time.Sleep(200 * time.Millisecond)
		fourth := enter(d, patient)
		if !d.Snapshot().Classes[2].Standing {
			t.Error("no standing queue after more than a second of waiting")
		}
		first.place.Leave()
		wantIn(t, second) // in order still: few are let join, and the waits may become short
		first = second
		time.Sleep(2200 * time.Millisecond)
		fifth := enter(d, patient)
		for i, next := range []*caller{fifth, fourth, third} {
			first.place.Leave()
			wantIn(t, next)
			if first = next; i == 2 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		old, young := enter(d, patient), enter(d, patient)
		first.place.Leave()
		wantIn(t, old) // the line has been empty: in order again
		old.place.Leave()
		wantIn(t, young)
	})
}

func TestUnderOverloadThoseServedHaveWaitedLittle(t *testing.T) {
	for seed := range seeds() {
		c := &customer{rate: 15}
		market(t, seed, c)
		if len(c.took) < 1100 {
			t.Errorf("seed %d: %d served, want nearly 1200", seed, len(c.took))
		}
		slices.Sort(c.took)
		if median := c.took[len(c.took)/2]; median > 1900*time.Millisecond {
			t.Errorf("seed %d: the median call took %s, of which 1 s is not waiting", seed, median)
		}
		if c.late*20 > c.offered {
			t.Errorf("seed %d: %d of %d calls waited for nothing, want at most one in twenty", seed, c.late, c.offered)
		}
	}
}

func TestTheRoomServesAllSoonAfterAnOverload(t *testing.T) {
	for seed := range seeds() {
		flood, calm := &customer{rate: 100}, &customer{rate: 8}
		synctest.Test(t, func(*testing.T) {
			d := newDoor(admission.Config{Running: 10})
			r := rand.New(rand.NewPCG(seed, 5))
			var calls sync.WaitGroup
			flood.offer(d, r, 20*time.Second, &calls)
			time.Sleep(2 * time.Second)
			calm.offer(d, r, time.Minute, &calls)
			calls.Wait()
		})
		if len(calm.took)*100 < calm.offered*98 {
			t.Errorf("seed %d: %d of %d calls were served at 80 %% load, 2 s after an overload; want 98 %%", seed, len(calm.took), calm.offered)
		}
	}
}

// needs is a call that needs so much of its time once it is inside.
type needs time.Duration

func (n needs) Needs() time.Duration { return time.Duration(n) }
func (n needs) Rests() time.Duration { return 0 }

// resting is a call whose targets all rest until then.
type resting time.Time

func (r resting) Needs() time.Duration { return 0 }
func (r resting) Rests() time.Duration { return max(0, time.Until(time.Time(r))) }

func TestWhoMeetsARestThatEndsInTimeWaitsForItsEnd(t *testing.T) {
	inBubble("it ends in time", t, func(t *testing.T) {
		d := newDoor(admission.Config{MaxWait: 2 * time.Second})
		key := newTarget(d, 0)
		end := time.Now().Add(1500 * time.Millisecond)
		ticket := admission.Ticket{Ready: key.ready, Call: resting(end)}
		var all []*caller
		for range 60 { // one each 20 ms, to 300 ms before the end
			all = append(all, enter(d, ticket))
			time.Sleep(20 * time.Millisecond)
		}
		for i, c := range all {
			if !c.waiting() {
				t.Fatalf("call %d was sent away (%v) although the rest ends before its time does", i+1, c.err)
			}
		}
		time.Sleep(time.Until(end))
		key.release(1000)
		time.Sleep(100 * time.Millisecond)
		for _, c := range all {
			wantIn(t, c)
		}
	})
	inBubble("it ends too late", t, func(t *testing.T) {
		d := newDoor(admission.Config{MaxWait: 2 * time.Second})
		key := newTarget(d, 0)
		ticket := admission.Ticket{Ready: key.ready, Call: resting(time.Now().Add(10 * time.Second))}
		for range 8 {
			enter(d, ticket)
		}
		ninth := enter(d, ticket)
		synctest.Wait()
		refused := wantRefused(t, ninth, admission.ErrTimeout, admission.ReasonTimeout)
		if refused.RetryAfter != 10*time.Second || ninth.after != 0 {
			t.Errorf("refused after %s, to come again in %s; want at once, in 10s", ninth.after, refused.RetryAfter)
		}
		time.Sleep(3 * time.Second) // the others give up
	})
}

func TestARestDoesNotMakeALineLookSlow(t *testing.T) {
	inBubble("", t, func(t *testing.T) {
		d := newDoor(admission.Config{MaxWait: 4 * time.Second})
		key := newTarget(d, 0)
		end := time.Now().Add(3 * time.Second)
		for range 40 {
			enter(d, admission.Ticket{Ready: key.acquire, Call: resting(end)})
		}
		time.Sleep(3 * time.Second)
		for range 5 { // from now on one goes in every 20 ms
			key.release(1)
			time.Sleep(20 * time.Millisecond)
		}
		late := enter(d, admission.Ticket{Ready: key.acquire})
		if !late.waiting() {
			t.Errorf("a newcomer was sent away (%v) from a line of 35 that moves by 50 a second", late.err)
		}
		time.Sleep(5 * time.Second) // the others give up
	})
}

func TestACallWaitsOnlyAsLongAsItsDeadlineCanStillBeMet(t *testing.T) {
	for _, c := range []struct {
		name                 string
		deadline, needs, max time.Duration
	}{
		{"a fifth of its time when it needs little", 5 * time.Second, time.Second, time.Second},
		{"what is left of its time when it needs much", 5 * time.Second, 4800 * time.Millisecond, 200 * time.Millisecond},
		{"not at all when it is too late already", 5 * time.Second, 6 * time.Second, 0},
		{"a fifth of its time when nobody knows", 5 * time.Second, 0, time.Second},
	} {
		inBubble(c.name, t, func(t *testing.T) {
			d := newDoor(admission.Config{Running: 1})
			enter(d, admission.Ticket{})
			late := enter(d, admission.Ticket{CommitBy: time.Now().Add(c.deadline), Call: needs(c.needs)})
			wantRefused(t, late, admission.ErrTimeout, admission.ReasonTimeout)
			if late.after != c.max {
				t.Errorf("refused after %s, want %s", late.after, c.max)
			}
		})
	}
}

func TestOfTwoHundredSimultaneousCallsTenGoIn(t *testing.T) {
	for _, depth := range []int{-1, 1000} {
		inBubble(fmt.Sprintf("depth %d", depth), t, func(t *testing.T) {
			d := newDoor(admission.Config{Running: 10, MaxDepth: depth, MaxWait: time.Hour})
			start := make(chan struct{})
			var mu sync.Mutex
			var in, refused int
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					<-start
					p, err := d.Enter(context.Background(), admission.Ticket{Tenant: fmt.Sprint(i % 7), Class: admission.Batch + admission.Class(i%4)})
					mu.Lock()
					if err == nil {
						in++
					} else {
						refused++
					}
					mu.Unlock()
					if err == nil {
						time.Sleep(time.Second)
						p.Leave()
					}
				})
			}
			close(start)
			synctest.Wait()
			mu.Lock()
			if running, waiting := count(d); running != 10 || in != 10 || waiting+refused != 190 {
				t.Errorf("%d inside, %d say so, %d wait and %d are refused; want 10, 10 and 190", running, in, waiting, refused)
			}
			mu.Unlock()
			all.Wait()
			wantStats(t, d, 0, 0)
		})
	}
}

func TestTenThousandRandomEndsGiveEveryPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		d := newDoor(admission.Config{Running: 20, MaxDepth: 200, MaxWait: time.Second})
		var all sync.WaitGroup
		for range 10_000 {
			end, hold, cut := r.IntN(6), time.Duration(r.IntN(100))*time.Millisecond, time.Duration(r.IntN(300))*time.Millisecond
			ticket := admission.Ticket{Class: admission.Batch + admission.Class(r.IntN(4)), Tenant: fmt.Sprint(r.IntN(9)), Cost: r.Int64N(5000)}
			all.Go(func() { randomEnd(d, ticket, end, hold, cut) })
			time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		}
		all.Wait()
		wantStats(t, d, 0, 0)
		for range 20 { // and they can be used
			wantIn(t, enter(d, admission.Ticket{}))
		}
	})
}

// randomEnd is a call that ends well, by its caller's leave, a panic, a timeout,
// a slow reader, or a caller who leaves while another attempt waits.
func randomEnd(d *admission.Door, ticket admission.Ticket, end int, hold, cut time.Duration) {
	defer func() { _ = recover() }()
	ctx, cancel := context.WithCancel(context.Background())
	if end == 1 {
		ctx, cancel = context.WithTimeout(ctx, cut)
	}
	defer cancel()
	p, err := d.Enter(ctx, ticket)
	if err != nil {
		return
	}
	defer p.Leave()
	switch end {
	case 0:
		time.Sleep(hold)
		p.LeaveAfter(ticket.Cost * 3)
	case 1:
		<-ctx.Done()
	case 2:
		panic("a handler's")
	case 3:
		time.Sleep(cut)
	case 4:
		time.Sleep(10 * hold)
	case 5:
		time.AfterFunc(cut, cancel)
		_ = p.Back(ctx, func() bool { return hold%2 == 0 })
	}
}

// provider serves ten calls at a time, in order, whether or not their callers
// are still there. While it stalls it answers nobody.
type provider struct {
	jobs     chan job
	from, to time.Time // of the stall
}

type job struct {
	hold time.Duration
	done chan struct{}
}

func (p *provider) work() {
	for j := range p.jobs {
		time.Sleep(j.hold)
		if now := time.Now(); now.After(p.from) && now.Before(p.to) {
			time.Sleep(p.to.Sub(now))
		}
		close(j.done)
	}
}

// stalled offers 70 % of what a provider can serve, which gives no answer for
// 30 s, by callers that give up after 10 s and try twice more at once. It
// returns how many calls of the minute that begins 50 s after the stall got
// their answers in time.
func stalled(t *testing.T, seed uint64, c admission.Config) (good, offered int) {
	const before, stall, grace, after = 20 * time.Second, 30 * time.Second, 50 * time.Second, 60 * time.Second
	synctest.Test(t, func(*testing.T) {
		began := time.Now()
		r := rand.New(rand.NewPCG(seed, 7))
		d := newDoor(c)
		up := &provider{jobs: make(chan job, 10_000), from: began.Add(before), to: began.Add(before + stall)}
		var workers sync.WaitGroup
		for range 10 {
			workers.Go(up.work)
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		for time.Since(began) < before+stall+grace+after {
			time.Sleep(time.Duration(r.ExpFloat64() / 7 * float64(time.Second)))
			hold := time.Duration(500+r.IntN(1001)) * time.Millisecond
			counts := time.Since(began) > before+stall+grace
			all.Go(func() {
				ok := false
				for try := 0; try < 3 && !ok; try++ {
					ok = stalledCall(d, up, hold)
				}
				mu.Lock()
				defer mu.Unlock()
				if counts {
					offered++
				}
				if counts && ok {
					good++
				}
			})
		}
		all.Wait()
		close(up.jobs)
		workers.Wait()
	})
	return good, offered
}

func TestAStallIsOverSoonAfterItsEnd(t *testing.T) {
	for seed := range seeds() {
		good, offered := stalled(t, seed, admission.Config{Running: 10})
		if good*100 < offered*95 || offered < 300 {
			t.Errorf("seed %d: %d of %d calls were answered 50 s after the stall, want 95 %%", seed, good, offered)
		}
		if good, offered = stalled(t, seed, admission.Config{}); good*2 > offered {
			t.Errorf("seed %d: without a limit %d of %d were answered, want a collapse: the test shows nothing", seed, good, offered)
		}
	}
}

// stalledCall is one attempt; it reports whether its caller got an answer.
func stalledCall(d *admission.Door, up *provider, hold time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	by, _ := ctx.Deadline()
	p, err := d.Enter(ctx, admission.Ticket{CommitBy: by})
	if err != nil {
		return false
	}
	defer p.Leave()
	j := job{hold, make(chan struct{})}
	up.jobs <- j
	select {
	case <-j.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func TestClassesHaveNamesAndNumbers(t *testing.T) {
	for priority, want := range map[int]admission.Class{-100: admission.Batch, -1: admission.Batch, 0: admission.Normal, 1: admission.High, 49: admission.High, 50: admission.Critical, 100: admission.Critical} {
		if got := admission.ClassOf(priority); got != want {
			t.Errorf("priority %d is %s, want %s", priority, got, want)
		}
	}
	for _, c := range admission.Classes {
		if got, err := admission.ParseClass(c.String()); got != c || err != nil || admission.ClassOf(c.Priority()) != c {
			t.Errorf("%s: parsed as %s, %v; its priority is of class %s", c, got, err, admission.ClassOf(c.Priority()))
		}
	}
	if _, err := admission.ParseClass("urgent"); err == nil {
		t.Error("a class named urgent")
	}
	if !slices.IsSortedFunc(admission.Classes[:], func(a, b admission.Class) int { return cmp.Compare(b, a) }) {
		t.Error("the classes are out of order")
	}
}

func TestAWalkInTakesNoMemory(t *testing.T) {
	d := newDoor(admission.Config{Running: 4})
	ready := func() bool { return true }
	places := make([]admission.Place, 0, 2000)
	got := testing.AllocsPerRun(1000, func() {
		places = append(places, admission.Place{})
		p := &places[len(places)-1]
		if err := d.EnterAs(context.Background(), p, admission.Ticket{Ready: ready, Tenant: "a", Cost: 5, CommitBy: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		p.LeaveAfter(7)
	})
	if got != 0 {
		t.Errorf("%.0f allocations, want none", got)
	}
}

func TestRefusalsAreCountedByClassAndReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(admission.Config{Running: 1, MaxDepth: 1})
		enter(d, admission.Ticket{})
		waits := enter(d, admission.Ticket{Class: admission.High})
		wantRefused(t, enter(d, admission.Ticket{Class: admission.High}), admission.ErrFull, admission.ReasonFull)
		wantRefused(t, waits, admission.ErrTimeout, admission.ReasonTimeout)
		d.Drain()
		wantRefused(t, enter(d, admission.Ticket{Class: admission.Batch}), admission.ErrDraining, admission.ReasonDraining)
		want := admission.Snapshot{Running: 1, Draining: true, Classes: [4]admission.ClassSnapshot{{Class: admission.Critical},
			{Class: admission.High, Full: 1, Timeout: 1}, {Class: admission.Normal}, {Class: admission.Batch, Draining: 1}}}
		if got := d.Snapshot(); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if errors.Is(waits.err, admission.ErrFull) {
			t.Error("a timeout says the line was full")
		}
	})
}

func ExampleClassOf() {
	door := admission.NewDoor("chat", admission.Config{Running: 1, MaxDepth: 1})
	inside, _ := door.Enter(context.Background(), admission.Ticket{})

	var batch, urgent sync.WaitGroup
	batch.Go(func() {
		_, err := door.Enter(context.Background(), admission.Ticket{Class: admission.ClassOf(-10)})
		fmt.Println("batch:", err)
	})
	for _, waiting := count(door); waiting == 0; _, waiting = count(door) {
		runtime.Gosched()
	}
	urgent.Go(func() {
		place, err := door.Enter(context.Background(), admission.Ticket{Class: admission.ClassOf(100)})
		fmt.Println("critical:", err)
		place.Leave()
	})
	batch.Wait() // its room in the line was taken
	inside.Leave()
	urgent.Wait()
	// Output:
	// batch: admission: too many calls are waiting (route chat, retry after 1s)
	// critical: <nil>
}
