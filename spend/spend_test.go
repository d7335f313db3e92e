package spend_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/spend"
)

func tokens(n int64) spend.Charge { return spend.Charge{Tokens: n} }

func dollars(usd float64) spend.Charge { return spend.Charge{Money: spend.FromDollars(usd)} }

func reserve(t *testing.T, c spend.Charge, accounts ...*spend.Account) *spend.Hold {
	t.Helper()
	h, err := spend.Reserve(accounts, c)
	if err != nil {
		t.Fatalf("Reserve %+v: %v", c, err)
	}
	return h
}

func TestACallReservesAndGivesBackWhatItDidNotUse(t *testing.T) {
	a := spend.New("alice", spend.Config{TokensPerDay: 1000})
	h := reserve(t, tokens(800), a)
	if _, err := spend.Reserve([]*spend.Account{a}, tokens(300)); !errors.Is(err, spend.ErrExhausted) {
		t.Fatalf("300 more while 800 of 1000 are reserved: %v, want ErrExhausted", err)
	}
	h.Add(tokens(90), false)
	h.Add(tokens(10), false) // a second attempt
	h.End()
	h.End()
	if s := a.Status(); s.Tokens != 100 || s.TokensHeld != 0 || s.Refused != 1 {
		t.Fatalf("%+v, want 100 used, nothing held, one refused", s)
	}
	reserve(t, tokens(900), a)
}

func TestWhatIsUsedBeyondTheReservationIsChargedToo(t *testing.T) {
	a := spend.New("alice", spend.Config{TokensPerDay: 1000})
	h := reserve(t, tokens(100), a)
	h.Add(tokens(5000), false)
	h.End()
	var exhausted *spend.ExhaustedError
	if _, err := spend.Reserve([]*spend.Account{a}, tokens(1)); !errors.As(err, &exhausted) || exhausted.Cap != "tokens_per_day" {
		t.Fatalf("after an overdraft: %v, want an exhausted tokens_per_day", err)
	}
}

func TestAnAttemptThatEndsAfterItsCallIsCharged(t *testing.T) {
	a := spend.New("alice", spend.Config{TokensPerDay: 1000})
	h := reserve(t, tokens(100), a)
	h.Add(tokens(60), false)
	h.End()
	h.Add(tokens(25), true) // a hedge that lost
	if s := a.Status(); s.Tokens != 85 || s.TokensHeld != 0 || s.OddUsage != 1 {
		t.Fatalf("%+v, want 85 used and one odd usage", s)
	}
}

func TestOneAccountThatCannotBearItLeavesTheOthersAlone(t *testing.T) {
	key := spend.New("alice", spend.Config{USDPerDay: 5})
	route := spend.New("chat", spend.Config{USDPerDay: 1})
	for i := range 3 {
		var exhausted *spend.ExhaustedError
		_, err := spend.Reserve([]*spend.Account{key, route}, dollars(0.4))
		if refused := errors.As(err, &exhausted); refused != (i == 2) || refused && exhausted.Account != "chat" {
			t.Fatalf("call %d: %v, want only the third refused, by chat", i, err)
		}
	}
	if s := key.Status(); math.Abs(s.USDHeld-0.8) > 1e-9 || s.Refused != 0 {
		t.Fatalf("key: %+v, want 0.8 USD held", s)
	}
}

func TestADayEndsAtMidnightUTC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight, 2000-01-01
		time.Sleep(23 * time.Hour)
		a := spend.New("alice", spend.Config{TokensPerDay: 100})
		old := reserve(t, tokens(100), a)
		var exhausted *spend.ExhaustedError
		if _, err := spend.Reserve([]*spend.Account{a}, tokens(1)); !errors.As(err, &exhausted) || exhausted.For != time.Hour {
			t.Fatalf("at 23:00: %v, want exhausted for an hour", err)
		}
		time.Sleep(time.Hour)
		fresh := reserve(t, tokens(70), a)
		old.Add(tokens(20), false)
		old.End() // began yesterday: charged today, and its reservation is not given back twice
		if s := a.Status(); s.Day != "2000-01-02" || s.Tokens != 20 || s.TokensHeld != 70 {
			t.Fatalf("%+v, want 20 used and 70 held on 2000-01-02", s)
		}
		fresh.End()
	})
}

func TestTwoHundredAtOnceCannotSpendABudgetTwice(t *testing.T) {
	key := spend.New("alice", spend.Config{TokensPerDay: 1000})
	route := spend.New("chat", spend.Config{TokensPerDay: 1_000_000})
	var n atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			accounts := []*spend.Account{key, route}
			if i%2 == 0 {
				accounts[0], accounts[1] = accounts[1], accounts[0]
			}
			if _, err := spend.Reserve(accounts, tokens(100)); err == nil {
				n.Add(1)
			}
		})
	}
	all.Wait()
	if n.Load() != 10 || route.Status().TokensHeld != 1000 {
		t.Fatalf("%d calls of 100 tokens in a budget of 1000, %d held by the route; want 10 and 1000", n.Load(), route.Status().TokensHeld)
	}
}

func TestNoAnswerMakesABudgetLarger(t *testing.T) {
	// What an upstream may report, read as the dialects read it.
	reports := []string{"-1", "9223372036854775808", "1e308", "NaN", `"12"`, "1.5", "-9e99", "null", "{}", "0"}
	for _, input := range reports {
		for _, output := range reports {
			a := spend.New("alice", spend.Config{USDPerDay: 100, TokensPerDay: 1_000_000})
			price := spend.Price{Input: 3, Output: 15}
			before := a.Status()
			r := &call.Request{InputTokens: 500, MaxTokens: 200, Choices: 1}
			h := reserve(t, spend.Charge{Tokens: 700, Money: price.Of(spend.Estimate(call.OpChat, r))}, a)
			var u call.Usage
			var in, out bool
			u.Input, in = u.Count(call.Value(input))
			u.Output, out = u.Count(call.Value(output))
			u.Known = in || out
			used, odd := spend.Used(call.OpChat, r, &call.Outcome{Verdict: call.Verdict{Class: call.OK}, Sent: true, Usage: u, Produced: 40}, false)
			h.Add(spend.Charge{Tokens: used.Sum(), Money: price.Of(used)}, odd)
			h.End()
			after := a.Status()
			if after.Tokens < before.Tokens+540 || after.USD <= before.USD || after.TokensHeld != 0 {
				t.Errorf("usage %s/%s: %+v, want at least the 540 tokens that we saw", input, output, after)
			}
			if strange := u.Odd; strange != (after.OddUsage == 1) {
				t.Errorf("usage %s/%s: odd %v and %d flagged", input, output, strange, after.OddUsage)
			}
		}
	}
}

func TestUsedBelievesWhatCanBeAndEstimatesTheRest(t *testing.T) {
	r := &call.Request{InputTokens: 100, MaxTokens: 4000, Choices: 1}
	ok := call.Verdict{Class: call.OK}
	cases := []struct {
		name   string
		op     call.Op
		o      call.Outcome
		hidden bool
		want   spend.Tokens
	}{
		{"reported", call.OpChat, call.Outcome{Verdict: ok, Sent: true, Produced: 70, Usage: call.Usage{Known: true, Input: 90, Output: 60, Cached: 30}}, false, spend.Tokens{Input: 90, Output: 60, Cached: 30}},
		{"silent", call.OpChat, call.Outcome{Verdict: ok, Sent: true, Produced: 70}, false, spend.Tokens{Input: 100, Output: 70}},
		{"silent, and the model thinks", call.OpChat, call.Outcome{Verdict: ok, Sent: true, Produced: 70}, true, spend.Tokens{Input: 100, Output: 4000}},
		{"reported, and the model thinks", call.OpChat, call.Outcome{Verdict: ok, Sent: true, Produced: 70, Usage: call.Usage{Known: true, Input: 90, Output: 900}}, true, spend.Tokens{Input: 90, Output: 900}},
		{"only the prompt", call.OpMessages, call.Outcome{Verdict: call.Verdict{Class: call.Canceled}, Sent: true, Produced: 12, Usage: call.Usage{Known: true, Input: 90}}, false, spend.Tokens{Input: 90, Output: 12}},
		{"more cached than asked", call.OpChat, call.Outcome{Verdict: ok, Sent: true, Usage: call.Usage{Known: true, Input: 90, Output: 1, Cached: 900}}, false, spend.Tokens{Input: 90, Output: 1, Cached: 90}},
		{"an error that is not billed", call.OpChat, call.Outcome{Verdict: call.Verdict{Class: call.Throttled}, Sent: true}, false, spend.Tokens{}},
		{"never sent", call.OpChat, call.Outcome{Verdict: call.Verdict{Class: call.Transport}}, false, spend.Tokens{}},
		{"embeddings", call.OpEmbeddings, call.Outcome{Verdict: ok, Sent: true, Produced: 9000}, false, spend.Tokens{Input: 100}},
		{"counting", call.OpCountTokens, call.Outcome{Verdict: ok, Sent: true, Usage: call.Usage{Known: true, Input: 100}}, false, spend.Tokens{}},
	}
	for _, c := range cases {
		if got, odd := spend.Used(c.op, r, &c.o, c.hidden); got != c.want || odd {
			t.Errorf("%s: %+v (odd %v), want %+v", c.name, got, odd, c.want)
		}
	}
}

func TestOneCallMayNotAskForTooMuch(t *testing.T) {
	c := spend.Config{MaxTokens: 1000, MaxChoices: 2, MaxTools: 3, MaxBody: 100}
	fine := call.Request{MaxTokens: 1000, MaxNamed: 1000, Choices: 2, Tools: 3}
	cases := []struct {
		name string
		op   call.Op
		with func(*call.Request)
		body int64
		cap  string // "" allowed
	}{
		{"all it may", call.OpChat, func(*call.Request) {}, 100, ""},
		{"too much output", call.OpChat, func(r *call.Request) { r.MaxTokens = 1001 }, 0, "max_tokens"},
		{"too much output by another name", call.OpChat, func(r *call.Request) { r.MaxNamed = 100_000 }, 0, "max_tokens"},
		{"output without a limit", call.OpResponses, func(r *call.Request) { r.MaxTokens, r.MaxNamed = 0, 0 }, 0, "max_tokens"},
		{"a limit that is no count", call.OpMessages, func(r *call.Request) { r.Limit(call.Value(`"9"`)) }, 0, "max_tokens"},
		{"embeddings have no output", call.OpEmbeddings, func(r *call.Request) { r.MaxTokens, r.MaxNamed = 0, 0 }, 0, ""},
		{"too many answers", call.OpChat, func(r *call.Request) { r.Choices = 3 }, 0, "max_choices"},
		{"too many tools", call.OpChat, func(r *call.Request) { r.Tools = 4 }, 0, "max_tools"},
		{"too large", call.OpOther, func(*call.Request) {}, 101, "max_body"},
		{"of unknown size", call.OpOther, func(*call.Request) {}, -1, "max_body"},
	}
	for _, k := range cases {
		r := fine
		k.with(&r)
		err := c.Check(k.op, &r, k.body)
		var much *spend.TooMuchError
		if got := errors.As(err, &much); got != (k.cap != "") || got && (much.Cap != k.cap || !errors.Is(err, spend.ErrTooMuch)) {
			t.Errorf("%s: %v, want %q", k.name, err, k.cap)
		}
		if err := (spend.Config{}).Check(k.op, &r, k.body); err != nil {
			t.Errorf("%s, without caps: %v", k.name, err)
		}
	}
}

func TestPricesAreExactAndStopAtTheLargest(t *testing.T) {
	p := spend.Price{Input: 0.15, Output: 0.6, Cached: 0.0375}
	if got := p.Of(spend.Tokens{Input: 1_000_000, Output: 1_000_000, Cached: 500_000}); got != spend.FromDollars(0.075+0.01875+0.6) {
		t.Errorf("got %d picodollars, want 0.69375 USD", got)
	}
	dear := spend.Price{Input: 100_000, Output: 100_000}
	if got := dear.Of(spend.Tokens{Input: math.MaxInt64, Output: math.MaxInt64}); got != math.MaxInt64 {
		t.Errorf("an absurd bill is %d, want the largest amount", got)
	}
	if got := p.Of(spend.Tokens{Input: -5, Output: math.MinInt64, Cached: -1}); got != 0 {
		t.Errorf("negative counts cost %d", got)
	}
	if got := (spend.Price{Input: 3}).Of(spend.Tokens{Input: 100, Cached: 40}); got != spend.FromDollars(0.0003) {
		t.Errorf("without a price for the cache: %d, want that of the input", got)
	}
	for _, usd := range []float64{math.NaN(), math.Inf(-1), -1, 0} {
		if got := spend.FromDollars(usd); got != 0 {
			t.Errorf("%v USD are %d", usd, got)
		}
	}
	if got := spend.FromDollars(math.Inf(1)); got != math.MaxInt64 {
		t.Errorf("endless money is %d", got)
	}
}

func TestThePriceOfAModelIsTheNearest(t *testing.T) {
	prices := spend.Prices{"gpt-4o": {Input: 1}, "gpt-*": {Input: 2}, "gpt-4*": {Input: 3}, "*": {Input: 4}}
	for model, want := range map[string]float64{"gpt-4o": 1, "gpt-4.1": 3, "gpt-5": 2, "claude": 4} {
		if p, ok := prices.Find(model); !ok || p.Input != want {
			t.Errorf("%s: %+v, want the price with input %v", model, p, want)
		}
	}
	delete(prices, "*")
	if p, ok := prices.Find("claude", "gpt-4o"); !ok || p.Input != 1 {
		t.Errorf("the second name: %+v", p)
	}
	if _, ok := prices.Find("claude", ""); ok {
		t.Error("a model without a price has one")
	}
}

func TestValidateKnowsTheRanges(t *testing.T) {
	if err := (spend.Config{USDPerDay: 5, TokensPerDay: 1, MaxTokens: 1, MaxChoices: 1, MaxTools: 1, MaxBody: 1}).Validate(); err != nil {
		t.Fatal(err)
	}
	err := spend.Config{USDPerDay: math.NaN(), TokensPerDay: -1, MaxTokens: -1, MaxChoices: -1, MaxTools: -1, MaxBody: -1}.Validate()
	for _, want := range []string{"usd_per_day", "tokens_per_day", "max_tokens", "max_choices", "max_tools", "max_body"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
	err = spend.Prices{"": {Input: -1}, "x": {Output: math.Inf(1), Cached: math.NaN()}}.Validate()
	for _, want := range []string{"a price without a model", ": input", "x: output", "cached"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
}

func TestThousandsOfEndsLeaveNothingHeldAndNeverOverspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			r := rand.New(rand.NewPCG(seed, 27))
			a := spend.New("a", spend.Config{TokensPerDay: 10_000})
			b := spend.New("b", spend.Config{TokensPerDay: 5_000})
			var spentB atomic.Int64
			var all sync.WaitGroup
			for range 50 {
				reserved, used, when := r.Int64N(400), r.Int64N(400), time.Duration(r.Int64N(int64(time.Minute)))
				late := r.IntN(4) == 0
				all.Go(func() {
					time.Sleep(when)
					h, err := spend.Reserve([]*spend.Account{a, b}, tokens(reserved))
					if err != nil {
						return
					}
					time.Sleep(when)
					if late {
						h.End()
					}
					h.Add(tokens(min(used, reserved)), false)
					spentB.Add(min(used, reserved))
					h.End()
				})
			}
			all.Wait()
			sa, sb := a.Status(), b.Status()
			if sa.TokensHeld != 0 || sb.TokensHeld != 0 || sa.Tokens != sb.Tokens || sb.Tokens != spentB.Load() {
				t.Fatalf("seed %d: %+v and %+v, want nothing held and %d used", seed, sa, sb, spentB.Load())
			}
		}
	})
}

func ExampleReserve() {
	prices := spend.Prices{"gpt-4o": {Input: 2.5, Output: 10}}
	price, _ := prices.Find("gpt-4o")
	alice := spend.New("alice", spend.Config{USDPerDay: 0.05})
	for range 3 {
		expected := price.Of(spend.Tokens{Input: 1000, Output: 2000})
		hold, err := spend.Reserve([]*spend.Account{alice}, spend.Charge{Tokens: 3000, Money: expected})
		if err != nil {
			fmt.Println("refused")
			continue
		}
		hold.Add(spend.Charge{Tokens: 2700, Money: price.Of(spend.Tokens{Input: 1000, Output: 1700})}, false)
		hold.End()
		fmt.Println("spent", alice.Status().USD, "USD")
	}
	// Output:
	// spent 0.0195 USD
	// spent 0.039 USD
	// refused
}
