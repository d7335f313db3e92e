package quota

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// still is an Account without chance.
func still(c Config) *Account { return New(c, Options{Rand: func() float64 { return 0 }}) }

func take(t *testing.T, a *Account, n Need) *Reservation {
	t.Helper()
	r := &Reservation{}
	if wait, err := a.Take(n, Waiter{}, r); wait != 0 || err != nil {
		t.Fatalf("Take(%+v): wait %s, %v; want it at once. %+v", n, wait, err, a.Levels())
	}
	return r
}

func left(a *Account, d Dimension) int64 {
	for _, l := range a.Levels() {
		if l.Of == d {
			return l.Left
		}
	}
	return -1
}

// ok is the end of an answer of so many tokens.
func ok(input, output int) call.Outcome {
	return call.Outcome{Verdict: call.Verdict{Class: call.OK}, Sent: true, Committed: true, Usage: call.Usage{Input: input, Output: output, Known: true}}
}

func failed(c call.Class) call.Outcome {
	return call.Outcome{Verdict: call.Verdict{Class: c}, Sent: true}
}

// throttledFor is a 429 with the provider's wait.
func throttledFor(d time.Duration) call.Outcome {
	o := failed(call.Throttled)
	o.Wait, o.HasWait = d, d > 0
	return o
}

func TestEachAccountingHoldsAndSettlesAsItsProviderDocuments(t *testing.T) {
	// 1,000 tokens in, of which 400 from a cache; 3,000 allowed out, 500 came.
	need := Need{Input: 1000, MaxTokens: 3000}
	end := ok(1000, 500)
	end.Usage.Cached = 400
	for _, c := range []struct {
		accounting    string
		held, settled int64 // of tpm
		itpm          int64 // settled
		lost          int64 // tokens that a 500 costs
		countsFailed  bool  // a 500 counts as a request
	}{
		{"anthropic", 4000, 1100, 600, 0, false},
		{"anthropic-cached", 4000, 1500, 1000, 0, false},
		{"azure", 4000, 4000, 1000, 4000, true},
		{"bedrock", 16000, 3100, 600, 0, false},
		{"bedrock-1", 4000, 1100, 600, 0, false},
		{"cerebras", 4000, 1500, 1000, 0, false},
		{"gemini", 1000, 1000, 1000, 0, true},
		{"groq", 4000, 1100, 600, 0, false},
		{"openai", 3000, 3000, 1000, 3000, true},
		{"usage", 4000, 1500, 1000, 0, true},
	} {
		t.Run(c.accounting, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const minute = 60 * 1000 * 1000
				a := still(Config{RPM: minute, TPM: minute, ITPM: minute, OTPM: minute, Accounting: c.accounting, Share: 1, Burst: time.Minute})
				spent := func(d Dimension) int64 { return minute - left(a, d) }
				r := take(t, a, need)
				if got := spent(Tokens); got != c.held {
					t.Errorf("held %d tokens, want %d", got, c.held)
				}
				r.End(end)
				for d, want := range map[Dimension]int64{Requests: 1, Tokens: c.settled, Input: c.itpm, Output: 500} {
					if got := spent(d); got != want {
						t.Errorf("%s: %d settled, want %d", d, got, want)
					}
				}
				time.Sleep(time.Minute)
				broken := failed(call.ProviderFault)
				broken.Status = http.StatusInternalServerError
				take(t, a, need).End(broken)
				if got := spent(Tokens); got != c.lost {
					t.Errorf("a 500 cost %d tokens, want %d", got, c.lost)
				}
				if got := spent(Requests) == 1; got != c.countsFailed {
					t.Errorf("a 500 counts as a request: %t, want %t", got, c.countsFailed)
				}
			})
		})
	}
}

func TestNoOutputIsReservedWhereNoneWillCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range Accountings() {
			a := still(Config{TPM: 60_000, OTPM: 60_000, Accounting: name, Share: 1, Burst: time.Minute})
			take(t, a, Need{Input: 100, MaxTokens: 900, Mute: true})
			if tokens, output := 60_000-left(a, Tokens), 60_000-left(a, Output); tokens != 100 || output != 0 {
				t.Errorf("%s: reserved %d and %d of output, want 100 and 0", name, tokens, output)
			}
		}
	})
}

func TestWhatWasNotSentOrNotServedComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		need := Need{Input: 100, MaxTokens: 900}
		unsent := failed(call.Transport)
		unsent.Sent = false
		for _, c := range []struct {
			name       string
			accounting string
			end        func(*Reservation)
			want       int64 // tokens spent
		}{
			{"returned", "openai", (*Reservation).Return, 0},
			{"never sent", "openai", func(r *Reservation) { r.End(unsent) }, 0},
			{"refused by us", "usage", func(r *Reservation) { r.End(failed(call.Refused)) }, 0},
			{"overloaded, where failures cost nothing", "bedrock-1", func(r *Reservation) { r.End(failed(call.Overloaded)) }, 0},
			{"overloaded, where nothing comes back", "openai", func(r *Reservation) { r.End(failed(call.Overloaded)) }, 900},
			{"a timeout that may be billed", "usage", func(r *Reservation) { r.End(failed(call.Timeout)) }, 1000},
			{"no usage told", "usage", func(r *Reservation) { r.End(call.Outcome{Verdict: call.Verdict{Class: call.OK}, Committed: true}) }, 1000},
			{"about 80 tokens seen and no usage told", "usage", func(r *Reservation) {
				r.End(call.Outcome{Verdict: call.Verdict{Class: call.OK}, Committed: true, Produced: 80})
			}, 200},
			{"left after about 100 tokens", "usage", func(r *Reservation) {
				o := failed(call.Canceled)
				o.Produced, o.Committed = 100, true
				r.End(o)
			}, 200},
			{"a loser that may go on", "usage", func(r *Reservation) {
				o := failed(call.Canceled)
				o.Superseded = true
				r.End(o)
			}, 1000},
		} {
			a := still(Config{TPM: 60_000, Accounting: c.accounting, Share: 1, Burst: time.Minute})
			r := take(t, a, need)
			c.end(r)
			c.end(r) // the second end does nothing
			if got := 60_000 - left(a, Tokens); got != c.want {
				t.Errorf("%s: %d tokens spent, want %d", c.name, got, c.want)
			}
			if a.Open() != 0 {
				t.Errorf("%s: %d reservations left open", c.name, a.Open())
			}
		}
	})
}

func TestABucketHolds15SecondsOf95PercentOfTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini"})
		if got := left(a, Tokens); got != 14_250 {
			t.Fatalf("a full bucket holds %d, want 14250", got)
		}
		take(t, a, Need{Input: 14_250})
		wait, err := a.Take(Need{Input: 950}, Waiter{}, &Reservation{})
		if err != nil || wait.Round(time.Millisecond) != time.Second {
			t.Fatalf("wait %s, %v; want 1s", wait, err)
		}
		time.Sleep(wait)
		take(t, a, Need{Input: 950})
	})
}

func TestARequestLargerThanTheBucketGoesWhenItIsFullAndOneLargerThanTheLimitNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini"})
		take(t, a, Need{Input: 950})
		wait, err := a.Ready(Need{Input: 30_000}, Waiter{})
		if err != nil || wait.Round(time.Millisecond) != time.Second {
			t.Fatalf("wait %s, %v; want until the bucket is full, 1s", wait, err)
		}
		time.Sleep(wait)
		take(t, a, Need{Input: 30_000})
		if got := left(a, Tokens); got != 14_250-30_000 {
			t.Errorf("left %d, want the debt of %d", got, 14_250-30_000)
		}
		var large *TooLargeError
		_, err = a.Take(Need{Input: 60_001}, Waiter{}, &Reservation{})
		if !errors.As(err, &large) || *large != (TooLargeError{Of: Tokens, Need: 60_001, Limit: 60_000}) {
			t.Fatalf("got %v, want a TooLargeError", err)
		}
		if want := "quota: the request takes 60001 of a tpm limit of 60000"; err.Error() != want {
			t.Errorf("it says %q, want %q", err, want)
		}
	})
}

func TestWhatComesBackToAFullBucketIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		r := take(t, a, Need{Input: 1000})
		time.Sleep(time.Minute)
		r.Return()
		take(t, a, Need{Input: 15_000})
		if wait, _ := a.Ready(Need{Input: 1}, Waiter{}); wait == 0 {
			t.Error("a bucket of 15,000 gave more at once")
		}
	})
}

func TestAllLimitsAreTakenFromOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{RPM: 60, RPD: 1000, ITPM: 60_000, OTPM: 600, Accounting: "anthropic", Share: 1})
		take(t, a, Need{Input: 10, MaxTokens: 150})
		before := a.Levels()
		if wait, err := a.Take(Need{Input: 10, MaxTokens: 10}, Waiter{}, &Reservation{}); wait == 0 || err != nil {
			t.Fatalf("wait %s, %v; want one for the output", wait, err)
		}
		if after := a.Levels(); !slices.Equal(before, after) {
			t.Errorf("a refused request changed %+v to %+v", before, after)
		}
	})
}

func TestThoughtThatNobodyIsShownIsNotGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Share: 1, Burst: time.Minute})
		take(t, a, Need{Input: 100, MaxTokens: 900, Thinks: true}).End(call.Outcome{Verdict: call.Verdict{Class: call.OK}, Committed: true, Produced: 80})
		if got := 60_000 - left(a, Tokens); got != 1000 {
			t.Errorf("%d tokens spent, want all that was held, 1000", got)
		}
	})
}

func TestNoMoreThanTheDailyLimitGoesInAny24Hours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 40
		r := rand.New(rand.NewPCG(1, 1))
		a := still(Config{RPD: limit, Share: 1, Accounting: "gemini"})
		var taken []time.Time
		for len(taken) < 400 {
			time.Sleep(time.Duration(r.IntN(50)) * time.Minute)
			var held Reservation
			wait, err := a.Take(Need{}, Waiter{}, &held)
			if err != nil {
				t.Fatal(err)
			}
			if wait > 25*time.Hour {
				t.Fatalf("a wait of %s", wait)
			}
			if wait > 0 {
				time.Sleep(wait)
				if wait, _ := a.Take(Need{}, Waiter{}, &held); wait != 0 {
					t.Fatalf("another %s to wait after the wait", wait)
				}
			}
			if r.IntN(4) == 0 {
				held.Return()
				continue
			}
			taken = append(taken, time.Now())
			if n := len(taken) - 1 - limit; n >= 0 && taken[n].Add(24*time.Hour).After(time.Now()) {
				t.Fatalf("%d requests since %s", limit+1, time.Since(taken[n]))
			}
		}
	})
}

// entry is one change of a bucket, as a reference keeps it.
type entry struct {
	at time.Duration
	n  int64
}

// reference says how much is in a bucket, in another way than the bucket: the
// least that any moment allows at which it can have been full.
func reference(depth, rate float64, log []entry, now time.Duration) float64 {
	level := depth
	sum := 0.0
	for i := len(log) - 1; i >= 0; i-- {
		sum += float64(log[i].n)
		level = min(level, depth+rate*(now-log[i].at).Seconds()-sum)
	}
	return level
}

// schedule is one random use of an Account, checked against the reference.
type schedule struct {
	t                 *testing.T
	seed              uint64
	r                 *rand.Rand
	c                 Config
	a                 *Account
	start             time.Time
	logs              [Day][]entry
	held              []*Reservation
	admitted, refused int
}

func (s *schedule) note(d Dimension, n int64) {
	s.logs[d] = append(s.logs[d], entry{time.Since(s.start), n})
}

// take asks for a random request. What is taken must have been there.
func (s *schedule) take() {
	one := &Reservation{}
	wait, err := s.a.Take(Need{Input: s.r.IntN(3000), MaxTokens: s.r.IntN(3) * s.r.IntN(2000)}, Waiter{}, one)
	if err != nil || wait > 0 {
		s.refused++
		return
	}
	s.admitted++
	for _, d := range []Dimension{Requests, Tokens} {
		limit := s.c.Share * float64(s.a.buckets[d].stated)
		depth := max(1, limit*s.c.Burst.Minutes())
		level := reference(depth, limit/60, s.logs[d], time.Since(s.start))
		if level < min(float64(one.held[d]), depth)-1e-3 {
			s.t.Fatalf("seed %d: %s: took %d of %.3f (depth %.3f)", s.seed, d, one.held[d], level, depth)
		}
		s.note(d, one.held[d])
	}
	s.held = append(s.held, one)
}

// end ends one of the reservations that are held.
func (s *schedule) end() {
	i := s.r.IntN(len(s.held))
	one := s.held[i]
	s.held = slices.Delete(s.held, i, i+1)
	was := one.held
	var charged amounts
	if s.r.IntN(3) == 0 {
		one.Return()
	} else {
		end := ok(s.r.IntN(2000), s.r.IntN(1500))
		charged = s.a.kind.used(was, int64(end.Usage.Input), 0, int64(end.Usage.Output))
		one.End(end)
	}
	s.note(Requests, charged[Requests]-was[Requests])
	s.note(Tokens, charged[Tokens]-was[Tokens])
}

// run is a schedule of some steps, after which nothing may stay reserved.
func (s *schedule) run() {
	for range 20 + s.r.IntN(30) {
		time.Sleep(time.Duration(s.r.ExpFloat64() * float64(time.Second)))
		if len(s.held) > 0 && s.r.IntN(2) == 0 {
			s.end()
		} else {
			s.take()
		}
	}
	for _, one := range s.held {
		one.Return()
	}
	for _, l := range s.a.Levels() {
		if l.Reserved != 0 {
			s.t.Fatalf("seed %d: %d of %s stay reserved", s.seed, l.Reserved, l.Of)
		}
	}
}

func TestTenThousandSchedulesNeverTakeMoreThanTheReferenceAllows(t *testing.T) {
	schedules, admitted, refused := 10_000, 0, 0
	if testing.Short() {
		schedules = 500
	}
	for seed := range uint64(schedules) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			c := Config{RPM: 1 + r.IntN(600), TPM: 1000 + r.IntN(100_000), Share: 1 - r.Float64()/2, Burst: time.Duration(1+r.IntN(60)) * time.Second,
				Accounting: accountings[r.IntN(len(accountings))].Name, Reserve: []string{"", "max_tokens", "p90", "mean", "none"}[r.IntN(5)]}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			s := &schedule{t: t, seed: seed, r: r, c: c, a: still(c), start: time.Now()}
			s.run()
			admitted, refused = admitted+s.admitted, refused+s.refused
		})
	}
	if admitted < schedules || refused < schedules {
		t.Fatalf("%d admitted, %d refused: the schedules test nothing", admitted, refused)
	}
}

func TestReservationsReturnToZeroAfterTenThousandRandomEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{RPM: 6_000_000, RPD: 1_000_000, TPM: 1_000_000_000, ITPM: 1_000_000_000, OTPM: 1_000_000_000, Accounting: "bedrock"}, Options{})
		ends := call.Classes()
		var wg sync.WaitGroup
		for worker := range uint64(100) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(worker, 4))
				for range 100 {
					time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
					var one Reservation
					if wait, err := a.Take(Need{Input: r.IntN(1000), MaxTokens: r.IntN(1000)}, Waiter{worker + 1, time.Second}, &one); wait > 0 || err != nil {
						continue
					}
					time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
					h := http.Header{}
					one.Headers(h)
					if r.IntN(10) == 0 {
						one.Return()
					}
					o := ok(r.IntN(2000), r.IntN(2000))
					o.Class, o.Superseded = ends[r.IntN(len(ends))], r.IntN(5) == 0
					one.End(o)
				}
			})
		}
		wg.Wait()
		if a.Open() != 0 {
			t.Errorf("%d reservations stay open", a.Open())
		}
		for _, l := range a.Levels() {
			if l.Reserved != 0 {
				t.Errorf("%s: %d stay reserved", l.Of, l.Reserved)
			}
		}
	})
}

func TestHeadersOnlyTightenAndOnlyIfTheyCanBeTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name             string
			limit, remaining string
			want, wantLimit  int64
		}{
			{"less than we think", "60000", "700", 700, 60_000},
			{"more than we think", "60000", "59000", 14_150, 60_000},
			{"nothing left", "60000", "0", 0, 60_000},
			{"a lower limit", "30000", "29000", 7125, 30_000},
			{"a higher limit", "90000", "89000", 14_150, 60_000},
			{"an absurd limit", "10", "5", 5, 60_000},
			{"Azure's unknown", "-1", "-1", 14_150, 60_000},
			{"Azure's other unknown", "0", "0", 14_150, 60_000},
			{"a negative rest", "60000", "-5", 14_150, 60_000},
			{"more left than there is", "60000", "60001", 14_150, 60_000},
			{"no number", "60000", "many", 14_150, 60_000},
			{"a number too large", "60000", "99999999999999999999", 14_150, 60_000},
			{"no limit beside it", "", "700", 14_150, 60_000},
		} {
			a := still(Config{TPM: 60_000, Accounting: "openai"})
			r := take(t, a, Need{Input: 100})
			h := http.Header{}
			h.Set("x-ratelimit-limit-tokens", c.limit)
			h.Set("x-ratelimit-remaining-tokens", c.remaining)
			if c.limit == "" {
				h.Del("x-ratelimit-limit-tokens")
			}
			r.Headers(h)
			if l := a.Levels()[0]; l.Left != c.want || l.Limit != c.wantLimit {
				t.Errorf("%s: %d left of %d, want %d of %d", c.name, l.Left, l.Limit, c.want, c.wantLimit)
			}
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("60000", "700")
	f.Add("-1", "0")
	f.Add("1e3", " 7")
	f.Add("9999999999999999999", "x")
	f.Fuzz(func(t *testing.T, limit, remaining string) {
		for _, accounting := range []string{"openai", "groq", "cerebras", "anthropic"} {
			a := still(Config{RPM: 600, RPD: 1000, TPM: 60_000, ITPM: 60_000, OTPM: 60_000, Accounting: accounting})
			r := take(t, a, Need{Input: 100, MaxTokens: 10})
			began, before, h := time.Now(), a.Levels(), http.Header{}
			for _, name := range a.kind.Headers {
				h[name.Limit], h[name.Remaining] = []string{limit}, []string{remaining}
			}
			r.Headers(h)
			after := a.Levels()
			refilled := int64(1000*time.Since(began).Seconds()) + 1
			for i, l := range after {
				if l.Limit > before[i].Limit || l.Left > before[i].Left+refilled {
					t.Errorf("%s: %+v became %+v", accounting, before[i], l)
				}
			}
		}
	})
}

func TestHeadersOfAnOlderRequestThatCameLaterSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{ITPM: 60_000, RPD: 100, Accounting: "anthropic", Share: 1, Burst: time.Minute})
		say := func(r *Reservation, n int) {
			h := http.Header{}
			h.Set("anthropic-ratelimit-input-tokens-limit", "60000")
			h.Set("anthropic-ratelimit-input-tokens-remaining", strconv.Itoa(n))
			r.Headers(h)
		}
		older, newer := take(t, a, Need{Input: 1}), take(t, a, Need{Input: 1})
		say(newer, 5000)
		say(older, 10)
		if got := left(a, Input); got != 5000 {
			t.Errorf("%d left, want 5000", got)
		}
	})
}

func TestTheDailyHeaderOfGroqTightensTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{RPD: 100, Accounting: "groq", Share: 1})
		r := take(t, a, Need{})
		r.Headers(http.Header{"X-Ratelimit-Limit-Requests": {"100"}, "X-Ratelimit-Remaining-Requests": {"7"}})
		if got := left(a, Day); got != 7 {
			t.Errorf("%d left of the day, want 7", got)
		}
	})
}

func TestAfterA429TheBucketsAreEmptyAndTheFlowGrowsFromHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		first, second := take(t, a, Need{Input: 10}), take(t, a, Need{Input: 10})
		first.End(throttledFor(4 * time.Second))
		if got := left(a, Tokens); got != 0 {
			t.Fatalf("%d left, want none", got)
		}
		time.Sleep(4 * time.Second)
		if got := left(a, Tokens); got != 0 {
			t.Fatalf("%d left when the wait is over, want 0", got)
		}
		time.Sleep(2 * time.Second)
		if got := left(a, Tokens); got != 1100 {
			t.Errorf("%d came in within 2 s, want 1100: half the flow, growing", got)
		}
		second.End(throttledFor(time.Minute)) // it was sent before the pause: old news
		time.Sleep(8 * time.Second)
		if got := left(a, Tokens); got != 7510 {
			t.Errorf("%d came in within 10 s, want 7510", got)
		}
		wait, _ := a.Ready(Need{Input: 8510}, Waiter{})
		if wait.Round(time.Millisecond) != time.Second {
			t.Errorf("1000 more take %s, want 1s", wait)
		}
	})
}

func TestNothingGoesBeforeTheHoldOfA429HasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, accounting := range Accountings() {
			a := still(Config{RPM: 600, TPM: 60_000, RPD: 1000, Accounting: accounting, Share: 1})
			need := Need{Input: 10, MaxTokens: 10}
			var others []*Reservation
			for range 8 {
				others = append(others, take(t, a, need))
			}
			began := time.Now()
			take(t, a, need).End(throttledFor(4 * time.Second))
			for _, other := range others { // what is given back in the meantime
				time.Sleep(100 * time.Millisecond)
				other.Return()
				hold := time.Until(began.Add(4 * time.Second))
				for _, n := range []Need{{}, need} {
					if wait, err := a.Take(n, Waiter{}, &Reservation{}); wait < hold || err != nil {
						t.Fatalf("%s: %+v may go in %s (%v), the hold ends in %s", accounting, n, wait, err, hold)
					}
				}
			}
			time.Sleep(time.Until(began.Add(4 * time.Second)))
			if got := left(a, Tokens); got != 0 {
				t.Errorf("%s: %d left when the hold ends, want none", accounting, got)
			}
		}
	})
}

func TestWhatComesBackDuringAHoldPaysDebts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		small, large := take(t, a, Need{Input: 0}), take(t, a, Need{Input: 40_000})
		small.End(throttledFor(4 * time.Second))
		if got := left(a, Tokens); got != -25_000 {
			t.Fatalf("%d left, want the debt of -25000", got)
		}
		large.Return()
		if got := left(a, Tokens); got != 0 {
			t.Errorf("%d left, want none and no debt", got)
		}
	})
}

func TestA429WithoutAWaitLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		take(t, a, Need{Input: 1000}).End(throttledFor(0))
		if wait, _ := a.Ready(Need{Input: 100}, Waiter{}); wait == 0 {
			t.Error("what the refused call gave back let the next one in at once")
		}
	})
}

func TestTheWaitIsTrueAlsoWhileTheFlowGrows(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			a := still(Config{TPM: 60_000, Accounting: "gemini"})
			take(t, a, Need{Input: 10}).End(throttledFor(time.Duration(r.IntN(5000)) * time.Millisecond))
			time.Sleep(time.Duration(r.IntN(12_000)) * time.Millisecond)
			n := Need{Input: 1 + r.IntN(14_000)}
			wait, _ := a.Ready(n, Waiter{})
			time.Sleep(wait * 99 / 100)
			if again, _ := a.Ready(n, Waiter{}); wait > time.Second && again == 0 {
				t.Fatalf("seed %d: told to wait %s, ready before", seed, wait)
			}
			time.Sleep(wait/100 + 200*time.Millisecond)
			if again, _ := a.Ready(n, Waiter{}); again != 0 {
				t.Fatalf("seed %d: told to wait %s, then %s more", seed, wait, again)
			}
		})
	}
}

func TestSmallRequestsDoNotStarveALargeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		take(t, a, Need{Input: 15_000})
		large, small := Need{Input: 1500}, Need{Input: 100}
		if wait, _ := a.Ready(large, Waiter{1, 5 * time.Second}); wait.Round(time.Millisecond) != 1500*time.Millisecond {
			t.Fatalf("wait %s", wait)
		}
		for range 14 {
			time.Sleep(100 * time.Millisecond)
			if wait, _ := a.Take(small, Waiter{2, 5 * time.Second}, &Reservation{}); wait == 0 {
				t.Fatal("a small one overtook it")
			}
			_, _ = a.Ready(large, Waiter{1, 5 * time.Second}) // it is still there
		}
		time.Sleep(100 * time.Millisecond)
		if wait, err := a.Take(large, Waiter{1, 5 * time.Second}, &Reservation{}); wait != 0 || err != nil {
			t.Fatalf("large: wait %s, %v", wait, err)
		}
		if wait, _ := a.Ready(small, Waiter{2, 5 * time.Second}); wait.Round(time.Millisecond) != 100*time.Millisecond {
			t.Errorf("small: wait %s, want 100ms", wait)
		}
	})
}

func TestWhoCannotWaitSoLongHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		take(t, a, Need{Input: 15_000})
		_, _ = a.Ready(Need{Input: 5000}, Waiter{1, 4 * time.Second})
		time.Sleep(100 * time.Millisecond)
		if wait, _ := a.Take(Need{Input: 100}, Waiter{2, time.Second}, &Reservation{}); wait != 0 {
			t.Errorf("%s to wait for one that will have left", wait)
		}
	})
}

func TestAClaimWhoseCallDoesNotComeLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		take(t, a, Need{Input: 15_000})
		_, _ = a.Ready(Need{Input: 500}, Waiter{1, 5 * time.Second})
		time.Sleep(1001 * time.Millisecond)
		if wait, _ := a.Take(Need{Input: 100}, Waiter{2, 5 * time.Second}, &Reservation{}); wait != 0 {
			t.Errorf("still %s to wait for one that is gone", wait)
		}
	})
}

func TestAClaimThatIsNotTakenUpLapsesWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		take(t, a, Need{Input: 15_000})
		_, _ = a.Ready(Need{Input: 100}, Waiter{1, 5 * time.Second}) // due in 100 ms
		time.Sleep(140 * time.Millisecond)
		if wait, _ := a.Ready(Need{Input: 10}, Waiter{2, 0}); wait == 0 {
			t.Error("a claim that has just become due was overtaken")
		}
		time.Sleep(20 * time.Millisecond)
		if wait, _ := a.Ready(Need{Input: 10}, Waiter{2, 0}); wait != 0 {
			t.Errorf("%s to wait for a call that took another key", wait)
		}
	})
}

func TestACallThatYieldsHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		take(t, a, Need{Input: 15_000})
		_, _ = a.Ready(Need{Input: 4000}, Waiter{1, 5 * time.Second})
		time.Sleep(100 * time.Millisecond)
		a.Yield(2) // somebody else
		if wait, _ := a.Ready(Need{Input: 10}, Waiter{2, 0}); wait == 0 {
			t.Error("another call's yield took the place away")
		}
		a.Yield(1)
		if wait, _ := a.Ready(Need{Input: 10}, Waiter{2, 0}); wait != 0 {
			t.Errorf("%s to wait for a call that has left", wait)
		}
	})
}

func TestUsageThatCannotBeIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Share: 1, Burst: time.Minute})
		o := ok(0, 1)
		o.Usage.Odd, o.Produced = true, 80
		take(t, a, Need{Input: 100, MaxTokens: 900}).End(o)
		if got := 60_000 - left(a, Tokens); got != 1000 {
			t.Errorf("%d tokens spent, want all that was held, 1000", got)
		}
	})
}

func TestNoRequestTakesLessThanNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range Accountings() {
			for _, n := range []Need{{Input: 1 << 62, MaxTokens: 1<<53 - 1, Choices: 1<<53 - 1}, {Input: -5, MaxTokens: 1<<62 + 1, Choices: 2}, {Choices: 1<<53 - 1}} {
				a := still(Config{TPM: 60_000, ITPM: 60_000, OTPM: 60_000, Accounting: name, Share: 1})
				before := a.Levels()
				_, _ = a.Take(n, Waiter{}, &Reservation{})
				for i, l := range a.Levels() {
					if l.Left > before[i].Left || l.Reserved < 0 {
						t.Errorf("%s: %+v made %+v of %+v", name, n, l, before[i])
					}
				}
			}
		}
	})
}

func TestTheLengthOfAnswersIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{OTPM: 6_000_000, Accounting: "anthropic", Share: 1})
		need := Need{Input: 10, MaxTokens: 4096}
		for i := range 40 {
			take(t, a, need).End(ok(10, 10*(i%10+1)))
		}
		before := left(a, Output)
		r := take(t, a, need)
		if got := before - left(a, Output); got != 100 {
			t.Errorf("reserved %d, want the 90th percentile, 100", got)
		}
		r.Return()
		take(t, a, Need{MaxTokens: 30})
		if got := before - left(a, Output); got != 30 {
			t.Errorf("reserved %d, want no more than max_tokens, 30", got)
		}
	})
}

func TestTheEstimateOfPromptsIsCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 600_000_000, Accounting: "azure"})
		reserved := func() int64 { return a.Levels()[0].Reserved }
		for range 200 {
			take(t, a, Need{Input: 100, MaxTokens: 50}).End(ok(130, 20))
		}
		r := take(t, a, Need{Input: 1000, MaxTokens: 50})
		if got := reserved(); got != 1350 {
			t.Errorf("reserved %d, want 1350: prompts take 1.3 times the estimate", got)
		}
		r.Return()
		for range 200 {
			take(t, a, Need{Input: 100, MaxTokens: 50}).End(ok(10_000, 20))
		}
		take(t, a, Need{Input: 1000, MaxTokens: 50})
		if got := reserved(); got != 2050 {
			t.Errorf("reserved %d, want 2050: no more than the double", got)
		}
	})
}

func TestAHintSaysWhatALargeMaxTokensCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 600_000_000, Accounting: "openai"})
		if _, ok := a.Hint(); ok {
			t.Error("a hint about nothing")
		}
		for range 50 {
			take(t, a, Need{Input: 100, MaxTokens: 4000}).End(ok(100, 300))
		}
		if h, ok := a.Hint(); !ok || h != (Hint{MaxTokens: 4000, Used: 300, Waste: 0.9}) {
			t.Errorf("hint %+v, %t", h, ok)
		}
		for range 200 {
			take(t, a, Need{Input: 100, MaxTokens: 400}).End(ok(100, 300))
		}
		if h, ok := a.Hint(); ok {
			t.Errorf("hint %+v although max_tokens fits", h)
		}
	})
}

func TestANewConfigurationKeepsWhatWasSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := still(Config{TPM: 60_000, Accounting: "gemini", Share: 1})
		r := take(t, a, Need{Input: 15_000})
		a.Reconfigure(Config{TPM: 120_000, RPM: 10, Accounting: "gemini", Share: 1})
		if got := left(a, Tokens); got != 0 {
			t.Errorf("%d left, want 0", got)
		}
		a.Reconfigure(Config{})
		r.Return()
		if a.Open() != 0 || len(a.Levels()) != 0 {
			t.Errorf("%d open, levels %+v", a.Open(), a.Levels())
		}
	})
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	err := Config{RPM: 1e13, Accounting: "tea", Reserve: "all", Share: 1.5, Burst: time.Millisecond, MaxOutput: -1}.Validate()
	want := []string{"rpm: 10000000000000 is above 1000000000000",
		`accounting: "tea" is none of anthropic, anthropic-cached, azure, bedrock, bedrock-1, cerebras, gemini, groq, openai, usage`,
		`reserve: "all" is none of max_tokens, p90, mean, none`, "share: 1.5 is not above 0 and up to 1",
		"burst: 1ms is not between 1s and 1m", "max_output: -1 is not positive"}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	field, _ := reflect.TypeFor[Config]().FieldByName("Accounting")
	if got := strings.Fields(field.Tag.Get("oneof")); !slices.Equal(got, Accountings()) {
		t.Errorf("the tag of Accounting names %q, there are %q", got, Accountings())
	}
	for _, name := range Accountings() {
		if AccountingFor(name) != name {
			t.Errorf("no accounting for the vendor %s", name)
		}
	}
	if AccountingFor("ollama") != "usage" {
		t.Error("an unknown vendor has an accounting of its own")
	}
}

func BenchmarkTakeAndEnd(b *testing.B) {
	a := New(Config{RPM: 1e9, TPM: 1e12, Accounting: "usage"}, Options{})
	o := ok(100, 50)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var r Reservation
		for pb.Next() {
			if wait, err := a.Take(Need{Input: 100, MaxTokens: 100}, Waiter{1, 5 * time.Second}, &r); wait != 0 || err != nil {
				b.Error(wait, err)
				return
			}
			r.End(o)
		}
	})
}
