package target

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// places makes targets that share a place, all with one key and the weight 1.
func places(names ...string) []*call.Target {
	var all []*call.Target
	for _, name := range names {
		t := targetWith(name, "m", "k1")
		t.Weight = 1
		all = append(all, t)
	}
	return all
}

func times(n int, do func()) {
	for range n {
		do()
	}
}

// firsts counts who comes first in 1,000 orders.
func firsts(p *Pool, a Asked) map[string]int {
	count := map[string]int{}
	for range 1000 {
		count[p.OrderFor(a, nil)[0].Name]++
	}
	return count
}

func TestAKeyThatAloneFailsFiveTimesInARowRests(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "m", "k1", "k2")
		times(4, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		wantKeys(t, p, a, "m", "k1", "k2")
		p.Report(via(a, 0), outcome(call.OK))
		times(4, func() { p.Report(via(a, 0), outcome(call.Transport)) })
		p.Report(via(a, 0), outcome(call.Throttled)) // says nothing of faults
		wantKeys(t, p, a, "m", "k1", "k2")
		p.Report(via(a, 0), outcome(call.Timeout))
		wantKeys(t, p, a, "m", "k2")
		if len(*events) != 1 || (*events)[0].kind != call.KeyEjected || (*events)[0].key != "k1" || (*events)[0].reason != ReasonOutlier {
			t.Fatalf("got %v, want one ejection of k1 as an outlier", *events)
		}
		d := (*events)[0].wait
		if d < 24*time.Second || d > 36*time.Second {
			t.Errorf("it rests for %s, want 30s give or take a fifth", d)
		}
		if s := p.Snapshot(); len(s) != 1 || s[0].Key != "k1" || s[0].Reason != ReasonOutlier || s[0].State != StateEjected {
			t.Errorf("shown: %+v", s)
		}
		time.Sleep(d)
		wantKeys(t, p, a, "m", "k1", "k2")
	})
}

func TestWhenMoreThanHalfOfTheKeysFailNoneRests(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2", "k3", "k4")
		for i, want := range [][]string{{"k2", "k3", "k4"}, {"k3", "k4"}, {"k1", "k2", "k3", "k4"}, {"k1", "k2", "k3", "k4"}} {
			times(5, func() { p.Report(via(a, i), outcome(call.ProviderFault)) })
			wantKeys(t, p, a, "m", want...)
		}
	})
}

func TestTheOnlyKeyLeftIsAskedAlthoughItFails(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2")
		times(5, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		p.Report(via(a, 1), outcome(call.Auth))
		wantKeys(t, p, a, "m", "k1")
		if k, _, ok := p.Key(a, "m", "", []*call.Key{&a.Keys[0]}); ok {
			t.Errorf("a refused key was handed out: %v", k)
		}
	})
}

func TestATargetThatAloneFailsIsAskedAfterItsSiblings(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		all := append(places("a", "b", "c"), targetWith("d", "m", "k1"))
		times(5, func() { p.Report(via(all[1], 0), outcome(call.ProviderFault)) })
		for range 200 {
			if got := p.OrderFor(Asked{Targets: all}, nil); got[2].Name != "b" || got[3].Name != "d" {
				t.Fatalf("got %s, want b third: before those of the next place", names(got))
			}
		}
		if len(*events) != 1 || (*events)[0].kind != call.TargetEjected || (*events)[0].target != "b" {
			t.Errorf("got %v, want one ejection of b", *events)
		}
		times(5, func() { p.Report(via(all[0], 0), outcome(call.ProviderFault)) })
		if n := firsts(p, Asked{Targets: all}); n["a"] == 0 || n["b"] == 0 || n["c"] == 0 || n["d"] != 0 {
			t.Errorf("two of three failed: %v, want all of them to be asked", n)
		}
	})
}

func TestATargetWithAPlaceOfItsOwnIsTheBreakersBusiness(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a, b := targetWith("a", "m", "k1"), targetWith("b", "m", "k1")
		times(100, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		if got := names(p.OrderFor(Asked{Targets: []*call.Target{a, b}}, nil)); got != "a b" || len(*events) != 0 {
			t.Errorf("got %s and %v, want a b and nothing told", got, *events)
		}
	})
}

func TestWhatFailsAgainSoonRestsLonger(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "m", "k1", "k2")
		for i, base := range []time.Duration{30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300} {
			times(5, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
			d := (*events)[i].wait
			if b := base * time.Second; d < b*8/10 || d > b*12/10 {
				t.Errorf("rest %d lasts %s, want %s give or take a fifth", i+1, d, b)
			}
			times(5, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) }) // while it rests: old news
			time.Sleep(d + time.Second)
		}
		time.Sleep(6 * time.Minute)
		times(5, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		if d := (*events)[len(*events)-1].wait; len(*events) != 12 || d > 36*time.Second {
			t.Errorf("long after, rest %d lasts %s, want 30s", len(*events), d)
		}
	})
}

func TestWhatComesBackBeginsWithAQuarterOfItsShare(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		all := places("a", "b")
		keys := targetWith("k", "m", "k1", "k2")
		times(5, func() {
			p.Report(via(all[0], 0), outcome(call.ProviderFault))
			p.Report(via(keys, 0), outcome(call.ProviderFault))
		})
		p.Release("k", "")
		times(5, func() { p.Report(via(keys, 0), outcome(call.ProviderFault)) })
		time.Sleep(36 * time.Second)
		p.Report(via(all[0], 0), outcome(call.OK)) // whenever it ended, it is over
		until := time.Now()
		for _, s := range []*record{&p.upstreams["a"].own, p.upstreams["k"].record["k1"]} {
			s.until = until
		}
		for seconds, share := range []float64{0: 0.25, 2: 0.4375, 4: 0.625, 8: 1, 9: 1} {
			if share == 0 {
				continue
			}
			time.Sleep(time.Until(until.Add(time.Duration(seconds) * time.Second)))
			want := 1000 * share / (1 + share)
			if n := firsts(p, Asked{Targets: all})["a"]; float64(n) < want-60 || float64(n) > want+60 {
				t.Errorf("after %d s the target is asked %d times of 1,000, want about %.0f", seconds, n, want)
			}
			n := 0
			for range 1000 {
				if k, _, _ := p.Key(keys, "m", "", nil); k.Name == "k1" {
					n++
				}
			}
			if float64(n) < want-60 || float64(n) > want+60 {
				t.Errorf("after %d s the key is asked %d times of 1,000, want about %.0f", seconds, n, want)
			}
		}
	})
}

func TestASuccessEndsARestThatBeganBeforeIt(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2")
		times(5, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		time.Sleep(10 * time.Second)
		late := outcome(call.OK)
		late.Duration = time.Minute // begun before
		p.Report(via(a, 0), late)
		wantKeys(t, p, a, "m", "k2")
		late.Duration = time.Second
		p.Report(via(a, 0), late)
		wantKeys(t, p, a, "m", "k1", "k2")
	})
}

func TestOutliersCanBeTurnedOffAndReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(Config{OutlierAfter: -1}, Options{})
		a := targetWith("a", "m", "k1", "k2")
		times(100, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		wantKeys(t, p, a, "m", "k1", "k2")
		p.Reconfigure(Config{})
		times(5, func() { p.Report(via(a, 0), outcome(call.ProviderFault)) })
		wantKeys(t, p, a, "m", "k2")
		if !p.Release("a", "k1") || p.Release("a", "k1") {
			t.Error("Release does not say whether it rested")
		}
		wantKeys(t, p, a, "m", "k1", "k2")
	})
}

// A deployment that is dead among healthy ones costs few calls, whatever else
// goes wrong: in 20 worlds of 10 minutes with 5 siblings, of which one fails all
// calls for 5 minutes and the others one in a hundred.
func TestADeadSiblingCostsFewCalls(t *testing.T) {
	least, most := 1.0, 0.0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			p := NewPool(Config{}, Options{Rand: r.Float64})
			all := places("a", "b", "c", "d", "e")
			dead, asked, began := 0, 0, time.Now()
			for time.Since(began) < 10*time.Minute {
				time.Sleep(time.Duration(r.ExpFloat64() * 200 * float64(time.Millisecond)))
				during := time.Since(began) > 2*time.Minute && time.Since(began) < 7*time.Minute
				t := p.OrderFor(Asked{Targets: all}, nil)[0]
				o := outcome(call.OK)
				o.Duration = time.Millisecond
				if during && t.Name == "c" || r.IntN(100) == 0 {
					o.Class = call.ProviderFault
				}
				if during {
					asked++
					if t.Name == "c" {
						dead++
					}
				}
				p.Report(via(t, 0), o)
			}
			share := float64(dead) / float64(asked)
			if share > 0.02 {
				t.Errorf("seed %d: %.1f %% of the calls met the dead one first, more than 2 %%", seed, 100*share)
			}
			if n := firsts(p, Asked{Targets: all})["c"]; n < 120 || n > 280 {
				t.Errorf("seed %d: 3 minutes after, it is asked %d times of 1,000, want about 200", seed, n)
			}
			least, most = min(least, share), max(most, share)
		})
	}
	t.Logf("%.2f %% to %.2f %% of the calls met the dead one (20 %% without)", 100*least, 100*most)
}

// Whatever is reported, every target stands in the order once, all of a place
// before those of the next, and a key is found while one is neither refused nor
// paused.
func TestTheOrderIsAlwaysWholeWhateverFails(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 10))
			p := NewPool(Config{Balance: []string{"", "weight"}[r.IntN(2)]}, Options{Rand: r.Float64})
			var all []*call.Target
			for i := range 2 + r.IntN(20) {
				x := targetWith(fmt.Sprint("t", i), "m", []string{"k1", "k2", "k3"}[:1+r.IntN(3)]...)
				x.Weight = 1 + r.IntN(5)
				all = append(all, x)
			}
			all = append(all, targetWith("last", "m", "k1"))
			for range 100 {
				on := all[r.IntN(len(all))]
				k, _, ok := p.Key(on, "m", "", nil)
				if !ok {
					t.Fatalf("seed %d: no key of %s is left", seed, on.Name)
				}
				o := outcome([]call.Class{call.ProviderFault, call.ProviderFault, call.Transport, call.OK}[r.IntN(4)])
				p.Report(call.Upstream{Target: on, Key: k, Model: "m"}, o)
				p.Observe(call.Upstream{Target: on, Key: k, Model: "m"}, time.Duration(r.IntN(1000))*time.Millisecond)
				time.Sleep(time.Duration(r.IntN(5)) * time.Second)
				got := p.OrderFor(Asked{Targets: all, Load: func(*call.Target) int { return r.IntN(50) }, Prefer: all[r.IntN(len(all))].Name}, nil)
				if len(got) != len(all) || got[len(got)-1].Name != "last" {
					t.Fatalf("seed %d: %s", seed, names(got))
				}
				for _, x := range all {
					if !slices.Contains(got, x) {
						t.Fatalf("seed %d: %s is missing in %s", seed, x.Name, names(got))
					}
				}
			}
		})
	}
}
