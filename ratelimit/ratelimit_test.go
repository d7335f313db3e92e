package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// take asks one limit for one key.
func take(l *ratelimit.Limiter, key string, cost int64) ratelimit.Ask {
	asks := []ratelimit.Ask{{Limiter: l, Key: key, Cost: cost}}
	if ok := ratelimit.Take(asks); ok != asks[0].OK {
		panic(fmt.Sprintf("Take said %v and its only ask %v", ok, asks[0].OK))
	}
	return asks[0]
}

func admitted(l *ratelimit.Limiter, key string, tries int) (n int) {
	for range tries {
		if take(l, key, 1).OK {
			n++
		}
	}
	return n
}

func wantAdmitted(t *testing.T, l *ratelimit.Limiter, key string, tries, want int) {
	t.Helper()
	if n := admitted(l, key, tries); n != want {
		t.Fatalf("%d of %d calls of %q admitted, want %d", n, tries, key, want)
	}
}

func TestPointsComeBackOneByOneInAGCRA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("key", ratelimit.Config{Points: 3, Duration: time.Second})
		wantAdmitted(t, l, "a", 10, 3)
		a := take(l, "a", 1)
		if want := time.Second/3 + 1; a.Wait != want || a.Remaining != 0 || a.Reset != time.Second {
			t.Fatalf("refused with wait %s, remaining %d, reset %s; want %s, 0, 1s", a.Wait, a.Remaining, a.Reset, want)
		}
		time.Sleep(a.Wait - 1)
		wantAdmitted(t, l, "a", 1, 0)
		time.Sleep(time.Nanosecond)
		wantAdmitted(t, l, "a", 5, 1)
		time.Sleep(time.Second)
		wantAdmitted(t, l, "a", 10, 3)
	})
}

func TestALimitOfThreeASecondGivesExactlyThreeASecondForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("key", ratelimit.Config{Points: 3, Duration: time.Second, Burst: 1})
		n := 1
		wantAdmitted(t, l, "a", 1, 1)
		for range 2000 {
			time.Sleep(take(l, "a", 1).Wait)
			wantAdmitted(t, l, "a", 1, 1)
			n++
		}
		// Each wait is rounded up to a nanosecond; what is rounded up is not lost.
		if l.Peek("a"); n != 2001 {
			t.Fatalf("%d admitted", n)
		}
	})
}

func TestAWindowGivesAllPointsBackAtOnceAndStartsWithTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("key", ratelimit.Config{Points: 20, Duration: time.Second, Mode: ratelimit.ModeWindow})
		time.Sleep(700 * time.Millisecond)
		wantAdmitted(t, l, "a", 1, 1)
		time.Sleep(990 * time.Millisecond)
		wantAdmitted(t, l, "a", 30, 19)
		if a := take(l, "a", 1); a.Wait != 10*time.Millisecond {
			t.Fatalf("wait %s, want the rest of the window, 10ms", a.Wait)
		}
		time.Sleep(10 * time.Millisecond)
		wantAdmitted(t, l, "a", 30, 20) // 39 in 10 ms: what a fixed window does
	})
}

func TestWhoGoesOverTheLimitIsBlockedAndLaterCallsDoNotExtendIt(t *testing.T) {
	for _, mode := range []string{ratelimit.ModeGCRA, ratelimit.ModeWindow} {
		synctest.Test(t, func(t *testing.T) {
			l := ratelimit.New("ip", ratelimit.Config{Points: 20, Duration: time.Second, BlockFor: 2 * time.Second, Mode: mode})
			wantAdmitted(t, l, "a", 21, 20)
			for range 19 {
				time.Sleep(100 * time.Millisecond)
				if a := take(l, "a", 1); a.OK || !a.Blocked || a.Remaining != 0 {
					t.Fatalf("%s: in the box: %+v, want refused and blocked", mode, a.State)
				}
			}
			time.Sleep(100 * time.Millisecond)
			wantAdmitted(t, l, "a", 30, 20)
		})
	}
}

func TestTheBoxLastsAtLeastUntilThePointsAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ratelimit.Config{Points: 2, Duration: time.Minute, BlockFor: 2 * time.Second, Mode: ratelimit.ModeWindow}
		ours := ratelimit.New("ours", c)
		c.Compat = true
		theirs := ratelimit.New("rlf", c)
		wantAdmitted(t, ours, "a", 3, 2)
		wantAdmitted(t, theirs, "a", 3, 2)
		time.Sleep(2 * time.Second)
		wantAdmitted(t, ours, "a", 5, 0)
		wantAdmitted(t, theirs, "a", 2, 2) // their box replaces the window
		time.Sleep(58 * time.Second)
		wantAdmitted(t, ours, "a", 5, 2)
	})
}

func TestRefusedCallsCountOnlyInCompatMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ratelimit.Config{Points: 5, Duration: time.Minute, Mode: ratelimit.ModeWindow}
		ours := ratelimit.New("ours", c)
		c.Compat = true
		theirs := ratelimit.New("rlf", c)
		for _, l := range []*ratelimit.Limiter{ours, theirs} {
			take(l, "a", 4)
			if take(l, "a", 3).OK {
				t.Fatalf("%s: 4 and 3 of 5 admitted", l.Name())
			}
		}
		if a := take(ours, "a", 1); !a.OK {
			t.Fatalf("the refused call cost something: %+v", a.State)
		}
		if a := take(theirs, "a", 1); a.OK {
			t.Fatalf("compat: the refused call cost nothing: %+v", a.State)
		}
	})
}

func TestACallThatOneLimitRefusesCostsNothingInAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := ratelimit.New("key", ratelimit.Config{Points: 10, Duration: time.Minute})
		ip := ratelimit.New("ip", ratelimit.Config{Points: 3, Duration: time.Minute, Mode: ratelimit.ModeWindow})
		tenant := ratelimit.New("tenant", ratelimit.Config{Points: 100, Duration: time.Minute})
		var passed int
		for range 8 {
			asks := []ratelimit.Ask{{Limiter: tenant, Key: "t", Cost: 7}, {Limiter: ip, Key: "i", Cost: 1}, {Limiter: key, Key: "k", Cost: 1}}
			if ratelimit.Take(asks) {
				passed++
				continue
			}
			if _, limit := ratelimit.Soonest(asks); limit != "ip" {
				t.Fatalf("refused by %q, want ip", limit)
			}
		}
		if passed != 3 || key.Peek("k").Remaining != 7 || tenant.Peek("t").Remaining != 79 {
			t.Fatalf("%d passed, key has %d left, tenant %d; want 3, 7, 79", passed, key.Peek("k").Remaining, tenant.Peek("t").Remaining)
		}
		if s := key.Stats(); s.Admitted != 3 || s.Spared != 5 || s.Refused != 0 {
			t.Fatalf("key counts %+v, want 3 admitted and 5 spared", s.Counts)
		}
	})
}

func TestAShadowCountsAndRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("trial", ratelimit.Config{Points: 2, Duration: time.Second, BlockFor: 10 * time.Second, Shadow: true})
		wantAdmitted(t, l, "a", 5, 5)
		if s := l.Stats(); s.Admitted != 2 || s.Would != 3 || s.Refused != 0 || s.Blocked != 1 {
			t.Fatalf("%+v, want 2 admitted, 3 that it would have refused, 1 key in the box", s)
		}
		h := http.Header{}
		asks := []ratelimit.Ask{{Limiter: l, Key: "a", Cost: 1}}
		ratelimit.Take(asks)
		ratelimit.WriteFields(h, asks, func(*ratelimit.Limiter) string { return "" })
		if len(h) != 0 {
			t.Fatalf("a shadow speaks: %v", h)
		}
	})
}

func TestTwoHundredAtOnceAtALimitOfTenAreTenExactly(t *testing.T) {
	for _, mode := range []string{ratelimit.ModeGCRA, ratelimit.ModeWindow} {
		synctest.Test(t, func(t *testing.T) {
			a := ratelimit.New("a", ratelimit.Config{Points: 10, Duration: time.Second, Mode: mode})
			b := ratelimit.New("b", ratelimit.Config{Points: 150, Duration: time.Second, Mode: mode})
			var n atomic.Int64
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					asks := []ratelimit.Ask{{Limiter: a, Key: "k", Cost: 1}, {Limiter: b, Key: "k", Cost: 1}}
					if i%2 == 0 { // in either order: locks must not meet head-on
						asks[0], asks[1] = asks[1], asks[0]
					}
					if ratelimit.Take(asks) {
						n.Add(1)
					}
				})
			}
			all.Wait()
			if n.Load() != 10 || b.Peek("k").Remaining != 140 {
				t.Fatalf("%s: %d admitted and %d left in the other limit, want 10 and 140", mode, n.Load(), b.Peek("k").Remaining)
			}
		})
	}
}

func TestACostAboveTheBurstIsLetThroughAloneAndPaidOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("tokens", ratelimit.Config{Points: 100, Duration: time.Second})
		if a := take(l, "a", 250); !a.OK || a.Reset != 2500*time.Millisecond {
			t.Fatalf("250 of 100: %+v, want let through with a reset of 2.5s", a.State)
		}
		if a := take(l, "a", 1); a.OK || a.Wait != 1510*time.Millisecond {
			t.Fatalf("after it: %+v, want a wait of 1.51s", a.State)
		}
		time.Sleep(1510 * time.Millisecond)
		if a := take(l, "a", 250); a.OK {
			t.Fatal("a second one passed while the first is not paid off")
		}
		if a := take(l, "a", 1); !a.OK {
			t.Fatalf("after the wait it named: %+v", a.State)
		}
		w := ratelimit.New("window", ratelimit.Config{Points: 100, Duration: time.Second, Mode: ratelimit.ModeWindow})
		if a := take(w, "a", 101); a.OK {
			t.Fatalf("101 in a window of 100: %+v, want it refused", a.State)
		}
	})
}

func TestSettlingGivesBackWhatHasNotComeBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("tokens", ratelimit.Config{Points: 100, Duration: time.Second})
		first := take(l, "a", 100)
		time.Sleep(500 * time.Millisecond)
		ratelimit.Settle(first.Ticket(), 60)
		if left := l.Peek("a").Remaining; left != 90 {
			t.Fatalf("%d left, want 50 that came back and 40 given back", left)
		}
		late := take(l, "a", 90)
		time.Sleep(2 * time.Second) // all is back
		take(l, "a", 70)
		ratelimit.Settle(late.Ticket(), 0)
		if left := l.Peek("a").Remaining; left != 30 {
			t.Fatalf("%d left, want 30: what came back by itself is not given twice", left)
		}
		debt := take(l, "a", 10)
		ratelimit.Settle(debt.Ticket(), 210)
		if s := l.Peek("a"); s.Remaining != 0 || s.Reset != 2800*time.Millisecond {
			t.Fatalf("%+v, want a debt that is paid in 2.8s", s)
		}
	})
}

func TestADebtIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("tokens", ratelimit.Config{Points: 1, Duration: time.Second})
		for range 5 {
			ratelimit.Settle(take(l, "a", 1).Ticket(), 1<<62)
			ratelimit.Settle(take(l, "b", 1<<62).Ticket(), 1<<62)
		}
		for _, key := range []string{"a", "b"} {
			if s := l.Peek(key); s.Reset != 11*time.Second {
				t.Fatalf("%s: paid off in %s, want eleven bursts, 11s", key, s.Reset)
			}
		}
	})
}

// flood makes a table full of keys that hold something.
func flood(l *ratelimit.Limiter, keys int) (passed int) {
	for i := range keys {
		if take(l, "attacker"+fmt.Sprint(i), 1).OK {
			passed++
		}
	}
	return passed
}

func TestAFloodOfKeysFreesNobodyFromTheBoxAndTakesNoMoreMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("ip", ratelimit.Config{Points: 2, Duration: time.Minute, BlockFor: time.Hour, MaxKeys: 2048})
		wantAdmitted(t, l, "blocked", 5, 2)
		wantAdmitted(t, l, "known", 1, 1)

		passed := flood(l, 100_000)
		s := l.Stats()
		if s.Keys > 2048 {
			t.Fatalf("%d keys kept, want at most 2048", s.Keys)
		}
		if s.Shared == 0 || passed > 2048+16*64*2 {
			t.Fatalf("%d of 100,000 passed, want at most one for each key kept and two for each shared meter", passed)
		}
		wantAdmitted(t, l, "blocked", 5, 0)
		wantAdmitted(t, l, "known", 5, 1) // its own meter, unmoved by the flood

		time.Sleep(time.Hour + time.Minute) // what holds nothing makes room
		wantAdmitted(t, l, "newcomer", 5, 2)
		if got := l.Stats(); got.Shared != s.Shared || got.Keys > 2048 {
			t.Fatalf("after the flood: %+v, want a meter of its own for a newcomer", got)
		}
	})
}

func TestKeysAreForgottenOnlyWhenTheyHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New("ip", ratelimit.Config{Points: 1, Duration: time.Second, MaxKeys: 4})
		for i := range 1000 {
			key := fmt.Sprint(i)
			wantAdmitted(t, l, key, 2, 1)
			time.Sleep(300 * time.Millisecond) // three keys hold something at any time
		}
		if s := l.Stats(); s.Shared != 0 || s.Keys > 4 {
			t.Fatalf("%+v, want four keys and no sharing", s)
		}
	})
}

func TestTheFieldsSayWhatTheDraftSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := ratelimit.New("key", ratelimit.Config{Points: 20, Duration: time.Second})
		tokens := ratelimit.New(`key "tokens"`, ratelimit.Config{Points: 200_000, Duration: time.Minute})
		asks := []ratelimit.Ask{{Limiter: key, Key: "k", Cost: 1}, {Limiter: tokens, Key: "k", Cost: 1500}}
		ratelimit.Take(asks)
		h := http.Header{}
		ratelimit.WriteFields(h, asks, func(l *ratelimit.Limiter) string {
			if l == tokens {
				return "tokens"
			}
			return ""
		})
		policy, state := h.Get("RateLimit-Policy"), h.Get("RateLimit")
		if want := `"key";q=20;w=1, "key \"tokens\"";q=200000;w=60;qu="tokens"`; policy != want {
			t.Errorf("RateLimit-Policy: %s\nwant %s", policy, want)
		}
		if want := `"key";r=19;t=1, "key \"tokens\"";r=198500;t=1`; state != want {
			t.Errorf("RateLimit: %s\nwant %s", state, want)
		}
	})
}

func TestAddressesOfOneNetworkShareAKey(t *testing.T) {
	cases := []struct{ address, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
	}
	for _, c := range cases {
		if got := ratelimit.AddressKey(netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%s: key %q, want %q", c.address, got, c.want)
		}
	}
	if got := ratelimit.AddressKey(netip.Addr{}); got != "" {
		t.Errorf("no address: key %q, want none", got)
	}
}

func TestValidateKnowsTheRanges(t *testing.T) {
	good := ratelimit.Config{Points: 20, Duration: time.Second}
	if err := good.Validate(); err != nil {
		t.Fatalf("20/s: %v", err)
	}
	cases := []struct {
		name string
		with func(*ratelimit.Config)
		want string
	}{
		{"no points", func(c *ratelimit.Config) { c.Points = 0 }, "points: 0"},
		{"no duration", func(c *ratelimit.Config) { c.Duration = 0 }, "duration: 0s"},
		{"a negative burst", func(c *ratelimit.Config) { c.Burst = -1 }, "burst: -1"},
		{"a burst for years", func(c *ratelimit.Config) { c.Burst = 1_000_000_000 }, "take longer than"},
		{"a burst for centuries", func(c *ratelimit.Config) { c.Points, c.Duration, c.Burst = 1, 31*24*time.Hour, 1e12 }, "take longer than"},
		{"a negative box", func(c *ratelimit.Config) { c.BlockFor = -1 }, "block_for"},
		{"an unknown mode", func(c *ratelimit.Config) { c.Mode = "leaky" }, `mode: "leaky" is none of gcra, window`},
		{"a window with a burst", func(c *ratelimit.Config) { c.Mode, c.Burst = "window", 40 }, "a window has none"},
		{"compat without a window", func(c *ratelimit.Config) { c.Compat = true }, "compat: only a window"},
		{"too many keys", func(c *ratelimit.Config) { c.MaxKeys = 1 << 30 }, "max_keys"},
	}
	for _, c := range cases {
		config := good
		c.with(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestADecisionAboutAKnownKeyAllocatesNothing(t *testing.T) {
	a := ratelimit.New("a", ratelimit.Config{Points: 10, Duration: time.Second})
	b := ratelimit.New("b", ratelimit.Config{Points: 10, Duration: time.Second, Mode: ratelimit.ModeWindow})
	var asks [2]ratelimit.Ask
	if n := testing.AllocsPerRun(1000, func() {
		asks[0] = ratelimit.Ask{Limiter: a, Key: "k", Cost: 1}
		asks[1] = ratelimit.Ask{Limiter: b, Key: "k", Cost: 1}
		ratelimit.Take(asks[:])
	}); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
}

func Example() {
	perKey := ratelimit.New("key", ratelimit.Config{Points: 2, Duration: time.Minute})
	perRoute := ratelimit.New("route", ratelimit.Config{Points: 1000, Duration: time.Minute})
	for range 3 {
		asks := []ratelimit.Ask{{Limiter: perKey, Key: "alice", Cost: 1}, {Limiter: perRoute, Key: "chat", Cost: 1}}
		if ratelimit.Take(asks) {
			fmt.Println("go ahead")
			continue
		}
		wait, limit := ratelimit.Soonest(asks)
		fmt.Printf("refused by %s for %s\n", limit, wait.Round(time.Second))
	}
	fmt.Println(perRoute.Peek("chat").Remaining, "left on the route")
	// Output:
	// go ahead
	// go ahead
	// refused by key for 30s
	// 998 left on the route
}

func BenchmarkTake(b *testing.B) {
	one := ratelimit.New("one", ratelimit.Config{Points: 1e9, Duration: time.Second})
	two := ratelimit.New("two", ratelimit.Config{Points: 1e9, Duration: time.Second})
	b.Run("one limit", func(b *testing.B) {
		b.ReportAllocs()
		var asks [1]ratelimit.Ask
		for b.Loop() {
			asks[0] = ratelimit.Ask{Limiter: one, Key: "k", Cost: 1}
			ratelimit.Take(asks[:])
		}
	})
	b.Run("two limits", func(b *testing.B) {
		b.ReportAllocs()
		var asks [2]ratelimit.Ask
		for b.Loop() {
			asks[0] = ratelimit.Ask{Limiter: one, Key: "k", Cost: 1}
			asks[1] = ratelimit.Ask{Limiter: two, Key: "k", Cost: 1}
			ratelimit.Take(asks[:])
		}
	})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		full := ratelimit.New("full", ratelimit.Config{Points: 1, Duration: time.Hour, BlockFor: time.Hour})
		var asks [1]ratelimit.Ask
		for b.Loop() {
			asks[0] = ratelimit.Ask{Limiter: full, Key: "k", Cost: 1}
			ratelimit.Take(asks[:])
		}
	})
	b.Run("in parallel, many keys", func(b *testing.B) {
		b.ReportAllocs()
		keys := make([]string, 4096)
		for i := range keys {
			keys[i] = fmt.Sprint("client", i)
		}
		b.RunParallel(func(pb *testing.PB) {
			var asks [1]ratelimit.Ask
			for i := 0; pb.Next(); i++ {
				asks[0] = ratelimit.Ask{Limiter: one, Key: keys[i%len(keys)], Cost: 1}
				ratelimit.Take(asks[:])
			}
		})
	})
}
