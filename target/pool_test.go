package target

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// told is one event as a test saw it.
type told struct {
	kind        call.EventKind
	target, key string
	reason      string
	wait        time.Duration
}

// bubble runs a test in virtual time with a pool of the default configuration.
func bubble(t *testing.T, run func(t *testing.T, p *Pool, events *[]told)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var events []told
		p := NewPool(Config{}, Options{
			Rand: rand.New(rand.NewPCG(7, 7)).Float64,
			Event: func(kind call.EventKind, target, key, reason string, wait time.Duration) {
				events = append(events, told{kind, target, key, reason, wait})
			},
		})
		run(t, p, &events)
	})
}

// targetWith makes a target with keys of these names.
func targetWith(name, model string, keys ...string) *call.Target {
	t := &call.Target{Name: name, Model: model}
	for _, k := range keys {
		t.Keys = append(t.Keys, call.Key{Name: k, Secret: call.Secret("secret of " + k)})
	}
	return t
}

func via(t *call.Target, key int) call.Upstream {
	u := call.Upstream{Target: t, Model: t.Model}
	if key >= 0 {
		u.Key = &t.Keys[key]
	}
	return u
}

func outcome(c call.Class) call.Outcome { return call.Outcome{Verdict: call.Verdict{Class: c}} }

func throttled(wait time.Duration) call.Outcome {
	return call.Outcome{Verdict: call.Verdict{Class: call.Throttled, Scope: call.ScopeKey, Wait: wait, HasWait: true}}
}

// usable returns the names of the keys that Key hands out, sorted.
func usable(p *Pool, t *call.Target, model string) []string {
	seen := map[string]bool{}
	for range 200 {
		if k, _, ok := p.Key(t, model, "", nil); ok {
			seen[k.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// usableNow reports whether a target could be asked for a model now, and how long
// the shortest pause lasts otherwise.
func usableNow(p *Pool, t *call.Target, model string) (ok bool, wait time.Duration) {
	p.mu.Lock()
	out := p.ejected(t, asked(t, model), &clock{})
	p.mu.Unlock()
	_, wait, ok = p.Key(t, model, "", nil)
	return ok && !out, wait
}

func wantKeys(t *testing.T, p *Pool, on *call.Target, model string, want ...string) {
	t.Helper()
	if got := usable(p, on, model); !slices.Equal(got, want) {
		t.Errorf("model %q: usable keys are %q, want %q", model, got, want)
	}
}

func names(targets []*call.Target) string {
	var all []string
	for _, t := range targets {
		all = append(all, t.Name)
	}
	return strings.Join(all, " ")
}

func TestARefusedKeyRestsForFiveMinutes(t *testing.T) {
	for _, class := range []call.Class{call.Auth, call.QuotaExhausted} {
		t.Run(class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, p *Pool, events *[]told) {
				a := targetWith("a", "m", "k1", "k2")
				p.Report(via(a, 0), outcome(class))
				p.Report(via(a, 0), outcome(class)) // another call in flight
				wantKeys(t, p, a, "m", "k2")
				wantKeys(t, p, a, "n", "k2") // whatever the model
				if want := []told{{call.KeyEjected, "a", "k1", class.String(), 5 * time.Minute}}; !slices.Equal(*events, want) {
					t.Errorf("got %v, want %v", *events, want)
				}
				time.Sleep(5*time.Minute - 1)
				wantKeys(t, p, a, "m", "k2")
				time.Sleep(1)
				wantKeys(t, p, a, "m", "k1", "k2")
			})
		})
	}
}

func TestAThrottledKeyPausesForItsModelUntilTheProvidersWaitIsOver(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "", "k1", "k2")
		u := via(a, 0)
		u.Model = "m"
		p.Report(u, throttled(20*time.Second))
		wantKeys(t, p, a, "m", "k2")
		wantKeys(t, p, a, "n", "k1", "k2")
		if want := []told{{call.KeyPaused, "a", "k1", "throttled", 20 * time.Second}}; !slices.Equal(*events, want) {
			t.Errorf("got %v, want %v", *events, want)
		}
		time.Sleep(20 * time.Second)
		wantKeys(t, p, a, "m", "k1", "k2")
	})
}

func TestALongerPauseIsNeverShortened(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "m", "k1")
		p.Report(via(a, 0), throttled(time.Minute))
		p.Report(via(a, 0), throttled(time.Second))
		p.Report(via(a, 0), outcome(call.OK)) // a success ends no pause
		if _, wait, ok := p.Key(a, "m", "", nil); ok || wait != time.Minute {
			t.Errorf("got ok %v, wait %s; want a wait of 1m", ok, wait)
		}
		if len(*events) != 1 {
			t.Errorf("got %d events, want one: %v", len(*events), *events)
		}
	})
}

func TestPausesAreBoundedAndNeedAWait(t *testing.T) {
	cases := []struct {
		name    string
		outcome call.Outcome
		wait    time.Duration // 0: not paused
	}{
		{"a day", throttled(24 * time.Hour), 10 * time.Minute},
		{"the longest there is", throttled(math.MaxInt64), 10 * time.Minute},
		{"zero", throttled(0), 0},
		{"negative", throttled(-time.Hour), 0},
		{"no wait", outcome(call.Throttled), 0},
		{"a wait for another reason", call.Outcome{Verdict: call.Verdict{Class: call.ProviderFault, Wait: time.Minute, HasWait: true}}, 0},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
				a := targetWith("a", "m", "k1")
				p.Report(via(a, 0), test.outcome)
				if _, wait, ok := p.Key(a, "m", "", nil); ok != (test.wait == 0) || wait != test.wait {
					t.Errorf("got ok %v, wait %s; want a wait of %s", ok, wait, test.wait)
				}
			})
		})
	}
}

func TestKeySaysHowLongTheShortestPauseLasts(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2", "k3", "k4")
		p.Report(via(a, 0), throttled(time.Minute))
		p.Report(via(a, 1), throttled(30*time.Second))
		p.Report(via(a, 2), throttled(10*time.Second))
		p.Report(via(a, 3), outcome(call.Auth))
		for _, test := range []struct {
			tried []*call.Key
			wait  time.Duration
		}{
			{nil, 10 * time.Second},
			{[]*call.Key{&a.Keys[2]}, 30 * time.Second},
			{[]*call.Key{&a.Keys[0], &a.Keys[1], &a.Keys[2]}, 0}, // the ejected one promises nothing
			{[]*call.Key{&a.Keys[0], &a.Keys[1], &a.Keys[2], &a.Keys[3]}, 0},
		} {
			if k, wait, ok := p.Key(a, "m", "", test.tried); k != nil || ok || wait != test.wait {
				t.Errorf("%d tried: got %v, %s, %v; want a wait of %s", len(test.tried), k, wait, ok, test.wait)
			}
		}
		if ok, wait := usableNow(p, a, "m"); ok || wait != 10*time.Second {
			t.Errorf("Usable: got %v, %s; want false, 10s", ok, wait)
		}
	})
}

func TestTriedKeysAreNotHandedOutAgainEvenAfterAReload(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		before, after := targetWith("a", "m", "k1", "k2"), targetWith("a", "m", "k1", "k2")
		for range 50 {
			if k, _, ok := p.Key(after, "m", "", []*call.Key{&before.Keys[0], nil}); !ok || k != &after.Keys[1] {
				t.Fatalf("got %v, %v; want k2", k, ok)
			}
		}
	})
}

func TestKeysWithoutNamesAreToldApart(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := &call.Target{Name: "a", Keys: []call.Key{{Secret: "x"}, {Secret: "y"}}}
		p.Report(via(a, 1), outcome(call.Auth))
		for range 50 {
			if k, _, ok := p.Key(a, "m", "", nil); !ok || k != &a.Keys[0] {
				t.Fatalf("got %v, %v; want the first", k, ok)
			}
		}
		if got := p.Snapshot(); len(got) != 1 || got[0].Key != "#2" {
			t.Errorf("got %+v, want #2", got)
		}
	})
}

func TestKeysAreDrawnByWeight(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2", "k3")
		a.Keys[0].Weight, a.Keys[1].Weight, a.Keys[2].Weight = 6, 3, 0 // 0 means 1
		count := map[string]int{}
		for range 10_000 {
			k, _, _ := p.Key(a, "m", "", nil)
			count[k.Name]++
		}
		for name, want := range map[string]int{"k1": 6000, "k2": 3000, "k3": 1000} {
			if got := count[name]; got < want-200 || got > want+200 {
				t.Errorf("%s was drawn %d times of 10,000, want about %d", name, got, want)
			}
		}
	})
}

func TestATargetWithoutKeysTakesTheCallersWhichIsNeverBlamed(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "")
		u := via(a, -1)
		u.Model = "m"
		for _, o := range []call.Outcome{outcome(call.Auth), outcome(call.QuotaExhausted), throttled(time.Hour), outcome(call.NotFound)} {
			o.CallersKey = true
			p.Report(u, o)
			o.CallersKey = false
			p.Report(u, o)
		}
		if k, wait, ok := p.Key(a, "m", "", nil); k != nil || wait != 0 || !ok {
			t.Errorf("Key: got %v, %s, %v; want nil, 0, true", k, wait, ok)
		}
		if ok, wait := usableNow(p, a, "m"); !ok || wait != 0 {
			t.Errorf("Usable: got %v, %s; want true, 0", ok, wait)
		}
		if len(*events) != 0 || len(p.Snapshot()) != 0 {
			t.Errorf("something rests: %v, %v", *events, p.Snapshot())
		}
		if p.LastResort(a, "m") != nil {
			t.Error("LastResort made up a key")
		}
	})
}

func TestACallersKeyUsedAtATargetWithKeysIsNotBlamedOnThem(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1")
		o := outcome(call.Auth)
		o.CallersKey = true
		p.Report(via(a, 0), o)
		wantKeys(t, p, a, "m", "k1")
	})
}

func TestAModelThatATargetDoesNotHaveIsAskedElsewhereFirst(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a, b, c := targetWith("a", "", "k1"), targetWith("b", "", "k1"), targetWith("c", "other", "k1")
		u := via(a, 0)
		u.Model = "m"
		p.Report(u, outcome(call.NotFound))
		all := []*call.Target{a, b, c}
		if got := names(p.OrderFor(Asked{Model: "m", Targets: all}, nil)); got != "b c a" {
			t.Errorf("for m: %s, want b c a", got)
		}
		if got := names(p.OrderFor(Asked{Model: "n", Targets: all}, nil)); got != "a b c" {
			t.Errorf("for n: %s, want a b c", got)
		}
		if ok, wait := usableNow(p, a, "m"); ok || wait != 0 {
			t.Errorf("Usable: got %v, %s; want false, 0", ok, wait)
		}
		if _, _, ok := p.Key(a, "m", "", nil); !ok {
			t.Error("its key was taken away: nothing is left for the last resort")
		}
		if want := []told{{call.TargetEjected, "a", "", "not_found", 5 * time.Minute}}; !slices.Equal(*events, want) {
			t.Errorf("got %v, want %v", *events, want)
		}
		time.Sleep(5 * time.Minute)
		if got := names(p.OrderFor(Asked{Model: "m", Targets: all}, nil)); got != "a b c" {
			t.Errorf("after its rest: %s, want a b c", got)
		}
	})
}

func TestEjectedTargetsComeLastInTheirOwnOrderAndNoneIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		var all []*call.Target
		for _, name := range strings.Fields("a b c d e") {
			all = append(all, targetWith(name, "m", "k1"))
		}
		for _, i := range []int{0, 2, 3} {
			p.Report(via(all[i], 0), outcome(call.Auth))
		}
		dst := make([]*call.Target, 0, len(all))
		if got := names(p.OrderFor(Asked{Targets: all}, dst)); got != "b e a c d" {
			t.Errorf("got %s, want b e a c d", got)
		}
		if got := names(all); got != "a b c d e" {
			t.Errorf("the caller's list was changed: %s", got)
		}
		p.Report(via(all[1], 0), outcome(call.Auth))
		p.Report(via(all[4], 0), outcome(call.Auth))
		if got := names(p.OrderFor(Asked{Targets: all}, dst)); got != "a b c d e" {
			t.Errorf("all ejected: %s, want a b c d e", got)
		}
	})
}

func TestPausedTargetsKeepTheirPlace(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a, b := targetWith("a", "m", "k1"), targetWith("b", "m", "k1")
		p.Report(via(a, 0), throttled(time.Minute))
		if got := names(p.OrderFor(Asked{Targets: []*call.Target{a, b}}, nil)); got != "a b" {
			t.Errorf("got %s, want a b", got)
		}
	})
}

func TestNeighboursWithWeightsShareTheirPlace(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		var all []*call.Target
		for _, w := range []int{0, 3, 1, 0, 5, 5} {
			x := targetWith(fmt.Sprintf("%c%d", 'a'+len(all), w), "m")
			x.Weight = w
			all = append(all, x)
		}
		first := map[string]int{}
		var dst []*call.Target
		for range 10_000 {
			dst = p.OrderFor(Asked{Targets: all}, dst)
			got := names(dst)
			if dst[0] != all[0] || dst[3] != all[3] {
				t.Fatalf("one without weight lost its place: %s", got)
			}
			if dst[1] != all[1] && dst[1] != all[2] || dst[4] != all[4] && dst[4] != all[5] {
				t.Fatalf("one with weight left its neighbours: %s", got)
			}
			first[dst[1].Name]++
			first[dst[4].Name]++
		}
		for name, want := range map[string]int{"b3": 7500, "c1": 2500, "e5": 5000, "f5": 5000} {
			if got := first[name]; got < want-250 || got > want+250 {
				t.Errorf("%s came first %d times of 10,000, want about %d", name, got, want)
			}
		}
	})
}

func TestTheLastResortIsTheKeyWhoseEjectionEndsFirst(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2", "k3")
		want := func(key *call.Key) {
			t.Helper()
			if got := p.LastResort(a, "m"); got != key {
				t.Errorf("got %v, want %v", got, key)
			}
		}
		for _, i := range []int{1, 0, 2} {
			want(&a.Keys[map[int]int{1: 0, 0: 0, 2: 2}[i]]) // one that is not ejected, while there is one
			p.Report(via(a, i), outcome(call.Auth))
			time.Sleep(time.Second)
		}
		if _, _, ok := p.Key(a, "m", "", nil); ok {
			t.Fatal("an ejected key is usable")
		}
		want(&a.Keys[1])
		p.Report(via(a, 1), throttled(time.Minute))
		want(&a.Keys[0])
		p.Report(via(a, 0), throttled(50*time.Second))
		p.Report(via(a, 2), throttled(40*time.Second))
		want(&a.Keys[2])
		time.Sleep(5 * time.Minute)
		want(&a.Keys[0])
	})
}

func TestASuccessEndsTheEjectionsItDisproves(t *testing.T) {
	for _, class := range []call.Class{call.OK, call.PolicyViolation} {
		t.Run(class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
				a := targetWith("a", "m", "k1", "k2")
				p.Report(via(a, 0), outcome(call.Auth))
				p.Report(via(a, 1), outcome(call.Auth))
				p.Report(via(a, 0), outcome(call.NotFound))
				time.Sleep(time.Minute)
				o := outcome(class)
				o.Duration = time.Second
				p.Report(via(a, 0), o)
				wantKeys(t, p, a, "m", "k1")
				if ok, _ := usableNow(p, a, "m"); !ok {
					t.Error("the model is still ejected")
				}
			})
		})
	}
}

func TestASuccessThatBeganBeforeTheEjectionProvesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1", "k2")
		time.Sleep(time.Minute)
		p.Report(via(a, 0), outcome(call.Auth)) // revoked while a stream was running
		p.Report(via(a, 1), outcome(call.NotFound))
		time.Sleep(10 * time.Second)
		o := outcome(call.OK)
		o.Duration = time.Minute
		p.Report(via(a, 0), o)
		wantKeys(t, p, a, "m", "k2")
		if ok, _ := usableNow(p, a, "m"); ok {
			t.Error("the model is not ejected any more")
		}
	})
}

func TestWhatSaysNothingAboutKeysChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "m", "k1")
		for _, class := range call.Classes() {
			if row := class.Row(); row.EjectKey || row.EjectTarget {
				continue
			}
			p.Report(via(a, 0), outcome(class))
		}
		for _, o := range []call.Outcome{outcome(call.Auth), throttled(time.Hour)} {
			o.Superseded = true
			p.Report(via(a, 0), o)
		}
		p.Report(call.Upstream{}, outcome(call.Auth))
		wantKeys(t, p, a, "m", "k1")
		if len(*events) != 0 || len(p.upstreams) != 0 {
			t.Errorf("got events %v and %d targets remembered", *events, len(p.upstreams))
		}
	})
}

func TestANegativeTimeTurnsAReactionOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(Config{AuthEject: -1, QuotaEject: -1, NotFoundEject: -1, MaxPause: -1}, Options{})
		a := targetWith("a", "m", "k1")
		for _, o := range []call.Outcome{outcome(call.Auth), outcome(call.QuotaExhausted), outcome(call.NotFound), throttled(time.Hour)} {
			p.Report(via(a, 0), o)
		}
		wantKeys(t, p, a, "m", "k1")
		if ok, _ := usableNow(p, a, "m"); !ok {
			t.Error("the model is ejected")
		}
		p.Reconfigure(Config{})
		p.Report(via(a, 0), outcome(call.Auth))
		wantKeys(t, p, a, "m")
	})
}

func TestTheMemoryForModelsIsBoundedAndGarbageBlamesNobody(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, events *[]told) {
		a := targetWith("a", "", "k1")
		u := via(a, 0)
		for i := range 5000 { // somebody asks for names that do not exist
			u.Model = fmt.Sprintf("made-up-%d", i)
			p.Report(u, outcome(call.NotFound))
		}
		if n := len(p.upstreams["a"].models); n != maxModels {
			t.Errorf("%d models are remembered, want %d", n, maxModels)
		}
		if n, m := len(*events), len(p.Snapshot()); n != maxModels || m != maxModels {
			t.Errorf("%d ejections were told and %d are shown, want %d", n, m, maxModels)
		}
		if ok, _ := usableNow(p, a, "real"); !ok {
			t.Error("a real model is ejected for the made-up ones")
		}
		u.Model = "real"
		p.Report(u, throttled(time.Minute))
		if ok, wait := usableNow(p, a, "real"); ok || wait != time.Minute {
			t.Errorf("a pause found no place: %v, %s", ok, wait)
		}
		time.Sleep(time.Hour) // all of it is over, and makes room
		u.Model = "new"
		p.Report(u, outcome(call.NotFound))
		if ok, _ := usableNow(p, a, "new"); ok {
			t.Error("an old memory keeps a new one out")
		}
	})
}

func TestTheMemoryForTargetsIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		for i := range 3000 {
			p.Report(via(targetWith(fmt.Sprint("host-", i), "m", "k1"), 0), outcome(call.Auth))
		}
		if n := len(p.upstreams); n != maxTargets {
			t.Errorf("%d targets are remembered, want %d", n, maxTargets)
		}
		last := targetWith("host-2999", "m", "k1")
		p.Observe(via(last, 0), time.Second)
		wantKeys(t, p, last, "m", "k1") // not remembered, and not blamed for others
		time.Sleep(time.Hour)
		p.Report(via(last, 0), outcome(call.Auth))
		wantKeys(t, p, last, "m")
	})
}

func TestTypicalIsTheMedianOfTheLastFifty(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a := targetWith("a", "m", "k1")
		for i := range 4 {
			p.Observe(via(a, 0), time.Duration(i+1)*time.Second)
		}
		if got := p.Typical("a", "m"); got != 0 {
			t.Errorf("four observations: got %s, want 0", got)
		}
		p.Observe(via(a, 0), time.Hour)
		p.Observe(via(a, 0), 0)
		p.Observe(via(a, 0), -time.Second)
		if got := p.Typical("a", "m"); got != 3*time.Second {
			t.Errorf("1 s to 4 s and an hour: got %s, want 3s", got)
		}
		for range 50 {
			p.Observe(via(a, 0), 8*time.Second)
		}
		if got := p.Typical("a", "m"); got != 8*time.Second {
			t.Errorf("fifty newer ones: got %s, want 8s", got)
		}
		for range 50 {
			p.Observe(via(a, 0), 2*time.Second)
		}
		if got := p.Typical("a", "m"); got != 2*time.Second {
			t.Errorf("and fifty newer ones: got %s, want 2s", got)
		}
		if got := p.Typical("a", "n") + p.Typical("b", "m"); got != 0 {
			t.Errorf("what was never observed takes %s", got)
		}
	})
}

func TestSnapshotAndRelease(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		a, b := targetWith("a", "m", "k1", "k2"), targetWith("b", "m", "k1")
		p.Report(via(b, 0), outcome(call.QuotaExhausted))
		p.Report(via(a, 1), throttled(time.Minute))
		p.Report(via(a, 0), outcome(call.Auth))
		p.Report(via(a, 0), outcome(call.NotFound))
		p.Report(via(a, 0), throttled(time.Second))
		time.Sleep(2 * time.Second)
		began := time.Now().Add(-2 * time.Second)
		want := []KeyState{
			{"a", "", "m", StateEjected, "not_found", began.Add(5 * time.Minute)},
			{"a", "k1", "", StateEjected, "auth", began.Add(5 * time.Minute)},
			{"a", "k2", "m", StatePaused, "throttled", began.Add(time.Minute)},
			{"b", "k1", "", StateEjected, "quota_exhausted", began.Add(5 * time.Minute)},
		}
		if got := p.Snapshot(); !slices.Equal(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		if !p.Release("a", "k1") || p.Release("a", "k1") || p.Release("c", "") {
			t.Error("Release does not say whether there was something")
		}
		if got := p.Snapshot(); len(got) != 3 || got[1].Key != "k2" {
			t.Errorf("after releasing k1: %+v", got)
		}
		if !p.Release("a", "") {
			t.Error("Release found nothing at a")
		}
		if got := p.Snapshot(); !slices.Equal(got, want[3:]) {
			t.Errorf("after releasing a: %+v", got)
		}
	})
}

// Whatever happened, Order must name every target once, and a key that Key
// hands out must be one of the target's, not tried, and at rest for no reason.
func TestNothingIsEverLostWhateverIsReported(t *testing.T) {
	classes := call.Classes()
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 6))
			p := NewPool(Config{}, Options{Rand: r.Float64})
			var all []*call.Target
			for i := range 1 + r.IntN(4) {
				x := targetWith(fmt.Sprint("t", i), []string{"", "m"}[r.IntN(2)], []string{"k1", "k2", "k3"}[:r.IntN(4)]...)
				x.Weight = r.IntN(3)
				all = append(all, x)
			}
			for range 100 {
				on := all[r.IntN(len(all))]
				o := outcome(classes[r.IntN(len(classes))])
				o.Wait, o.HasWait = time.Duration(r.IntN(900))*time.Second, r.IntN(2) == 0
				o.Duration = time.Duration(r.IntN(60)) * time.Second
				u := via(on, r.IntN(len(on.Keys)+1)-1)
				u.Model = "m"
				p.Report(u, o)
				time.Sleep(time.Duration(r.IntN(60)) * time.Second)
				checkPool(t, seed, p, r, all)
			}
		})
	}
}

func checkPool(t *testing.T, seed uint64, p *Pool, r *rand.Rand, all []*call.Target) {
	t.Helper()
	order := p.OrderFor(Asked{Model: "m", Targets: all}, nil)
	if len(order) != len(all) {
		t.Fatalf("seed %d: %d of %d targets in the order", seed, len(order), len(all))
	}
	resting := map[string]bool{}
	for _, s := range p.Snapshot() {
		if s.Reason != ReasonOutlier { // those are asked when nobody else is left
			resting[s.Target+"/"+s.Key] = true
		}
	}
	for _, on := range all {
		if !slices.Contains(order, on) {
			t.Fatalf("seed %d: %s was left out", seed, on.Name)
		}
		var tried []*call.Key
		if len(on.Keys) > 0 && r.IntN(2) == 0 {
			tried = append(tried, &on.Keys[r.IntN(len(on.Keys))])
		}
		k, wait, ok := p.Key(on, "m", "", tried)
		switch {
		case ok && wait != 0, wait < 0, wait > 10*time.Minute:
			t.Fatalf("seed %d: ok %v with a wait of %s", seed, ok, wait)
		case ok && len(on.Keys) > 0 && (k == nil || slices.Contains(tried, k) || resting[on.Name+"/"+k.Name]):
			t.Fatalf("seed %d: got key %v, tried %v, resting %v", seed, k, tried, resting)
		case len(on.Keys) > 0 != (p.LastResort(on, "m") != nil):
			t.Fatalf("seed %d: %s has %d keys and the last resort %v", seed, on.Name, len(on.Keys), p.LastResort(on, "m"))
		}
	}
}

func TestAPoolIsSafeForConcurrentUse(t *testing.T) {
	p := NewPool(Config{Pins: 10}, Options{})
	a, b := targetWith("a", "m", "k1", "k2"), targetWith("b", "m", "k1")
	all := []*call.Target{a, b}
	classes := call.Classes()
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			var dst []*call.Target
			for i := range 500 {
				dst = p.OrderFor(Asked{Targets: all}, dst)
				k, _, ok := p.Key(dst[0], "m", "", nil)
				if !ok {
					k = p.LastResort(dst[0], "m")
				}
				u := call.Upstream{Target: dst[0], Key: k, Model: "m"}
				p.Observe(u, time.Second)
				o := outcome(classes[i%len(classes)])
				o.Wait, o.HasWait = time.Millisecond, true
				p.Report(u, o)
				p.Typical("a", "m")
				p.Pin(fmt.Sprint(g, i), "a", "k1")
				p.Pinned(fmt.Sprint(g, i))
				if i%50 == 0 {
					p.Snapshot()
					p.Release("a", "")
					p.Reconfigure(Config{Pins: 5 + i})
				}
			}
		})
	}
	group.Wait()
	if len(p.OrderFor(Asked{Targets: all}, nil)) != 2 {
		t.Error("a target was lost")
	}
}

func TestChoosingCostsNoAllocationWhileAllIsWell(t *testing.T) {
	p := NewPool(Config{}, Options{})
	a, b := targetWith("a", "m", "k1", "k2"), targetWith("b", "m", "k1")
	all := []*call.Target{a, b}
	p.Observe(via(a, 0), time.Second)
	dst := make([]*call.Target, 0, 2)
	u := via(a, 0)
	n := testing.AllocsPerRun(1000, func() {
		dst = p.OrderFor(Asked{Targets: all}, dst)
		p.Key(dst[0], "m", "", nil)
		p.Report(u, call.Outcome{Verdict: call.Verdict{Class: call.OK}})
		p.Observe(u, time.Second)
		p.Typical("a", "m")
	})
	if n > 0 {
		t.Errorf("%v allocations per call, want none", n)
	}
}

func BenchmarkChoosing(b *testing.B) {
	p := NewPool(Config{}, Options{})
	x, y := targetWith("a", "m", "k1", "k2"), targetWith("b", "m", "k1")
	all := []*call.Target{x, y}
	p.Observe(via(x, 0), time.Second)
	dst := make([]*call.Target, 0, 2)
	b.ReportAllocs()
	for b.Loop() {
		dst = p.OrderFor(Asked{Targets: all}, dst)
		p.Key(dst[0], "m", "", nil)
	}
}

func BenchmarkReportingASuccess(b *testing.B) {
	p := NewPool(Config{}, Options{})
	u := via(targetWith("a", "m", "k1", "k2"), 0)
	p.Observe(u, time.Second)
	b.ReportAllocs()
	for b.Loop() {
		p.Report(u, call.Outcome{Verdict: call.Verdict{Class: call.OK}})
	}
}

func BenchmarkTypical(b *testing.B) {
	p := NewPool(Config{}, Options{})
	u := via(targetWith("a", "m", "k1", "k2"), 0)
	for i := range 50 {
		p.Observe(u, time.Duration(50-i)*time.Second)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Typical("a", "m")
	}
}
