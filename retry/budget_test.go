package retry

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// generous leaves only amplification to refuse anything.
var generous = Config{BudgetRatio: 1, BudgetReserve: 1e6, TokenRatio: 1, TokenReserve: 1e12}

// happening is one line of a log: a call that reached the upstream (-1) or a
// further attempt (5).
type happening struct {
	at     time.Time
	weight int
}

// worstWindow looks at every window of at most 10 s that ends with a further
// attempt and returns the largest excess of attempts over calls, in fifths.
func worstWindow(log []happening) int {
	worst := 0
	for end := range log {
		if log[end].weight < 0 {
			continue
		}
		sum := 0
		for i := end; i >= 0 && log[end].at.Sub(log[i].at) <= 10*time.Second; i-- {
			sum += log[i].weight
			worst = max(worst, sum)
		}
	}
	return worst
}

// trafficOf sends random calls at a rate, in bursts and with silences, and asks
// for further attempts greedily whenever mood says so.
func trafficOf(b *Budget, r *rand.Rand, perSecond float64, seconds int) (log []happening, calls, extras int) {
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	rate, greed, until := perSecond, 0.5, time.Now()
	for time.Now().Before(end) {
		if time.Now().After(until) { // another mood: silence, burst or calm
			rate = perSecond * []float64{0.01, 0.3, 1, 1, 4}[r.IntN(5)]
			greed = []float64{0, 0.1, 0.5, 3}[r.IntN(4)]
			until = time.Now().Add(time.Duration(r.ExpFloat64() * 5 * float64(time.Second)))
		}
		time.Sleep(min(time.Duration(r.ExpFloat64()/rate*float64(time.Second)), 20*time.Second))
		b.Reached()
		log = append(log, happening{time.Now(), -1})
		calls++
		for want := greed; want > 0 && r.Float64() < want; want-- {
			if r.IntN(3) == 0 {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second) / perSecond))
			}
			if _, denied := b.Withdraw(1, true); denied == "" {
				log = append(log, happening{time.Now(), 5})
				extras++
			}
		}
	}
	return log, calls, extras
}

func TestNoWindowOfTenSecondsIsAmplifiedBeyondTheBound(t *testing.T) {
	for _, perSecond := range []float64{1, 20, 200} {
		t.Run(fmt.Sprintf("%g calls per second", perSecond), func(t *testing.T) {
			granted := 0
			for seed := range uint64(max(3, 60/perSecond)) {
				synctest.Test(t, func(t *testing.T) {
					b := NewBudget(generous)
					time.Sleep(time.Duration(seed) * 77 * time.Millisecond) // off the slots' borders
					log, _, extras := trafficOf(b, rand.New(rand.NewPCG(seed, 3)), perSecond, 60)
					granted += extras
					if worst := worstWindow(log); worst > 50 {
						t.Fatalf("seed %d: a window with %d fifths of an attempt too many, limit 50", seed, worst)
					}
				})
			}
			if granted == 0 {
				t.Error("no further attempt was ever granted")
			}
		})
	}
}

// A bound that is kept by refusing everything would be easy: under steady load
// nearly all that is allowed must be granted, at low and at high rates.
func TestSteadyLoadGetsNearlyAllOfItsAmplification(t *testing.T) {
	for _, perSecond := range []int{1, 20, 200, 2000} {
		t.Run(fmt.Sprintf("%d calls per second", perSecond), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(generous)
				extras, calls := 0, 60*perSecond
				for range calls {
					time.Sleep(time.Second / time.Duration(perSecond))
					b.Reached()
					for {
						if _, denied := b.Withdraw(1, true); denied != "" {
							break
						}
						extras++
					}
				}
				if least := calls / 5 * 95 / 100; extras < least {
					t.Errorf("%d calls: %d further attempts were granted, want at least %d", calls, extras, least)
				}
				if most := calls/5 + 6*10; extras > most {
					t.Errorf("%d calls: %d further attempts were granted, want at most %d", calls, extras, most)
				}
			})
		})
	}
}

func TestTenFurtherAttemptsAreFreeAndComeBackAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(generous)
		if n := drain(b, 1); n != 10 {
			t.Fatalf("%d further attempts without any call, want 10", n)
		}
		if _, denied := b.Withdraw(1, true); denied != DeniedAmplification {
			t.Errorf("denied by %q, want %q", denied, DeniedAmplification)
		}
		time.Sleep(9 * time.Second)
		if n := drain(b, 1); n != 0 {
			t.Errorf("%d further attempts after 9 s, want 0", n)
		}
		time.Sleep(1250 * ms) // and a slot, because the oldest counts whole
		if n := drain(b, 1); n != 10 {
			t.Errorf("%d further attempts after 10 s, want 10", n)
		}
	})
}

// drain withdraws until it is refused.
func drain(b *Budget, tokens int) (n int) {
	for {
		if _, denied := b.Withdraw(tokens, true); denied != "" {
			return n
		}
		n++
	}
}

func TestCallsThatWereManyDoNotExcuseABurstLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(generous)
		for range 2000 {
			b.Reached()
		}
		time.Sleep(5 * time.Second)
		// The 10 s that begin now may hold no call at all.
		if n := drain(b, 1); n != 10 {
			t.Errorf("%d further attempts in one burst, want 10", n)
		}
	})
}

func TestAnOutageIsNotAnsweredWithAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		retries := 0
		for range 60 * 100 { // a minute of 100 calls a second, all of which fail
			time.Sleep(10 * ms)
			b.Reached()
			if _, denied := b.Withdraw(100, false); denied == "" {
				retries++
			}
		}
		if retries < 50 || retries > 70 {
			t.Errorf("6000 failed calls made %d retries, want the reserve of about one a second", retries)
		}
	})
}

func TestSuccessesEarnATenthOfARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{BudgetReserve: -1, TokenReserve: -1})
		if _, denied := b.Withdraw(1, true); denied != DeniedRetries {
			t.Fatalf("without successes and reserve: denied by %q, want %q", denied, DeniedRetries)
		}
		for range 50 {
			b.Reached()
			b.Success(1000)
		}
		if got, want := b.Level(), (Level{Retries: 5, Tokens: 5000, Amplification: 10}); got != want {
			t.Fatalf("after 50 successes: %+v, want %+v", got, want)
		}
		if n := drain(b, 1000); n != 5 {
			t.Errorf("got %d retries, want 5", n)
		}
		time.Sleep(11 * time.Second)
		if n := drain(b, 1000); n != 0 {
			t.Errorf("successes of 11 s ago still earned %d retries", n)
		}
	})
}

func TestAnExpensiveRetryWaitsForSuccessesAndAnUnbilledOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		if _, denied := b.Withdraw(150_000, true); denied != "" {
			t.Fatalf("the first one of 150,000 tokens was denied by %q", denied)
		}
		before := b.Level()
		if _, denied := b.Withdraw(150_000, true); denied != DeniedTokens {
			t.Fatalf("the second one was denied by %q, want %q", denied, DeniedTokens)
		}
		if got := b.Level(); got != before {
			t.Errorf("a denied withdrawal took something: %+v, before %+v", got, before)
		}
		if _, denied := b.Withdraw(150_000, false); denied != "" {
			t.Errorf("one after unbilled attempts was denied by %q", denied)
		}
		if _, denied := b.Withdraw(50_000, true); denied != "" {
			t.Errorf("a cheaper one was denied by %q", denied)
		}
		b.Reconfigure(Config{TokenReserve: 10}) // far below what is already spent
		if _, denied := b.Withdraw(150_000, false); denied != "" {
			t.Errorf("one after unbilled attempts was denied by %q", denied)
		}
	})
}

func TestARefundGivesBackRetriesAndTokensButNotAmplification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		before := b.Level()
		ticket, _ := b.Withdraw(5000, true)
		time.Sleep(3 * time.Second)
		b.Refund(ticket)
		before.Amplification--
		if got := b.Level(); got != before {
			t.Errorf("after the refund: %+v, want %+v", got, before)
		}
	})
}

func TestARefundThatComesLateGivesBackNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		ticket, _ := b.Withdraw(5000, true)
		time.Sleep(10*time.Second + 250*ms) // its slot now holds other things
		other, _ := b.Withdraw(7000, true)
		before := b.Level()
		b.Refund(ticket)
		b.Refund(Ticket{})
		if got := b.Level(); got != before {
			t.Errorf("got %+v, want %+v", got, before)
		}
		b.Refund(other)
		if got := b.Level(); got.Tokens != 200_000 {
			t.Errorf("got %g tokens, want all 200,000", got.Tokens)
		}
	})
}

func TestPeekTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		for range 100 {
			if denied := b.Peek(1000, true); denied != "" {
				t.Fatalf("denied by %q", denied)
			}
		}
		drain(b, 1)
		if denied := b.Peek(1, true); denied == "" {
			t.Error("Peek promises what Withdraw refused")
		}
	})
}

func TestRemainingIsTheScarcestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		if got := b.Remaining(); got != 1 {
			t.Fatalf("a fresh budget has %g, want 1", got)
		}
		b.Withdraw(150_000, true)
		if got := b.Remaining(); got != 0.25 {
			t.Errorf("three quarters of the tokens are spent: %g, want 0.25", got)
		}
		drain(b, 0)
		if got := b.Remaining(); got != 0 {
			t.Errorf("an empty budget has %g, want 0", got)
		}
	})
}

func TestReconfiguringForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		ticket, _ := b.Withdraw(1000, true)
		drain(b, 1)
		b.Reconfigure(Config{BudgetTTL: 20 * time.Second, BudgetReserve: 0.5})
		b.Refund(ticket) // void: it would give back what another took
		if n := drain(b, 1); n != 0 {
			t.Errorf("%d retries were granted again", n)
		}
		b.Reconfigure(Config{BudgetTTL: 20 * time.Second})
		if got := b.Level().Retries; got != 10 {
			t.Errorf("with 20 s of 1/s, 10 of them used, %g retries are left, want 10", got)
		}
	})
}

// spending is one granted withdrawal in the naive log.
type spending struct {
	at     time.Time
	tokens float64
	ticket Ticket
}

func TestNoTTLHoldsMoreRetriesOrTokensThanItsSuccessesEarned(t *testing.T) {
	granted, denied := 0, map[string]int{}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 4))
		config := Config{BudgetRatio: 0.05 + r.Float64()*0.3, BudgetReserve: 0.1 + r.Float64()*2, TokenReserve: 1 + r.Float64()*3000,
			BudgetTTL: time.Duration(1+r.IntN(30)) * time.Second}
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(config)
			var spent, earned []spending
			for range 1500 {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(50*ms)))
				tokens := r.IntN(4000)
				b.Reached()
				if r.IntN(3) > 0 {
					b.Success(tokens)
					earned = append(earned, spending{time.Now(), float64(tokens), Ticket{}})
					continue
				}
				ticket, reason := b.Withdraw(tokens, true)
				denied[reason]++
				if reason != "" {
					continue
				}
				granted++
				spent = append(spent, spending{time.Now(), float64(tokens), ticket})
				checkLedger(t, seed, config.WithDefaults(), spent, earned)
				if r.IntN(4) == 0 { // some other one succeeded
					i := r.IntN(len(spent))
					b.Refund(spent[i].ticket)
					spent = append(spent[:i], spent[i+1:]...)
				}
			}
		})
	}
	if granted == 0 || denied[DeniedRetries] == 0 || denied[DeniedTokens] == 0 || denied[DeniedAmplification] == 0 {
		t.Errorf("the traffic tests too little: %d granted, denied %v", granted, denied)
	}
}

func checkLedger(t *testing.T, seed uint64, c Config, spent, earned []spending) {
	t.Helper()
	sum := func(all []spending) (n, tokens float64) {
		for _, s := range all {
			if time.Since(s.at) <= c.BudgetTTL {
				n++
				tokens += s.tokens
			}
		}
		return n, tokens
	}
	attempts, out := sum(spent)
	successes, in := sum(earned)
	ttl := c.BudgetTTL.Seconds()
	if most := c.BudgetReserve*ttl + c.BudgetRatio*successes; attempts > most+1e-6 {
		t.Fatalf("seed %d: %g retries in a ttl, %g allowed", seed, attempts, most)
	}
	if most := c.TokenReserve*ttl + c.TokenRatio*in; out > most+1e-6 {
		t.Fatalf("seed %d: %g tokens in a ttl, %g allowed", seed, out, most)
	}
}

func TestAnAbsurdUsageEarnsNothingAbsurd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Config{})
		for _, tokens := range []int{-1 << 62, 1<<63 - 1, -1, 1 << 53} {
			b.Success(tokens)
		}
		if got, most := b.Level().Tokens, 200_000+0.1*2*(1<<24); got < 200_000 || got > most {
			t.Errorf("got %g tokens, want 200,000 to %g", got, most)
		}
		if _, denied := b.Withdraw(1<<63-1, true); denied != DeniedTokens {
			t.Errorf("an absurd cost was denied by %q, want %q", denied, DeniedTokens)
		}
		if _, denied := b.Withdraw(-1<<62, true); denied != "" {
			t.Errorf("a negative cost was denied by %q", denied)
		}
	})
}

func TestABudgetIsSafeForConcurrentUse(t *testing.T) {
	b := NewBudget(Config{})
	var all sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 8 {
		all.Go(func() {
			for i := range 500 {
				ticket, denied := b.Withdraw(1, true)
				if denied == "" {
					mu.Lock()
					granted++
					mu.Unlock()
				}
				if i%100 == 0 {
					b.Refund(ticket)
					b.Reconfigure(Config{BudgetTTL: time.Duration(10+i%7) * time.Second})
				}
				_, _, _ = b.Level(), b.Remaining(), b.Peek(1, false)
			}
		})
	}
	all.Wait()
	if granted != 10 {
		t.Errorf("%d further attempts without any call, want 10", granted)
	}
}

func BenchmarkACallThatSucceeds(b *testing.B) {
	budget := NewBudget(Config{})
	b.ReportAllocs()
	for b.Loop() {
		budget.Reached()
		budget.Success(1000)
	}
}

func BenchmarkWithdraw(b *testing.B) {
	budget := NewBudget(Config{})
	b.ReportAllocs()
	for b.Loop() {
		ticket, _ := budget.Withdraw(1000, true)
		budget.Refund(ticket)
	}
}
