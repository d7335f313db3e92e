package retry

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func always(r float64) func() float64 { return func() float64 { return r } }

func TestEachKindOfJitterDrawsFromItsRange(t *testing.T) {
	cases := []struct {
		jitter   string
		throttle bool
		n        int
		prev     time.Duration
		low      time.Duration // drawn with 0
		high     time.Duration // drawn with almost 1
	}{
		{JitterByCause, false, 1, 0, 0, 500 * ms},
		{JitterByCause, false, 3, 0, 0, 2000 * ms},
		{JitterByCause, false, 9, 0, 0, 8000 * ms},
		{JitterByCause, true, 1, 0, 500 * ms, 1000 * ms},
		{JitterByCause, true, 2, 0, 1000 * ms, 2000 * ms},
		{JitterByCause, true, 9, 0, 4000 * ms, 8000 * ms},
		{JitterFull, true, 2, 0, 0, 2000 * ms},
		{JitterPythonFull, true, 2, 0, 0, 2000 * ms},
		{JitterEqual, false, 2, 0, 500 * ms, 1000 * ms},
		{JitterNone, false, 1, 0, 500 * ms, 500 * ms},
		{JitterNone, false, 4, 0, 4000 * ms, 4000 * ms},
		{JitterNone, true, 1, 0, 1000 * ms, 1000 * ms},
		{JitterPRetry, false, 2, 0, 1000 * ms, 2000 * ms},
		{JitterPRetry, false, 5, 0, 8000 * ms, 8000 * ms}, // the cap comes after the jitter
		{JitterPythonRandom, false, 2, 0, 1000 * ms, 2000 * ms},
		{JitterPythonRandom, false, 9, 0, 8000 * ms, 8000 * ms},
		{JitterDecorrelated, false, 1, 0, 500 * ms, 1500 * ms},
		{JitterDecorrelated, false, 2, 1000 * ms, 500 * ms, 3000 * ms},
		{JitterDecorrelated, false, 3, 8000 * ms, 500 * ms, 8000 * ms},
		{JitterDecorrelated, false, 2, 10 * ms, 500 * ms, 1500 * ms}, // a short wait before does not lower the base
	}
	for _, test := range cases {
		t.Run(test.jitter, func(t *testing.T) {
			c := Config{Jitter: test.jitter}
			low := c.Backoff(test.n, test.throttle, test.prev, always(0))
			high := c.Backoff(test.n, test.throttle, test.prev, always(1-1e-12))
			if low != test.low || high < test.high-time.Microsecond || high > test.high {
				t.Errorf("retry %d, throttle %v, prev %s: got %s to %s, want %s to %s",
					test.n, test.throttle, test.prev, low, high, test.low, test.high)
			}
		})
	}
}

func TestBackoffStaysBetweenZeroAndTheCapWhateverIsAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		c := Config{
			Base: time.Duration(r.Int64N(int64(time.Hour))), ThrottleBase: time.Duration(r.Int64N(int64(time.Hour))),
			Cap: time.Duration(1 + r.Int64N(int64(time.Hour))), Factor: 1 + 99*r.Float64(), Jitter: jitters[r.IntN(len(jitters))], Growth: growths[r.IntN(len(growths))],
		}
		n := r.IntN(2000) - 10
		prev := time.Duration(r.Int64() - r.Int64())
		if got := c.Backoff(n, i%2 == 0, prev, r.Float64); got < 0 || got > c.Cap {
			t.Fatalf("%+v: retry %d after %s waits %s", c, n, prev, got)
		}
	}
	for _, jitter := range jitters {
		for _, growth := range growths {
			c := Config{Base: math.MaxInt64, Cap: math.MaxInt64, Factor: 100, Jitter: jitter, Growth: growth}
			if got := c.Backoff(math.MaxInt, false, 0, nil); got < 0 {
				t.Errorf("overflow with jitter %q, growth %q: %s", jitter, growth, got)
			}
		}
	}
}

func TestFibonacciWaitsGrowByTheTwoBefore(t *testing.T) {
	c := Config{Base: 100 * ms, Factor: 10, Growth: GrowthFibonacci, Cap: time.Second, Jitter: JitterNone}
	for n, want := range []time.Duration{100 * ms, 100 * ms, 100 * ms, 200 * ms, 300 * ms, 500 * ms, 800 * ms, time.Second, time.Second} {
		if got := c.Backoff(n, false, 0, nil); got != want {
			t.Errorf("retry %d: got %s, want %s", n, got, want)
		}
	}
}

func TestMinAndMaxDelayReplaceTheBackoff(t *testing.T) {
	c := Config{MinDelay: 500 * ms, MaxDelay: 2500 * ms}
	for n := 1; n < 5; n++ {
		low, high := c.Backoff(n, true, 0, always(0)), c.Backoff(n, false, 0, always(0.5))
		if low != 500*ms || high != 1500*ms {
			t.Errorf("retry %d: got %s and %s, want 500ms and 1.5s", n, low, high)
		}
	}
}

func TestDelayIsNeverShorterThanTheProviderAsked(t *testing.T) {
	cases := []struct {
		name          string
		backoff, wait time.Duration
		hasWait       bool
		low, high     time.Duration
	}{
		{"nothing asked", 700 * ms, 0, false, 700 * ms, 700 * ms},
		{"a wait that is not meant", 700 * ms, time.Hour, false, 700 * ms, 700 * ms},
		{"longer than the backoff", 700 * ms, 2 * time.Second, true, 2 * time.Second, 2200 * ms},
		{"shorter than the backoff", 700 * ms, 200 * ms, true, 700 * ms, 720 * ms},
		{"at most a second on top", 0, time.Minute, true, time.Minute, 61 * time.Second},
		{"zero", 700 * ms, 0, true, 700 * ms, 700 * ms},
		{"negative", 700 * ms, -time.Hour, true, 700 * ms, 700 * ms},
		{"all negative", -1, -1, true, 0, 0},
		{"the longest there is", 0, math.MaxInt64, true, math.MaxInt64, math.MaxInt64},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			low := Config{}.Delay(test.backoff, test.wait, test.hasWait, always(0))
			high := Config{}.Delay(test.backoff, test.wait, test.hasWait, always(1))
			if low != test.low || high != test.high {
				t.Errorf("got %s to %s, want %s to %s", low, high, test.low, test.high)
			}
		})
	}
}

func FuzzDelay(f *testing.F) {
	f.Add(int64(500*ms), int64(time.Second), 0.3)
	f.Add(int64(-1), int64(math.MaxInt64), 0.999)
	f.Fuzz(func(t *testing.T, backoff, wait int64, r float64) {
		if !(r >= 0 && r < 1) {
			return
		}
		got := Config{}.Delay(time.Duration(backoff), time.Duration(wait), true, always(r))
		if got < 0 || got < time.Duration(wait) || got < time.Duration(backoff) {
			t.Fatalf("backoff %d, wait %d: got %d", backoff, wait, got)
		}
		if most := max(float64(backoff), float64(wait), 0) + float64(time.Second); float64(got) > most {
			t.Fatalf("backoff %d, wait %d: got %d, more than a second on top", backoff, wait, got)
		}
	})
}

func TestDefaultsAreValidAndStayAsTheyAre(t *testing.T) {
	for _, c := range []Config{{}, {BudgetRatio: -1, BudgetReserve: -5, TokenRatio: -1, TokenReserve: -1, Base: -1}, {MaxAttempts: 1}} {
		full := c.WithDefaults()
		if full != full.WithDefaults() {
			t.Errorf("%+v changes when defaults are applied again", full)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if got := (Config{}).WithDefaults().MaxAttempts; got != 3 {
		t.Errorf("max_attempts: got %d, want 3", got)
	}
}

func TestValidateReportsEverythingThatIsWrong(t *testing.T) {
	err := Config{
		MaxAttempts: -2, Base: 3, Cap: 2 * time.Hour, Factor: 0.5, Jitter: "fuller", Growth: "linear", MinDelay: 2 * time.Second, MaxDelay: time.Second,
		BudgetRatio: 1.5, BudgetTTL: -1, TokenRatio: math.NaN(), TokenReserve: math.Inf(1), TokenMultiplier: 0.9,
	}.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	got := strings.Split(err.Error(), "\n")
	want := []string{
		"base: 3ns is not between 1ms and 1h0m0s",
		"cap: 2h0m0s is not between 1ms and 1h0m0s",
		"budget_ttl: cannot be off",
		"min_delay: 2s is above max_delay 1s",
		"max_attempts: -2 is not between 1 and 100",
		"factor: 0.5 is not between 1 and 100",
		"budget_ratio: 1.5 is not between 0 and 1",
		"token_ratio: NaN is not between 0 and 1",
		"token_reserve: +Inf is not between 0 and 1e+12",
		"token_multiplier: 0.9 is not between 1 and 100",
		`jitter: "fuller" is none of full, equal, decorrelated, none, p-retry, python-full, python-random`,
		`growth: "linear" is none of exponential, fibonacci`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func BenchmarkBackoff(b *testing.B) {
	c := Config{}.WithDefaults()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Backoff(2, true, 0, nil)
	}
}

func TestTheWordsOfTheFileAreThoseThatValidateKnows(t *testing.T) {
	for name, known := range map[string][]string{"Jitter": jitters, "Growth": growths} {
		field, _ := reflect.TypeFor[Config]().FieldByName(name)
		if got := strings.Fields(field.Tag.Get("oneof")); !slices.Equal(got, known[1:]) {
			t.Errorf("%s: the tag has %q, Validate knows %q", name, got, known[1:])
		}
	}
}
