package breaker_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
)

// brownOut asks a target that accepts so many attempts in each second, and
// refuses the others with a class, for so many seconds.
func brownOut(t *testing.T, b *breaker.Breaker, asked, accepts, seconds int, refusal call.Class) (sent, accepted, shed int) {
	t.Helper()
	for range seconds {
		left := accepts
		for range asked {
			time.Sleep(time.Second / time.Duration(asked))
			p, err := b.Admit(true)
			switch {
			case errors.Is(err, breaker.ErrShed):
				shed++
				continue
			case err != nil:
				t.Fatalf("Admit: %v, want a permit or ErrShed", err)
			}
			sent++
			if left--; left >= 0 {
				accepted++
				p.FirstToken()
				p.End(outcome(call.OK))
			} else {
				p.End(outcome(refusal))
			}
		}
	}
	return sent, accepted, shed
}

func throttled(k float64) *breaker.Breaker {
	random := rand.New(rand.NewPCG(7, 7))
	return breaker.New("primary", breaker.Config{Throttle: k, Consecutive: -1, Ratio: -1, SlowRatio: -1}, breaker.Options{Rand: random.Float64})
}

func TestATargetThatRefusesManyIsSentThrottleTimesWhatItAccepts(t *testing.T) {
	for _, refusal := range []call.Class{call.Overloaded, call.Throttled, call.ProviderFault, call.Timeout} {
		for _, k := range []float64{1.2, 2, 4} {
			synctest.Test(t, func(t *testing.T) {
				b := throttled(k)
				brownOut(t, b, 100, 10, 240, refusal) // settles
				sent, accepted, shed := brownOut(t, b, 100, 10, 120, refusal)
				if ratio := float64(sent) / float64(accepted); math.Abs(ratio-k) > 0.15*k {
					t.Errorf("%s, throttle %v: sent %d for %d accepted, %.2f times; shed %d", refusal, k, sent, accepted, ratio, shed)
				}
				if accepted < 110*10*9/10 {
					t.Errorf("%s, throttle %v: only %d accepted of %d possible", refusal, k, accepted, 120*10)
				}
			})
		}
	}
}

func TestSheddingEndsWhenTheTargetHasRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttled(2)
		if _, _, shed := brownOut(t, b, 50, 50, 120, call.Overloaded); shed != 0 {
			t.Fatalf("a healthy target: %d shed", shed)
		}
		_, _, shed := brownOut(t, b, 50, 0, 240, call.Overloaded)
		if share := float64(shed) / (50 * 240); share < 0.5 || share > 0.9 {
			t.Fatalf("while nothing is accepted %.0f %% are shed", share*100)
		}
		sent, _, _ := brownOut(t, b, 50, 0, 60, call.Overloaded)
		if sent < 50*60/20 {
			t.Fatalf("only %d of %d are sent to notice a recovery", sent, 50*60)
		}
		brownOut(t, b, 50, 50, 240, call.Overloaded)
		if _, _, shed := brownOut(t, b, 50, 50, 60, call.Overloaded); shed != 0 {
			t.Fatalf("four minutes after its recovery %d are shed", shed)
		}
		wantState(t, b, breaker.Closed)
	})
}

func TestThrottleDoesNotShedForWhatIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttled(2)
		for _, c := range []call.Class{call.Canceled, call.ClientError, call.Auth, call.ContextLength, call.PolicyViolation} {
			end(t, b, c, 200)
		}
		loser := outcome(call.ProviderFault)
		loser.Superseded = true
		for range 200 {
			admit(t, b).End(loser)
		}
		admit(t, b)
	})
}

func TestLongCallsThatBecomeMoreAreNotShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttled(2)
		for second := range 60 { // each lasts for a minute, and ever more begin
			for range second {
				p := admit(t, b)
				time.AfterFunc(time.Minute, func() { p.End(outcome(call.OK)) })
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestThrottleIsOffUnlessAskedForAndForAHandfulOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := breaker.New("primary", breaker.Config{Consecutive: -1, Ratio: -1}, breaker.Options{Rand: func() float64 { return 0 }})
		end(t, off, call.ProviderFault, 1000)
		few := breaker.New("primary", breaker.Config{Throttle: 2, Consecutive: -1, Ratio: -1}, breaker.Options{Rand: func() float64 { return 0 }})
		end(t, few, call.ProviderFault, 10) // MinCalls
		var shed *breaker.ShedError
		if _, err := few.Admit(true); !errors.As(err, &shed) || shed.Share != 0.9 || shed.Name != "primary" {
			t.Errorf("after as many failures as count: %v, want a ShedError with 90 %%", err)
		}
		time.Sleep(3 * time.Minute)
		admit(t, few)
	})
}

func TestAThrottleOutOfItsRangeIsRefused(t *testing.T) {
	for _, k := range []float64{0.5, 101, math.Inf(1), math.NaN()} {
		if err := (breaker.Config{Throttle: k}).Validate(); err == nil {
			t.Errorf("throttle %v: want an error", k)
		}
	}
	for _, c := range []breaker.Config{{Throttle: 1}, {Throttle: -1}, {Throttle: 2, ThrottleWindow: time.Second}} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
