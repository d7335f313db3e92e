package breaker_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
)

func outcome(c call.Class) call.Outcome { return call.Outcome{Verdict: call.Verdict{Class: c}} }

// longest makes the jitter take the whole open time.
func longest() float64 { return 1 }

func newBreaker(c breaker.Config) *breaker.Breaker {
	return breaker.New("primary", c, breaker.Options{Rand: longest})
}

func admit(t *testing.T, b *breaker.Breaker) *breaker.Permit {
	t.Helper()
	p, err := b.Admit(true)
	if err != nil {
		t.Fatalf("Admit: %v, want a permit", err)
	}
	return p
}

func end(t *testing.T, b *breaker.Breaker, c call.Class, times int) {
	t.Helper()
	for range times {
		admit(t, b).End(outcome(c))
	}
}

func wantState(t *testing.T, b *breaker.Breaker, want breaker.State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("state is %s, want %s; %+v", got, want, b.Snapshot())
	}
}

func wantRefusal(t *testing.T, b *breaker.Breaker, wait time.Duration) {
	t.Helper()
	_, err := b.Admit(true)
	var open *breaker.OpenError
	if !errors.As(err, &open) || !errors.Is(err, breaker.ErrOpen) {
		t.Fatalf("Admit: %v, want an OpenError", err)
	}
	if open.Wait != wait {
		t.Fatalf("the refusal says wait %s, want %s", open.Wait, wait)
	}
	if ok, peeked := b.Peek(); ok || peeked != wait {
		t.Fatalf("Peek says %v, %s; want false, %s", ok, peeked, wait)
	}
}

// trip opens a closed circuit by failures in a row.
func trip(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	end(t, b, call.ProviderFault, 5)
	wantState(t, b, breaker.Open)
}

// recoverNow lets an open circuit's time pass and closes it with good probes.
func recoverNow(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	time.Sleep(15 * time.Second)
	end(t, b, call.OK, 2)
	wantState(t, b, breaker.Closed)
}

func inBubble(name string, t *testing.T, story func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
}

func TestItOpensAtTheThreshold(t *testing.T) {
	cases := []struct {
		name   string
		config breaker.Config
		play   func(t *testing.T, b *breaker.Breaker)
		cause  string
	}{
		{"five failures in a row", breaker.Config{Ratio: -1}, func(t *testing.T, b *breaker.Breaker) {
			end(t, b, call.Timeout, 4)
		}, breaker.CauseConsecutive},
		{"half of ten outcomes", breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
			for range 4 {
				end(t, b, call.Overloaded, 1)
				end(t, b, call.OK, 1)
			}
			end(t, b, call.OK, 1)
		}, breaker.CauseRatio},
		{"a tenth of thirty outcomes", breaker.Config{Ratio: 0.1, MinCalls: 30}, func(t *testing.T, b *breaker.Breaker) {
			end(t, b, call.BadResponse, 2)
			end(t, b, call.PolicyViolation, 27)
		}, breaker.CauseRatio},
	}
	for _, c := range cases {
		inBubble(c.name, t, func(t *testing.T) {
			b := newBreaker(c.config)
			c.play(t, b)
			wantState(t, b, breaker.Closed)
			end(t, b, call.ProviderFault, 1)
			wantState(t, b, breaker.Open)
			if got := b.Snapshot().Cause; got != c.cause {
				t.Errorf("cause %q, want %q", got, c.cause)
			}
		})
	}
}

func TestNeutralOutcomesTouchNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		end(t, b, call.ProviderFault, 4)
		before := b.Snapshot()
		for _, c := range call.Classes() {
			if e := c.Row().Breaker; e == call.BreakerNeutral || e == call.BreakerProbeFailure {
				end(t, b, c, 20)
			}
		}
		superseded := outcome(call.ProviderFault)
		superseded.Superseded, superseded.Slow = true, true
		admit(t, b).End(superseded)
		if got := b.Snapshot(); got != before {
			t.Fatalf("got %+v, want %+v", got, before)
		}
		end(t, b, call.ProviderFault, 1) // the fifth in a row: neutral ones did not interrupt
		wantState(t, b, breaker.Open)
	})
}

func TestOnlyASuccessEndsARowOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{Ratio: -1})
		for range 10 {
			end(t, b, call.ProviderFault, 4)
			end(t, b, call.OK, 1)
		}
		wantState(t, b, breaker.Closed)
		end(t, b, call.ProviderFault, 4)
		admit(t, b).FirstToken() // content is no outcome yet
		end(t, b, call.ProviderFault, 1)
		wantState(t, b, breaker.Open)
	})
}

func TestCallsLongerThanTheWindowCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{Window: 10 * time.Second, Consecutive: -1})
		var under []*breaker.Permit
		for range 10 {
			under = append(under, admit(t, b))
		}
		time.Sleep(15 * time.Second)
		for _, p := range under {
			p.End(outcome(call.Truncated))
		}
		wantState(t, b, breaker.Open)
	})
}

func TestTheWindowForgetsWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{Consecutive: -1})
		end(t, b, call.ProviderFault, 9)
		time.Sleep(54*time.Second - 1)
		if got := b.Snapshot().Failures; got != 9 {
			t.Fatalf("after 54 s: %d failures, want 9", got)
		}
		time.Sleep(6*time.Second + 1)
		end(t, b, call.ProviderFault, 1)
		if s := b.Snapshot(); s.State != breaker.Closed || s.Total != 1 {
			t.Fatalf("after 60 s: %+v, want a closed circuit with one outcome", s)
		}
		time.Sleep(1000 * time.Hour)
		if s := b.Snapshot(); s.Total != 0 {
			t.Fatalf("long after: %+v, want nothing", s)
		}
	})
}

func TestATargetThatHangsOpensItBeforeAnyCallHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		for i := range 12 {
			p := admit(t, b)
			if i < 2 {
				p.FirstToken()
			}
			p.Slow() // of the first two: too late to be slow
			p.Slow() // counts once
			if want := i >= 9; (b.State() == breaker.Open) != want {
				t.Fatalf("after %d attempts, 2 of them fast: open is %v; %+v", i+1, !want, b.Snapshot())
			}
			if i >= 9 {
				break
			}
		}
		if s := b.Snapshot(); s.Cause != breaker.CauseSlow || s.Slow != 8 || s.Timed != 10 || s.Total != 0 {
			t.Fatalf("got %+v, want 8 of 10 slow and no outcome", s)
		}
	})
}

func TestASlowSuccessIsSlowAndASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		end(t, b, call.ProviderFault, 4)
		slow := outcome(call.OK)
		slow.Slow = true
		p := admit(t, b)
		p.Slow()
		p.FirstToken()
		p.End(slow)
		if s := b.Snapshot(); s.Slow != 1 || s.Total != 5 || s.Consecutive != 0 {
			t.Fatalf("got %+v, want it slow once, an outcome, and no failure in a row", s)
		}
		admit(t, b).End(slow) // nobody called Slow
		if s := b.Snapshot(); s.Slow != 2 || s.Timed != 6 {
			t.Fatalf("got %+v, want the second one slow too", s)
		}
	})
}

func TestImpatientClientsDoNotHideATargetThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		hung := outcome(call.Canceled)
		hung.Slow = true
		for range 9 {
			admit(t, b).End(hung)
		}
		end(t, b, call.Canceled, 50) // quick ones say nothing
		wantState(t, b, breaker.Closed)
		admit(t, b).End(hung)
		wantState(t, b, breaker.Open)
	})
}

func TestOneBrokenConnectionIsOneFailureInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{Ratio: -1})
		cut := outcome(call.Truncated)
		cut.Sent = true
		var streams []*breaker.Permit
		for range 8 {
			streams = append(streams, admit(t, b))
		}
		for _, p := range streams {
			p.End(cut)
		}
		if s := b.Snapshot(); s.Consecutive != 1 || s.Failures != 8 {
			t.Fatalf("got %+v, want 8 failures, 1 in a row", s)
		}
		end(t, b, call.OK, 1)
		for range 4 {
			admit(t, b).End(cut)
			wantState(t, b, breaker.Closed)
		}
		admit(t, b).End(cut) // each one began after the one before had ended
		wantState(t, b, breaker.Open)
	})
}

func TestTheFirstProbeGoesWhenTheOpenTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		wantRefusal(t, b, 15*time.Second)
		time.Sleep(15*time.Second - 1)
		wantRefusal(t, b, 1)
		time.Sleep(1)
		if ok, wait := b.Peek(); !ok || wait != 0 {
			t.Fatalf("Peek says %v, %s; want true", ok, wait)
		}
		wantState(t, b, breaker.HalfOpen)
		admit(t, b)
		wantRefusal(t, b, 30*time.Second) // one probe at a time
	})
}

func TestTheOpenTimeIsJitteredBetweenHalfAndAll(t *testing.T) {
	for _, c := range []struct {
		rand float64
		want time.Duration
	}{{0, 7500 * time.Millisecond}, {0.5, 11250 * time.Millisecond}, {1, 15 * time.Second}} {
		inBubble(fmt.Sprint(c.rand), t, func(t *testing.T) {
			b := breaker.New("primary", breaker.Config{}, breaker.Options{Rand: func() float64 { return c.rand }})
			trip(t, b)
			wantRefusal(t, b, c.want)
		})
	}
}

func TestEachCauseHasItsOwnOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{OpenForConsecutive: 30 * time.Second, OpenForSlow: 5 * time.Second})
		trip(t, b)
		wantRefusal(t, b, 30*time.Second)
		time.Sleep(30 * time.Second)
		end(t, b, call.ProviderFault, 1)
		wantRefusal(t, b, 30*time.Second) // a failed probe waits as the outage began
		b.Reset()
		for range 10 {
			admit(t, b).Slow()
			if b.State() == breaker.Open {
				break
			}
		}
		wantRefusal(t, b, 5*time.Second)
		b.Reset()
		for range 5 {
			end(t, b, call.OK, 1)
			end(t, b, call.Overloaded, 1)
		}
		wantRefusal(t, b, 15*time.Second)
	})
}

func TestTwoGoodProbesCloseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		time.Sleep(15 * time.Second)
		p := admit(t, b)
		p.FirstToken()
		p.FirstToken()
		p.End(outcome(call.OK)) // the same probe, good once
		wantState(t, b, breaker.HalfOpen)
		admit(t, b).End(outcome(call.OK)) // no token, but an answer
		wantState(t, b, breaker.Closed)
	})
}

func TestAProbeGivesItsPlaceBackAtTheFirstToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{Successes: 3})
		trip(t, b)
		time.Sleep(15 * time.Second)
		first := admit(t, b)
		first.FirstToken()
		second := admit(t, b)
		first.End(outcome(call.Truncated)) // good at first, broken in the middle
		wantState(t, b, breaker.Open)
		second.FirstToken() // of an earlier generation
		wantState(t, b, breaker.Open)
	})
}

func TestAFailedProbeOpensItAgain(t *testing.T) {
	for _, c := range call.Classes() {
		effect := c.Row().Breaker
		inBubble(c.String(), t, func(t *testing.T) {
			b := newBreaker(breaker.Config{})
			trip(t, b)
			time.Sleep(15 * time.Second)
			end(t, b, c, 1)
			want := breaker.HalfOpen
			if effect == call.BreakerFailure || effect == call.BreakerProbeFailure {
				want = breaker.Open
			}
			wantState(t, b, want)
			if want == breaker.HalfOpen {
				admit(t, b) // its place is free
			}
		})
	}
}

func TestAProbeThatHangsLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		time.Sleep(15 * time.Second)
		hung := admit(t, b)
		time.Sleep(30*time.Second - 1)
		wantRefusal(t, b, 1)
		time.Sleep(1)
		second := admit(t, b)
		wantRefusal(t, b, 30*time.Second)
		hung.End(outcome(call.Canceled)) // must not free the place of the second
		wantRefusal(t, b, 30*time.Second)
		second.End(outcome(call.Canceled))
		admit(t, b)
	})
}

func TestASlowProbeFailsOnlyAnOutageOfSlowness(t *testing.T) {
	inBubble("outage of failures", t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		time.Sleep(15 * time.Second)
		for range 2 {
			p := admit(t, b)
			p.Slow()
			p.FirstToken()
		}
		wantState(t, b, breaker.Closed)
	})
	for name, slow := range map[string]func(*breaker.Permit){
		"outage of slowness": (*breaker.Permit).Slow,
		"outage of slowness, told at the end": func(p *breaker.Permit) {
			p.End(call.Outcome{Verdict: call.Verdict{Class: call.OK}, Slow: true})
		},
		"outage of slowness, client left": func(p *breaker.Permit) {
			p.End(call.Outcome{Verdict: call.Verdict{Class: call.Canceled}, Slow: true})
		},
	} {
		inBubble(name, t, func(t *testing.T) {
			b := newBreaker(breaker.Config{Successes: 1})
			for range 10 {
				admit(t, b).Slow()
			}
			time.Sleep(15 * time.Second)
			slow(admit(t, b))
			wantState(t, b, breaker.Open)
		})
	}
}

func TestNewsFromAnEarlierGenerationIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		var old []*breaker.Permit
		for range 30 {
			old = append(old, admit(t, b))
		}
		trip(t, b)
		time.Sleep(15 * time.Second)
		probe := admit(t, b)
		for _, p := range old[:10] { // in half-open: neither closes nor frees
			p.FirstToken()
			p.End(outcome(call.OK))
		}
		wantRefusal(t, b, 30*time.Second)
		probe.FirstToken()
		end(t, b, call.OK, 1)
		wantState(t, b, breaker.Closed)
		for _, p := range old[10:] {
			p.Slow()
			p.End(outcome(call.ProviderFault))
		}
		if s := b.Snapshot(); s.State != breaker.Closed || s.Total != 0 || s.Slow != 0 {
			t.Fatalf("got %+v, want a closed circuit that heard nothing", s)
		}
	})
}

func TestOnlyTheFirstEndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		p := admit(t, b)
		p.End(outcome(call.OK))
		for range 20 {
			p.End(outcome(call.ProviderFault))
			p.Slow()
			p.FirstToken()
		}
		if s := b.Snapshot(); s.Total != 1 || s.Failures != 0 || s.Timed != 1 {
			t.Fatalf("got %+v, want one success", s)
		}
		var none *breaker.Permit
		none.FirstToken()
		none.Slow()
		none.End(outcome(call.OK))
	})
}

func TestTheShareGrowsAfterClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		recoverNow(t, b)
		admitted := func(tries int) (n int) {
			for range tries {
				p, err := b.Admit(false)
				if err == nil {
					n++
					p.End(outcome(call.OK))
				} else if !errors.Is(err, breaker.ErrRamp) {
					t.Fatalf("Admit: %v, want ErrRamp", err)
				}
			}
			return n
		}
		for _, want := range []int{25, 34, 44, 53, 62, 72, 81, 91} {
			if got := admitted(100); got < want-1 || got > want+1 {
				t.Errorf("admitted %d of 100, want about %d", got, want)
			}
			if _, err := b.Admit(true); err != nil {
				t.Errorf("forced: %v, want a permit", err)
			}
			time.Sleep(time.Second)
		}
		if got := admitted(100); got != 100 {
			t.Errorf("after 8 s: admitted %d of 100, want all", got)
		}
	})
}

func TestTheFirstAttemptAfterClosingIsAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		recoverNow(t, b)
		if _, err := b.Admit(false); err != nil {
			t.Fatalf("first: %v, want a permit", err)
		}
		_, err := b.Admit(false)
		var ramp *breaker.RampError
		if !errors.As(err, &ramp) || ramp.Share != 0.25 || ramp.Wait != 8*time.Second {
			t.Fatalf("second: %v, want a RampError of 25 %% and 8 s", err)
		}
	})
}

// outageOf fails for the given time, asking every 100 ms, and returns how long
// after its end the first probe went and how long after the second good probe
// everything was admitted.
func outageOf(t *testing.T, b *breaker.Breaker, length time.Duration) (firstProbe, fullShare time.Duration) {
	t.Helper()
	over := time.Now().Add(length)
	var good int
	var closed time.Time
	for i := range 1_000_000 {
		now := time.Now()
		back := !now.Before(over)
		p, err := b.Admit(false)
		switch {
		case err != nil:
		case !back:
			p.End(outcome(call.ProviderFault))
		default:
			if good++; good == 1 {
				firstProbe = now.Sub(over)
			} else if good == 2 {
				closed = now
			}
			p.End(outcome(call.OK))
		}
		if ok := !closed.IsZero() && now.Sub(closed) >= 8*time.Second; ok && err == nil {
			return firstProbe, now.Sub(closed)
		}
		if i%7 == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	t.Fatal("never recovered")
	return 0, 0
}

func TestRecoveryIsNoticedInTime(t *testing.T) {
	for seed := range 60 {
		length := time.Duration(seed+1) * 2 * time.Second // up to two minutes
		inBubble(length.String(), t, func(t *testing.T) {
			b := newBreaker(breaker.Config{})
			probe, full := outageOf(t, b, length)
			if probe > 15*time.Second {
				t.Errorf("first probe %s after recovery, want at most 15 s", probe)
			}
			if full > 10*time.Second {
				t.Errorf("full share %s after the second good probe, want at most 10 s", full)
			}
		})
	}
}

func TestTheOpenTimeDoublesOnlyInALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		began := time.Now()
		var got []time.Duration
		for range 15 {
			_, wait := b.Peek()
			got = append(got, wait)
			time.Sleep(wait)
			end(t, b, call.ProviderFault, 1)
		}
		// 9 x 15 s pass the age of 2 min, then 30, 60, 120, 240, 300, 300
		want := "[15s 15s 15s 15s 15s 15s 15s 15s 15s 30s 1m0s 2m0s 4m0s 5m0s 5m0s]"
		if fmt.Sprint(got) != want {
			t.Errorf("open times %v, want %s (after %s)", got, want, time.Since(began))
		}
		_, wait := b.Peek()
		time.Sleep(wait)
		end(t, b, call.OK, 2)
		time.Sleep(8 * time.Second)
		trip(t, b) // a new outage, which is young and has doubled nothing
		for range 9 {
			wantRefusal(t, b, 15*time.Second)
			time.Sleep(15 * time.Second)
			end(t, b, call.ProviderFault, 1)
		}
		wantRefusal(t, b, 30*time.Second)
	})
}

func TestATargetThatBreaksWhileItRampsUpIsInItsOldOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		for range 9 {
			_, wait := b.Peek()
			time.Sleep(wait)
			end(t, b, call.ProviderFault, 1)
		}
		wantRefusal(t, b, 30*time.Second)
		time.Sleep(30 * time.Second)
		end(t, b, call.OK, 2)
		time.Sleep(7 * time.Second)
		trip(t, b)
		wantRefusal(t, b, time.Minute)
	})
}

func TestByHand(t *testing.T) {
	inBubble("a later opening never shortens", t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		b.Open("peer", 5*time.Second)
		wantRefusal(t, b, 15*time.Second)
		b.Open("peer", 60*time.Second)
		wantRefusal(t, b, 60*time.Second)
		b.Open(breaker.CauseManual, 0)
		b.Open("peer", time.Second)
		wantState(t, b, breaker.ForcedOpen)
	})
	inBubble("opened for a time it probes afterwards", t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		b.Open("peer", 7*time.Second)
		wantRefusal(t, b, 7*time.Second)
		recoverNow(t, b)
	})
	inBubble("forced open stays open until reset", t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		old := admit(t, b)
		b.Open(breaker.CauseManual, 0)
		time.Sleep(1000 * time.Hour)
		wantRefusal(t, b, 300*time.Second)
		old.End(outcome(call.OK))
		wantState(t, b, breaker.ForcedOpen)
		b.Reset()
		wantState(t, b, breaker.Closed)
		if _, err := b.Admit(false); err != nil {
			t.Fatalf("after Reset: %v, want no ramp", err)
		}
	})
	inBubble("forced closed counts and does not open", t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		b.Close(breaker.CauseManual)
		end(t, b, call.ProviderFault, 50)
		wantState(t, b, breaker.ForcedClosed)
		if got := b.Snapshot().Failures; got != 50 {
			t.Errorf("%d failures, want 50", got)
		}
		b.Reset()
		trip(t, b)
	})
	inBubble("closing by hand ends the outage", t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		trip(t, b)
		time.Sleep(time.Hour)
		b.Close(breaker.CauseManual)
		b.Open("health", time.Second)
		time.Sleep(time.Second)
		end(t, b, call.ProviderFault, 1)
		wantRefusal(t, b, 15*time.Second) // not doubled
	})
}

func TestReconfigureKeepsTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{})
		end(t, b, call.ProviderFault, 4)
		b.Reconfigure(breaker.Config{Consecutive: 6})
		end(t, b, call.ProviderFault, 1)
		wantState(t, b, breaker.Closed)
		end(t, b, call.ProviderFault, 1)
		wantRefusal(t, b, 15*time.Second)
		b.Reconfigure(breaker.Config{OpenFor: time.Minute, Window: time.Second})
		wantRefusal(t, b, 15*time.Second)
		b.Reconfigure(breaker.Config{Off: true})
		wantState(t, b, breaker.Closed)
	})
}

func TestOffAdmitsAndCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{Off: true})
		end(t, b, call.ProviderFault, 100)
		if s := b.Snapshot(); s.State != breaker.Closed || s.Total != 0 {
			t.Fatalf("got %+v, want nothing counted", s)
		}
		b.Open("peer", time.Second)
		wantRefusal(t, b, time.Second)
		time.Sleep(time.Second)
		end(t, b, call.ProviderFault, 1)
		wantState(t, b, breaker.Closed)
	})
}

func TestMovesAreToldInOrderAndMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		var b *breaker.Breaker
		b = breaker.New("primary", breaker.Config{}, breaker.Options{Rand: longest,
			Moved: func(from, to breaker.State, cause string, openFor time.Duration) {
				told = append(told, fmt.Sprint(from, ">", to, " ", cause, " ", openFor))
				if to == breaker.Closed {
					b.Open("health", time.Second) // a move of its own
				}
				_ = b.State()
			}})
		trip(t, b)
		time.Sleep(15 * time.Second)
		end(t, b, call.OK, 2)
		want := []string{
			"closed>open consecutive 15s", "open>half_open probe 0s", "half_open>closed probe 0s", "closed>open health 1s",
		}
		if got := strings.Join(told, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}

func TestAPanicInMovedLosesNoLaterMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		b := breaker.New("primary", breaker.Config{}, breaker.Options{Moved: func(_, to breaker.State, _ string, _ time.Duration) {
			if told++; told == 1 {
				panic("listener")
			}
		}})
		func() {
			defer func() { _ = recover() }()
			b.Open(breaker.CauseManual, 0)
		}()
		b.Reset()
		if told != 2 {
			t.Errorf("told %d moves, want 2", told)
		}
	})
}

func TestNothingCountedOpensACircuitThatWarmsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{WarmUp: time.Minute, MinCalls: 2})
		for range 20 {
			p, err := b.Admit(false)
			if err != nil {
				t.Fatalf("Admit while warming up: %v", err)
			}
			p.Slow()
			p.End(outcome(call.ProviderFault))
		}
		if s := b.Snapshot(); s.State != breaker.Closed || s.Failures != 20 || s.Slow != 20 {
			t.Fatalf("%s with %d failures, %d slow; want closed, 20 and 20: they count all the same", s.State, s.Failures, s.Slow)
		}
		time.Sleep(time.Minute)
		p, err := b.Admit(false)
		if err != nil {
			t.Fatal(err)
		}
		if p.End(outcome(call.ProviderFault)); b.State() != breaker.Open {
			t.Fatalf("%s after a failure when the time is over, want open", b.State())
		}
	})
}

func TestAnOutageCanBeDeclaredWhileACircuitWarmsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(breaker.Config{WarmUp: time.Minute})
		if b.Open("health", time.Second); b.State() != breaker.Open {
			t.Fatalf("%s, want open", b.State())
		}
	})
}

func TestValidateReportsEveryMistake(t *testing.T) {
	if err := (breaker.Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	off := breaker.Config{Consecutive: -1, Ratio: -1, SlowRatio: -1, SlowAfter: -1, MaxOpen: -1, Ramp: -1}
	if err := off.Validate(); err != nil {
		t.Errorf("everything off: %v", err)
	}
	if err := (breaker.Config{OpenFor: 10 * time.Minute}).Validate(); err != nil {
		t.Errorf("a long open time alone: %v", err)
	}
	bad := breaker.Config{
		Ratio: 1.5, MinCalls: -1, Window: time.Millisecond, SlowRatio: math.NaN(), OpenFor: -1, OpenForRatio: 20 * time.Minute,
		MaxOpen: time.Second, Lease: -1, Probes: -1, Successes: -1,
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("no mistake found")
	}
	for _, key := range []string{"ratio:", "min_calls:", "window:", "slow_ratio:", "open_for:", "max_open:", "lease:", "probes:", "successes:"} {
		if !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("nothing about %s in\n%v", key, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 9 {
		t.Errorf("%d mistakes, want 9:\n%v", got, err)
	}
}

func TestErrorsSayWhatAPersonNeeds(t *testing.T) {
	open := &breaker.OpenError{Name: "primary", State: breaker.Open, Cause: breaker.CauseRatio, Wait: 7 * time.Second}
	if got, want := open.Error(), "breaker: primary is open (ratio), next probe in 7s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ramp := &breaker.RampError{Name: "primary", Share: 0.25, Wait: 8 * time.Second}
	if got, want := ramp.Error(), "breaker: primary admits 25 % for another 8s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestManyGoroutinesNeverExceedTheProbes(t *testing.T) {
	b := breaker.New("primary", breaker.Config{OpenFor: time.Millisecond, Probes: 3, Successes: 1000, Lease: time.Hour, Ramp: -1},
		breaker.Options{})
	b.Open("test", time.Nanosecond)
	var mu sync.Mutex
	probing := 0
	change := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		if probing += by; probing > 3 {
			t.Errorf("%d probes at once, want at most 3", probing)
		}
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range 2000 {
				p, err := b.Admit(i%2 == 0)
				if err != nil {
					continue
				}
				change(+1)
				if i%3 == 0 {
					p.Slow()
				}
				change(-1) // before the end: afterwards another may be in already
				p.End(outcome(call.ClientError))
				p.End(outcome(call.ProviderFault))
				_, _ = b.Peek()
				_ = b.Snapshot()
			}
		})
	}
	all.Wait()
	if s := b.Snapshot(); s.State != breaker.HalfOpen || s.Probing != 0 {
		t.Fatalf("got %+v, want half-open with every place free", s)
	}
}
