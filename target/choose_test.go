package target

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

func TestOfTwoTheOneWithLessToDoIsAsked(t *testing.T) {
	load := map[string]int{}
	for _, test := range []struct {
		name        string
		load        [2]int
		first       [2]time.Duration
		least, most int // times that a, which weighs 3 of 4, comes first of 1,000
	}{
		{"nothing to do", [2]int{0, 0}, [2]time.Duration{}, 700, 800},
		{"as much to do, by weight", [2]int{30, 10}, [2]time.Duration{}, 700, 800},
		{"about as fast", [2]int{3, 1}, [2]time.Duration{time.Second, 900 * time.Millisecond}, 700, 800},
		{"the heavy one has more to do", [2]int{60, 1}, [2]time.Duration{}, 520, 610},
		{"the light one has more to do", [2]int{3, 20}, [2]time.Duration{}, 900, 970},
		{"the light one is slower", [2]int{0, 0}, [2]time.Duration{time.Second, 3 * time.Second}, 900, 970},
		{"of one the time is not known", [2]int{0, 0}, [2]time.Duration{0, 30 * time.Second}, 700, 800},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
				all := places("a", "b")
				all[0].Weight = 3
				for i, x := range all {
					load[x.Name] = test.load[i]
					times(20, func() { p.Observe(via(x, 0), test.first[i]) })
				}
				asked := Asked{Targets: all, Load: func(t *call.Target) int { return load[t.Name] }}
				if n := firsts(p, asked)["a"]; n < test.least || n > test.most {
					t.Errorf("a is asked first %d times of 1,000, want %d to %d", n, test.least, test.most)
				}
				p.Reconfigure(Config{Balance: BalanceWeight})
				if n := firsts(p, asked)["a"]; n < 700 || n > 800 {
					t.Errorf("by weight alone a is asked first %d times of 1,000, want about 750", n)
				}
			})
		})
	}
}

// Who fails fast has nothing in flight: that must not draw calls to it.
func TestASiblingThatFailsNowAndThenIsAskedLess(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		r := rand.New(rand.NewPCG(1, 12))
		all := places("a", "b")
		key := targetWith("k", "m", "k1", "k2")
		first, drawn := 0, 0
		for i := range 3000 {
			x := p.OrderFor(Asked{Targets: all}, nil)[0]
			k, _, _ := p.Key(key, "m", "", nil)
			o, ok := outcome(call.OK), outcome(call.OK)
			if r.IntN(3) == 0 && i%6 != 0 { // never five in a row
				o = outcome(call.ProviderFault)
			}
			if x.Name == "a" {
				first++
				p.Report(via(x, 0), o)
			} else {
				p.Report(via(x, 0), ok)
			}
			if k.Name == "k1" {
				drawn++
				p.Report(call.Upstream{Target: key, Key: k, Model: "m"}, o)
			}
			if r.IntN(4) == 0 { // what is forgotten when all is well
				p.Report(via(all[1], 0), ok)
			}
		}
		if first > 1200 {
			t.Errorf("the target that fails one call in four was asked %d times of 3,000, want less than 1,200", first)
		}
		if drawn > 1400 {
			t.Errorf("the key that fails one call in four was drawn %d times of 3,000, want less than 1,400", drawn)
		}
		if p.upstreams["b"] != nil && p.upstreams["b"].own != (record{}) {
			t.Errorf("of the one that is well something is remembered: %+v", p.upstreams["b"].own)
		}
		times(50, func() { p.Report(via(key, 0), outcome(call.OK)) })
		if p.upstreams["k"].record["k1"] != nil && p.upstreams["k"].record["k1"].until.IsZero() {
			t.Errorf("of a key that is well again something is remembered: %+v", p.upstreams["k"].record["k1"])
		}
	})
}

// TestCallsFindTheFreeSibling: in 20 worlds of four servers of which one is four
// times slower, the two-choice rule sends it less, and 95 of 100 first tokens come
// sooner than by weights alone.
func TestCallsFindTheFreeSibling(t *testing.T) {
	worst := 0.0
	for seed := range uint64(20) {
		by := func(balance string) (p95 time.Duration) {
			synctest.Test(t, func(t *testing.T) { p95 = oneSlowServer(seed, balance) })
			return p95
		}
		weight, load := by(BalanceWeight), by(BalanceLoad)
		worst = max(worst, load.Seconds()/weight.Seconds())
		if load > weight*3/4 {
			t.Errorf("seed %d: 95 of 100 first tokens come within %s, by weight within %s: not sooner by a quarter", seed, load, weight)
		}
	}
	t.Logf("95 of 100 first tokens come within at most %.2f of the time that weights alone give", worst)
}

// oneSlowServer asks four servers that work on one call at a time, the last of
// them at a quarter of the others' speed, a little slower than the slow one bears if it has a quarter of them, and
// returns the time within which 95 of 100 have begun to answer.
func oneSlowServer(seed uint64, balance string) time.Duration {
	r := rand.New(rand.NewPCG(seed, 11))
	p := NewPool(Config{Balance: balance}, Options{Rand: r.Float64})
	all := places("a", "b", "c", "d")
	free := map[string]time.Time{} // when its queue will be empty
	ends := map[string][]time.Time{}
	var waits []time.Duration
	for range 3000 {
		time.Sleep(time.Duration(r.ExpFloat64() * 130 * float64(time.Millisecond)))
		now := time.Now()
		t := p.OrderFor(Asked{Targets: all, Load: func(t *call.Target) int {
			ends[t.Name] = slices.DeleteFunc(ends[t.Name], func(at time.Time) bool { return !at.After(now) })
			return len(ends[t.Name])
		}}, nil)[0]
		work := time.Duration(r.ExpFloat64() * 100 * float64(time.Millisecond))
		if t.Name == "d" {
			work *= 4
		}
		begin := free[t.Name]
		if begin.Before(now) {
			begin = now
		}
		free[t.Name] = begin.Add(work)
		ends[t.Name] = append(ends[t.Name], begin.Add(work))
		waits = append(waits, begin.Add(work).Sub(now))
		p.Observe(via(t, 0), begin.Add(work).Sub(now))
	}
	slices.Sort(waits)
	return waits[len(waits)*95/100]
}

func TestAConversationStaysWhereItWasAnsweredWhileThatIsWell(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		all := places("a", "b", "c")
		for _, x := range all {
			x.Keys = []call.Key{{Name: "k1"}, {Name: "k2"}, {Name: "k3"}}
		}
		const talk = 12345
		p.Converse(talk, "b", "k3")
		name, key := p.Affine(talk)
		if name != "b" || key != "k3" {
			t.Fatalf("the conversation is at %q, %q", name, key)
		}
		for range 100 {
			got := p.OrderFor(Asked{Targets: all, Prefer: name}, nil)
			k, _, ok := p.Key(got[0], "m", key, nil)
			if got[0].Name != "b" || !ok || k.Name != "k3" {
				t.Fatalf("it went to %s and %v", got[0].Name, k)
			}
		}
		p.Report(via(all[1], 2), throttled(time.Minute))
		if k, _, ok := p.Key(all[1], "m", key, nil); !ok || k.Name == "k3" {
			t.Errorf("it stays with a key that rests: %v", k)
		}
		times(5, func() { p.Report(via(all[1], 0), outcome(call.ProviderFault)) })
		if got := p.OrderFor(Asked{Targets: all, Prefer: name}, nil); got[0].Name == "b" {
			t.Error("it stays with a target that rests")
		}
		p.Converse(talk, "c", "k1")
		if name, key := p.Affine(talk); name != "c" || key != "k1" {
			t.Errorf("it moved and is remembered at %q, %q", name, key)
		}
		time.Sleep(4 * time.Minute)
		p.Converse(talk, "c", "k1")
		time.Sleep(4 * time.Minute)
		if name, _ := p.Affine(talk); name != "c" {
			t.Error("it was forgotten although it went on")
		}
		time.Sleep(time.Minute)
		if name, key := p.Affine(talk); name != "" || key != "" {
			t.Errorf("it is remembered although its prompt is not: %q, %q", name, key)
		}
	})
}

func TestFailoverOrderIsStrongerThanAConversation(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		all := []*call.Target{targetWith("first", "m"), targetWith("second", "m")}
		if got := names(p.OrderFor(Asked{Targets: all, Prefer: "second"}, nil)); got != "first second" {
			t.Errorf("got %s, want first second", got)
		}
	})
}

func TestTheMemoryForConversationsIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		const n = 3 * talkSets * talkWays
		for id := range uint64(n) {
			p.Converse(id+1, "a", "k1")
			if id%talkSets == 0 {
				time.Sleep(time.Second)
			}
		}
		known := 0
		for id := range uint64(n) {
			if name, _ := p.Affine(id + 1); name != "" {
				known++
			}
		}
		if known != talkSets*talkWays {
			t.Errorf("%d of %d are known, want the last %d", known, n, talkSets*talkWays)
		}
		p.Reconfigure(Config{Affinity: -1})
		if name, _ := p.Affine(n); name != "" {
			t.Error("affinity is off, and a conversation is known")
		}
		p.Converse(0, "a", "k1")
		if name, _ := p.Affine(0); name != "" {
			t.Error("no conversation is known")
		}
	})
}

func TestATargetThatIsToComeFirstDoesUnlessItIsEjected(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		all := append(places("a", "b"), targetWith("c", "m", "k1"), targetWith("d", "m", "k1"))
		for name, want := range map[string]string{"d": "d [ab] [ab] c", "c": "c [ab] [ab] d", "b": "b a c d", "x": "[ab] [ab] c d"} {
			got := names(p.OrderFor(Asked{Targets: all, First: name}, nil))
			if !regexp.MustCompile("^" + want + "$").MatchString(got) {
				t.Errorf("%s first: %s, want %s", name, got, want)
			}
		}
		p.Report(via(all[3], 0), outcome(call.Auth))
		if got := p.OrderFor(Asked{Targets: all, First: "d"}, nil); got[3].Name != "d" {
			t.Errorf("d is ejected: %s, want it last", names(got))
		}
	})
}

func TestChoosingAmongSiblingsCostsNoAllocation(t *testing.T) {
	p := NewPool(Config{}, Options{})
	all := places("a", "b", "c")
	for _, x := range all {
		x.Keys = append(x.Keys, call.Key{Name: "k2"})
		times(5, func() { p.Report(via(x, 0), outcome(call.ProviderFault)) })
		p.Observe(via(x, 0), time.Second)
	}
	p.Converse(7, "a", "k1")
	dst := make([]*call.Target, 0, 3)
	in := map[string]int{"a": 1}
	n := testing.AllocsPerRun(1000, func() {
		name, key := p.Affine(7)
		dst = p.OrderFor(Asked{Targets: all, Prefer: name, Load: func(t *call.Target) int { return in[t.Name] }}, dst)
		p.Key(dst[0], "m", key, nil)
		p.Report(via(dst[0], 1), outcome(call.OK))
		p.Converse(7, "a", "k1")
	})
	if n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkChoosingAmongSiblings(b *testing.B) {
	p := NewPool(Config{}, Options{})
	all := places("a", "b", "c")
	for _, x := range all {
		p.Observe(via(x, 0), time.Second)
	}
	dst := make([]*call.Target, 0, 3)
	b.ReportAllocs()
	for b.Loop() {
		dst = p.OrderFor(Asked{Targets: all, Load: func(*call.Target) int { return 1 }}, dst)
	}
}
