package holdfast_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/sim"
)

// metered is a target with keys of these names and a quota.
func metered(name string, q quota.Config, keys ...string) holdfast.Target {
	t := to(name, "m")
	t.Quota = q
	for _, k := range keys {
		t.Keys = append(t.Keys, holdfast.Key{Name: k, Secret: "sk-" + k})
	}
	return t
}

// askFor is a request whose answer may have so many tokens.
func askFor(maxTokens int) []byte {
	return fmt.Appendf(nil, `{"model":"m","max_tokens":%d,"messages":[{"role":"user","content":"Hello."}]}`, maxTokens)
}

// remaining is what a Status says of one limit.
func remaining(hf *holdfast.Transport, limit string) holdfast.QuotaStatus {
	for _, t := range hf.Status().Targets {
		for _, q := range t.Quotas {
			if q.Limit == limit {
				return q
			}
		}
	}
	return holdfast.QuotaStatus{}
}

func TestACallWaitsInTheQueueUntilQuotaHasComeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := route(metered("p", quota.Config{RPM: 60, Share: 1, Burst: time.Second}, "k"))
		c.Queue = admission.Config{MaxWait: 5 * time.Second}
		w := build(t, c, "p")
		if g := w.do(t.Context(), "chat", askFor(10)); g.status != 200 || g.took != 0 {
			t.Fatalf("the first: %v", g)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		var took []time.Duration
		for range 2 {
			all.Go(func() {
				g := w.do(t.Context(), "chat", askFor(10))
				if g.status != 200 {
					t.Error(g)
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, g.took.Round(10*time.Millisecond))
			})
		}
		synctest.Wait()
		if waiting := w.hf.Status().Routes[0].Waiting; waiting != 2 {
			t.Errorf("%d wait in the room, want 2", waiting)
		}
		all.Wait()
		if took[0] != time.Second || took[1] != 2*time.Second {
			t.Errorf("they took %v, want 1s and 2s", took)
		}
		for _, e := range w.events(call.Queued)[1:] {
			if e.To != "quota" {
				t.Errorf("it is told that a call waited for %q, want quota", e.To)
			}
		}
		if n := w.attempts("p"); n != 3 {
			t.Errorf("%d attempts, want 3: waiting is none", n)
		}
	})
}

func TestACallThatWaitsForQuotaNoLongerThanItMayIsToldWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := route(metered("p", quota.Config{RPM: 6, Share: 1, Burst: time.Second}, "k"))
		w := build(t, c, "p")
		w.do(t.Context(), "chat", askFor(10))
		g := w.do(t.Context(), "chat", askFor(10))
		if g.status != 503 || g.header.Get("X-Holdfast-Reason") != call.ReasonQueueTimeout || g.took > 2*time.Second || g.header.Get("Retry-After") == "" {
			t.Errorf("%v, %v", g, g.header)
		}
		for _, e := range w.events(call.PassedOver) {
			t.Errorf("a call that never went in passed over %+v", e)
		}
	})
}

func TestARequestBeyondTheWholeLimitIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(metered("small", quota.Config{TPM: 1000}, "k"), metered("larger", quota.Config{TPM: 5000}, "k")), "small", "larger")
		g := w.do(t.Context(), "chat", askFor(6000))
		if g.status != 413 || g.took != 0 || g.header.Get("X-Should-Retry") != "false" || g.header.Get("Retry-After") != "" {
			t.Errorf("%v, %v", g, g.header)
		}
		if want := "no target of route \\\"chat\\\" allows more than 5000 a minute (tpm)"; !strings.Contains(g.body, want) {
			t.Errorf("it says %s, want %q in it", g.body, want)
		}
		if g := w.do(t.Context(), "chat", askFor(2000)); g.status != 200 || w.attempts("small") != 0 {
			t.Errorf("what is too large for one target goes to the other: %v", g)
		}
		if passed := w.events(call.PassedOver); len(passed) != 1 || passed[0].Target != "small" || passed[0].Reason != "ineligible" {
			t.Errorf("passed over %+v", passed)
		}
	})
}

func TestWhenTheQuotaOfTheDayIsUsedUpNobodyWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(metered("p", quota.Config{RPD: 3, Share: 1}, "k")), "p")
		for range 3 {
			if g := w.do(t.Context(), "chat", askFor(10)); g.status != 200 {
				t.Fatal(g)
			}
		}
		g := w.do(t.Context(), "chat", askFor(10))
		if g.status != 429 || g.took != 0 || g.header.Get("Retry-After") != "" || g.header.Get("X-Should-Retry") != "false" || g.header.Get("X-Holdfast-Retry-After-S") != "90000" {
			t.Errorf("%v, %v", g, g.header)
		}
		time.Sleep(25 * time.Hour)
		if g := w.do(t.Context(), "chat", askFor(10)); g.status != 200 {
			t.Errorf("a day later: %v", g)
		}
	})
}

func TestAKeyWithQuotaIsPreferredAndThenAnotherTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := quota.Config{RPM: 1, Share: 1}
		w := build(t, route(metered("p", one, "a", "b"), metered("q", one, "c")), "p", "q")
		used := map[string]bool{}
		for range 3 {
			if g := w.do(t.Context(), "chat", askFor(10)); g.status != 200 || g.took != 0 {
				t.Fatal(g)
			}
		}
		for _, e := range w.events(call.AttemptEnded) {
			used[e.Key] = true
		}
		if len(used) != 3 {
			t.Errorf("keys used: %v, want a, b and c", used)
		}
		if passed := w.events(call.PassedOver); len(passed) != 1 || passed[0].Target != "p" || passed[0].Reason != "quota" || passed[0].Wait.Round(time.Second) != time.Minute {
			t.Errorf("passed over %+v; want p, for its quota, for a minute", passed)
		}
	})
}

func TestTargetsThatShareAKeyShareItsQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := metered("p", quota.Config{RPM: 2, Share: 1, Burst: time.Minute}, "k")
		other := one
		other.Name, other.LenientEnd = "p-lenient", true
		c := holdfast.Config{Routes: []holdfast.Route{{Name: "one", Models: []string{"one"}, Targets: []holdfast.Target{one}},
			{Name: "two", Targets: []holdfast.Target{other}, Queue: admission.Config{MaxDepth: -1}}}}
		w := build(t, c, "p")
		ask := func(model string) int {
			return w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":%q,"max_tokens":1,"messages":[{"role":"user","content":"Hello."}]}`, model)).status
		}
		if a, b, c := ask("one"), ask("m"), ask("m"); a != 200 || b != 200 || c != 503 {
			t.Errorf("got %d, %d, %d; want two answers and a full house", a, b, c)
		}
		if err := w.hf.Update(c); err != nil {
			t.Fatal(err)
		}
		if got := ask("m"); got != 503 {
			t.Errorf("after an update: %d, want 503: what was spent stays spent", got)
		}
	})
}

// hi is a provider that always says the same.
var hi = canned{"application/json", `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`}

func TestAnotherSecretIsAnotherAccountWhateverTheKeyIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := route(metered("p", quota.Config{RPM: 1, Share: 1}, "k"))
		c.Queue, c.Transport = admission.Config{MaxDepth: -1}, hi
		w := build(t, c)
		change := func(name, secret string) {
			c.Routes[0].Targets[0].Keys = []holdfast.Key{{Name: name, Secret: secret}}
			if err := w.hf.Update(c); err != nil {
				t.Fatal(err)
			}
		}
		ask := func() int { return w.do(t.Context(), "chat", askFor(10)).status }
		if a, b := ask(), ask(); a != 200 || b != 503 {
			t.Fatalf("got %d and %d, want an answer and a full house", a, b)
		}
		change("renamed", "sk-k")
		if got := ask(); got != 503 {
			t.Errorf("with another name: %d, want 503: what was spent stays spent", got)
		}
		change("renamed", "sk-other")
		if got := ask(); got != 200 {
			t.Errorf("with another secret: %d, want 200: nobody has spent anything of that account", got)
		}
		quotas := w.hf.Status().Targets[0].Quotas
		if len(quotas) != 1 || quotas[0].Key != "renamed" || quotas[0].Left != 0 {
			t.Errorf("the status tells of %+v, want the one key there is", quotas)
		}
	})
}

// TestTargetsShareAnAccountThatIsOpenedWhileTheyAreUpdated: nobody may spend it
// twice.
func TestTargetsShareAnAccountThatIsOpenedWhileTheyAreUpdated(t *testing.T) {
	one := metered("p", quota.Config{RPM: 1, Share: 1, Burst: time.Minute}, "k")
	one.Model = ""
	other := one
	other.Name, other.LenientEnd = "p-lenient", true
	c := holdfast.Config{Queue: admission.Config{MaxDepth: -1}, Transport: hi,
		Routes: []holdfast.Route{{Name: "one", Targets: []holdfast.Target{one}}, {Name: "two", Targets: []holdfast.Target{other}}}}
	hf, err := holdfast.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()
	w := &world{t: t, hf: hf}
	for i := range 200 {
		ask := func(route string) int {
			return w.do(holdfast.WithRoute(t.Context(), route), "chat", fmt.Appendf(nil, `{"model":"m%d","messages":[]}`, i)).status
		}
		var both sync.WaitGroup
		both.Go(func() { _ = hf.Update(c) })
		both.Go(func() { ask("one") })
		both.Wait()
		if got := ask("two"); got != 503 {
			t.Fatalf("model %d: %d, want 503: its one call of the minute was made through the other target", i, got)
		}
	}
}

func TestWhatDoesNotAskAModelTakesNoQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(metered("p", quota.Config{RPM: 1, TPM: 10_000, Share: 1}, "k")), "p")
		for range 3 {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://app.invalid/v1/models", nil)
			resp, err := w.hf.RoundTrip(req)
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
		}
		if g := w.do(t.Context(), "chat", askFor(10)); g.status != 200 || g.took != 0 {
			t.Error(g)
		}
	})
}

func TestAToolHasAQuotaOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tool := holdfast.Target{Name: "weather", Vendor: "http", BaseURL: "http://weather", Quota: quota.Config{RPM: 1, TPM: 1, Share: 1}}
		c := holdfast.Config{Routes: []holdfast.Route{{Name: "weather", Paths: []string{"/tools/weather"}, Targets: []holdfast.Target{tool}, Queue: admission.Config{MaxDepth: -1}}}}
		w := build(t, c, "weather")
		w.sims["weather"] = sim.New(sim.Config{Vendor: "http"})
		var got []int
		for range 2 {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://app.invalid/tools/weather/berlin", strings.NewReader("a long question"))
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			got = append(got, resp.StatusCode)
		}
		if got[0] != 200 || got[1] != 503 {
			t.Errorf("got %v, want an answer and a full house", got)
		}
	})
}

func TestLargeCallsAreNotStarvedBySmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := route(metered("p", quota.Config{TPM: 60_000, Share: 1, Accounting: "openai"}, "k"))
		c.Routes[0].Queue = admission.Config{MaxWait: 10 * time.Second}
		w := build(t, c, "p")
		w.direct()
		w.quiet = true
		var all sync.WaitGroup
		var mu sync.Mutex
		asked, answered := map[int]int{}, map[int]int{}
		r := rand.New(rand.NewPCG(1, 9))
		for began := time.Now(); time.Since(began) < 3*time.Minute; {
			size := 300
			if r.IntN(10) == 0 {
				size = 3000
			}
			asked[size]++
			all.Go(func() {
				if g := w.do(context.Background(), "chat", askFor(size)); g.status == 200 {
					mu.Lock()
					defer mu.Unlock()
					answered[size]++
				}
			})
			time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second) / 4)) // 2.3 times what comes in
		}
		all.Wait()
		small, large := float64(answered[300])/float64(asked[300]), float64(answered[3000])/float64(asked[3000])
		if large < small/3 { // a tenth of them when anybody may overtake
			t.Errorf("%.0f %% of the large calls were answered and %.0f %% of the small ones", 100*large, 100*small)
		}
	})
}

// TestNothingStaysReserved: whatever ends a call, its reservation ends with it.
func TestACallThatLeftOrWentElsewhereKeepsNoPlaceForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := quota.Config{TPM: 60_000, Share: 1, Accounting: "openai"}
		c := route(metered("p", q, "k"))
		c.Queue = admission.Config{MaxWait: 10 * time.Second}
		w := build(t, c, "p")
		if g := w.do(t.Context(), "chat", askFor(15_000)); g.status != 200 {
			t.Fatal(g)
		}
		ctx, leave := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer leave()
		_ = w.do(ctx, "chat", askFor(1400))
		if g := w.do(t.Context(), "chat", askFor(100)); g.status != 200 || g.took != 0 {
			t.Errorf("after one that left: %v, want it at once", g)
		}

		c = route(metered("p", q, "k"), metered("q", quota.Config{TPM: 600_000, Share: 1, Accounting: "openai"}, "l"))
		c.Queue = admission.Config{MaxWait: 10 * time.Second}
		w = build(t, c, "p", "q")
		for _, size := range []int{15_000, 1400} { // the second goes to q: p has nothing for it
			if g := w.do(t.Context(), "chat", askFor(size)); g.status != 200 || g.took != 0 {
				t.Fatal(g)
			}
		}
		time.Sleep(500 * time.Millisecond)
		if g := w.do(t.Context(), "chat", askFor(100)); g.status != 200 || g.took != 0 {
			t.Errorf("after one that went elsewhere: %v, want it at once", g)
		}
		if n := w.attempts("p"); n != 2 {
			t.Errorf("p was asked %d times, want 2: the large call and the last", n)
		}
	})
}

func TestNothingStaysReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := quota.Config{RPM: 100_000, RPD: 1_000_000, TPM: 100_000_000, Accounting: "groq"}
		w := build(t, route(metered("p", q, "a", "b"), metered("q", q, "c")), "p", "q")
		w.direct()
		w.quiet = true
		if err := w.sims["p"].SetDials(sim.Dials{TokenInterval: 20 * time.Millisecond, FirstTokenDelay: 50 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		models := []string{"m", "sim/500", "sim/429", "sim/503", "sim/cut:3", "sim/stall:3", "sim/empty", "sim/html", "sim/reset", "sim/error-first"}
		r := rand.New(rand.NewPCG(7, 7))
		var all sync.WaitGroup
		for i := range 400 {
			model, patience := models[r.IntN(len(models))], time.Duration(1+r.IntN(400))*time.Millisecond
			if r.IntN(2) == 0 {
				patience = time.Minute
			}
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				body, _ := json.Marshal(map[string]any{"model": model, "stream": i%2 == 0, "max_tokens": 50, "messages": []any{map[string]string{"role": "user", "content": fmt.Sprint("call ", i)}}})
				w.do(ctx, "chat", body)
			})
			time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		}
		all.Wait()
		time.Sleep(time.Minute)
		for _, target := range w.hf.Status().Targets {
			if target.InFlight != 0 {
				t.Errorf("%s: %d in flight", target.Name, target.InFlight)
			}
			for _, q := range target.Quotas {
				if q.Reserved != 0 {
					t.Errorf("%s %s %s: %d stay reserved", target.Name, q.Key, q.Limit, q.Reserved)
				}
			}
		}
	})
}

func TestTheProvidersHeadersAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := build(t, route(metered("p", quota.Config{TPM: 1_000_000, Accounting: "openai"}, "k")), "p")
		if err := w.sims["p"].SetDials(sim.Dials{Accounting: "openai", TokensPerMinute: 100_000}); err != nil {
			t.Fatal(err)
		}
		if g := w.do(t.Context(), "chat", askFor(10)); g.status != 200 {
			t.Fatal(g)
		}
		if q := remaining(w.hf, "tpm"); q.Allowed != 100_000 || q.Left > 23_750 {
			t.Errorf("%+v, want what the provider announces", q)
		}
	})
}

func TestMistakesInAQuotaAreNamed(t *testing.T) {
	_, err := holdfast.NewTransport(route(metered("p", quota.Config{RPM: 1, Accounting: "abacus"}, "k")))
	if err == nil || !strings.Contains(err.Error(), `target p: quota: accounting: "abacus" is none of`) {
		t.Errorf("got %v", err)
	}
	one := metered("p", quota.Config{RPM: 1}, "k")
	other := one
	other.Name, other.LenientEnd, other.Quota.RPM = "p-lenient", true, 2
	_, err = holdfast.NewTransport(route(one, other))
	if err == nil || !strings.Contains(err.Error(), "quota: targets p and p-lenient share a key and a model: give them the same quota") {
		t.Errorf("got %v", err)
	}
}

func TestQuotasOfTargetsThatShareAnAccountAreTheSame(t *testing.T) {
	for _, c := range []struct {
		name         string
		keys         []string
		model        string // of the one; the other's is m
		rpm, another int
		want         string // "" it may be
	}{
		{"a key and a model", []string{"k"}, "m", 1, 2, "targets p and q share a key and a model"},
		{"no key and a model", nil, "m", 1, 2, "targets p and q share a key and a model"},
		{"a key, and one asks for any model", []string{"k"}, "", 1, 2, `targets p and q share a key, and the one without a model may ask for "m"`},
		{"one of several keys", []string{"a", "b"}, "", 1, 2, `targets p and q share a key, and the one without a model may ask for "m"`},
		{"the same quota", []string{"k"}, "", 1, 1, ""},
		{"only the one model has a quota", []string{"k"}, "", 0, 2, ""},
		{"two models", []string{"k"}, "n", 1, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, other := metered("p", quota.Config{RPM: c.rpm}, c.keys...), metered("q", quota.Config{RPM: c.another}, c.keys...)
			one.Model, other.BaseURL = c.model, one.BaseURL
			err := route(one, other).Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || strings.Count(err.Error(), c.want) != 1) {
				t.Errorf("got %v, want %q once", err, c.want)
			}
		})
	}
}

func TestAfterA429CallsComeBackOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := route(metered("p", quota.Config{RPM: 600, Share: 1}, "k"))
		c.Queue = admission.Config{MaxWait: 20 * time.Second}
		w := build(t, c, "p")
		w.direct()
		began := time.Now()
		go func() { // one 429, three seconds long
			time.Sleep(5 * time.Second)
			_ = w.sims["p"].SetDials(sim.Dials{Fault: "429-retry-after-3"})
			time.Sleep(150 * time.Millisecond)
			_ = w.sims["p"].SetDials(sim.Dials{})
		}()
		var mu sync.Mutex
		answered := 0
		w.load(9, 20*time.Second, func(at time.Time, g got) {
			mu.Lock()
			defer mu.Unlock()
			if g.status == 200 {
				answered++
			} else {
				t.Error(g)
			}
		})
		if answered != 180 { // the rest ends long before anybody's time does
			t.Errorf("%d of 180 calls were answered", answered)
		}
		perSecond := map[int]int{}
		refused := 0
		for _, a := range w.sims["p"].Log() {
			perSecond[int(a.Received.Sub(began).Seconds())]++
			if a.Status == 429 {
				refused++
			}
		}
		if refused == 0 || perSecond[6]+perSecond[7] > 0 {
			t.Fatalf("%d met a 429, attempts by second %v; want none while the key rests", refused, perSecond)
		}
		for second, n := range perSecond {
			if second >= 8 && n > 15 || second == 8 && n > 7 {
				t.Errorf("%d attempts in second %d: a swarm; %v", n, second, perSecond)
			}
		}
	})
}

func TestWhileEveryKeyRestsCallsWaitWhereThePageSays(t *testing.T) {
	for _, c := range []struct {
		name     string
		quota    quota.Config
		rest     string
		status   int
		min, max time.Duration
	}{
		{"without a quota inside, within max_retry_after", quota.Config{}, "5", 200, 4 * time.Second, 6 * time.Second},
		{"not for a longer rest than that", quota.Config{}, "120", 429, 0, 0},
		{"with a quota in the waiting room, within its wait", quota.Config{RPM: 600, Share: 1}, "5", 503, 2 * time.Second, 2 * time.Second},
		{"with a quota, for a rest that ends before", quota.Config{RPM: 600, Share: 1}, "1", 200, 900 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := build(t, route(metered("p", c.quota, "k")), "p")
				_ = w.sims["p"].SetDials(sim.Dials{Fault: "429-retry-after-" + c.rest})
				ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer leave()
				_ = w.do(ctx, "chat", askFor(10)) // is told to rest
				_ = w.sims["p"].SetDials(sim.Dials{})
				g := w.do(t.Context(), "chat", askFor(10))
				if g.status != c.status || g.took.Round(10*time.Millisecond) < c.min || g.took > c.max+10*time.Millisecond {
					t.Errorf("%v, want %d after %s to %s", g, c.status, c.min, c.max)
				}
			})
		})
	}
}
