package holdfast_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/internal/plot"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/sim"
)

// contract is a provider that limits tokens, as it counts them, and what we are
// told of it.
type contract struct {
	name    string
	dialect string
	dials   sim.Dials
	quota   quota.Config
	limit   int                            // of the limit that is reached first, per minute
	charged func(sim.Spent) int            // of that limit
	cost    func(input, most, out int) int // what a call takes of it
}

const (
	answerTokens = 300
	answerSpread = 0.6
	mostTokens   = 1000
)

// contracts are the accountings that the simulated provider knows.
func contracts() []contract {
	tokens := func(s sim.Spent) int { return s.Tokens }
	simple := func(name string, tpm int, cost func(input, most, out int) int) contract {
		return contract{name: name, dialect: "chat", limit: tpm, charged: tokens, cost: cost,
			dials: sim.Dials{Accounting: name, TokensPerMinute: tpm}, quota: quota.Config{TPM: tpm, Accounting: name}}
	}
	return []contract{
		{name: "anthropic, by output", dialect: "messages", limit: 80_000, charged: func(s sim.Spent) int { return s.Output },
			cost:  func(_, _, out int) int { return out },
			dials: sim.Dials{Accounting: "anthropic", TokensPerMinute: 2_000_000, OutputPerMinute: 80_000},
			quota: quota.Config{ITPM: 2_000_000, OTPM: 80_000, Accounting: "anthropic"}},
		{name: "anthropic, by input, half of it cached", dialect: "messages", limit: 80_000, charged: tokens,
			cost:  func(input, _, _ int) int { return input / 2 },
			dials: sim.Dials{Accounting: "anthropic", TokensPerMinute: 80_000, OutputPerMinute: 2_000_000, CachedShare: 0.5},
			quota: quota.Config{ITPM: 80_000, OTPM: 2_000_000, Accounting: "anthropic"}},
		simple("azure", 200_000, func(input, most, _ int) int { return input + most }),
		simple("bedrock", 200_000, func(input, _, out int) int { return input + 5*out }),
		simple("cerebras", 100_000, func(input, _, out int) int { return input + out }),
		simple("gemini", 60_000, func(input, _, _ int) int { return input }),
		simple("groq", 100_000, func(input, _, out int) int { return input + out }),
		simple("openai", 120_000, func(input, most, _ int) int { return max(input, most) }),
	}
}

// prompt is a text of about so many tokens that no other call has.
func prompt(call, tokens int) string {
	return fmt.Sprintf("%08d", call) + strings.Repeat("wor ", max(0, tokens-2))
}

// inputs draws lengths of prompts, lognormal with a median of 400.
func inputs(r *rand.Rand) int { return min(4000, int(400*math.Exp(0.7*r.NormFloat64()))) }

// TestATokenLimitIsUsedAndNotHit: a provider that limits tokens, three times as
// many calls as it can bear, each accounting. It has to say 429 to at most 1.5 %
// of what it is asked, and 93 % of its limit are used.
func TestATokenLimitIsUsedAndNotHit(t *testing.T) {
	n, full := experiment.Seeds(t, 1)
	during := 2 * time.Minute
	if full {
		during = 4 * time.Minute
	}
	var mu sync.Mutex
	worst := map[string]share{}
	note := func(name string, now share) {
		mu.Lock()
		defer mu.Unlock()
		w, known := worst[name]
		if !known {
			w = now
		}
		worst[name] = share{max(w.refused, now.refused), min(w.used, now.used)}
	}
	t.Run("overload", func(t *testing.T) { // returns when all its parts have
		for _, c := range contracts() {
			for seed := range n {
				t.Run(fmt.Sprintf("%s/seed=%d", c.name, seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { note(c.name, c.holds(t, seed, during)) })
				})
			}
		}
	})
	if full {
		quotaResult(t, n, worst).Save(t)
	}
}

// holds runs the overload and checks its bounds.
func (c contract) holds(t *testing.T, seed uint64, during time.Duration) share {
	refused, used := c.overload(t, seed, during)
	if refused > 0.015 {
		t.Errorf("%.2f %% of the attempts met a 429, want at most 1.5 %%", 100*refused)
	}
	if used < 0.93 {
		t.Errorf("%.1f %% of the limit were used, want at least 93 %%", 100*used)
	}
	return share{refused, used}
}

// share is the worst of several runs: of attempts refused, and of the limit used.
type share struct{ refused, used float64 }

// quotaResult is the table and the picture of what the simulation found, beside
// what comes of the same without a quota.
func quotaResult(t *testing.T, seeds uint64, worst map[string]share) experiment.Result {
	r := experiment.Result{
		Name: "provider-limits", Seeds: seeds,
		Note:    "With the quota: the worst of them; without: the first",
		Columns: []string{"Accounting", "429 with the quota", "Limit used with it", "429 without", "Limit used without"},
		Bars: &plot.Bars{Title: "Three times what a limit of tokens can bear: attempts that meet a 429", Y: "attempts that meet a 429, %",
			Series: []string{"without a quota", "with the quota of its accounting"}},
	}
	for _, c := range contracts() {
		blind := c
		blind.quota = quota.Config{}
		var refused, used float64
		synctest.Test(t, func(t *testing.T) { refused, used = blind.overload(t, 0, 6*time.Minute) })
		w := worst[c.name]
		r.Rows = append(r.Rows, []string{c.name, fmt.Sprintf("%.1f %%", 100*w.refused), fmt.Sprintf("%.1f %%", 100*w.used), fmt.Sprintf("%.0f %%", 100*refused), fmt.Sprintf("%.0f %%", 100*used)})
		name := strings.Replace(strings.TrimSuffix(c.name, ", half of it cached"), ", by ", ", ", 1)
		r.Bars.Groups = append(r.Bars.Groups, plot.Group{Name: name, Values: []float64{math.Round(1000*refused) / 10, math.Round(1000*w.refused) / 10}})
	}
	return r
}

// TestATokenLimitThatNobodyKnowsIsHit is the same without being told the limit:
// what the quota is good for.
func TestATokenLimitThatNobodyKnowsIsHit(t *testing.T) {
	for _, c := range contracts() {
		if c.name != "groq" {
			continue
		}
		c.quota = quota.Config{}
		synctest.Test(t, func(t *testing.T) {
			if refused, _ := c.overload(t, 0, time.Minute); refused < 0.2 {
				t.Errorf("%.1f %% of the attempts met a 429; the simulation shows nothing", 100*refused)
			}
		})
	}
}

// overload sends three times what the provider can bear. It returns the share of
// attempts that met a 429, and the share of its limit that the provider charged
// after the first minute.
func (c contract) overload(t *testing.T, seed uint64, during time.Duration) (refused, used float64) {
	const settle = time.Minute
	w, rnd := c.world(t, seed), rand.New(rand.NewPCG(seed, 22))
	perSecond := 3 * float64(c.limit) / 60 / c.mean(seed)
	var all sync.WaitGroup
	var before sim.Spent
	began, i := time.Now(), 0
	for ; time.Since(began) < settle+during; i++ {
		if before.Requests == 0 && time.Since(began) >= settle {
			before = w.sims["p"].Spent()
		}
		body := fmt.Appendf(nil, `{"model":"m","max_tokens":%d,"stream":%t,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":%q}]}`,
			mostTokens, i%20 == 0, prompt(i, inputs(rnd)))
		all.Go(func() { w.do(context.Background(), c.dialect, body) })
		time.Sleep(time.Duration(rnd.ExpFloat64() / perSecond * float64(time.Second)))
	}
	after := w.sims["p"].Spent()
	all.Wait()
	refused = float64(after.Refused) / float64(after.Refused+after.Requests)
	used = float64(c.charged(after)-c.charged(before)) / (float64(c.limit) * during.Minutes())
	t.Logf("%s: %d calls, %d asked upstream, %.2f %% of them 429, %.1f %% of the limit used", c.name, i, after.Requests+after.Refused, 100*refused, 100*used)
	return refused, used
}

// world is the provider and a house that knows its limits.
func (c contract) world(t *testing.T, seed uint64) *world {
	r, mu := rand.New(rand.NewPCG(seed, 21)), sync.Mutex{}
	target := to("p", "m")
	if c.dialect == "messages" {
		target = claude("p", "m")
	}
	target.Keys = []holdfast.Key{{Secret: "sk-simulated"}}
	target.Quota, target.Concurrency = c.quota, concurrency.Config{Max: -1}
	config := route(target)
	config.Rand = func() float64 { mu.Lock(); defer mu.Unlock(); return r.Float64() }
	w := build(t, config, "p")
	w.direct()
	w.quiet = true
	c.dials.OutputTokens, c.dials.OutputSpread, c.dials.Seed = answerTokens, answerSpread, seed
	c.dials.FirstTokenDelay, c.dials.TokenInterval = 300*time.Millisecond, 10*time.Millisecond
	if err := w.sims["p"].SetDials(c.dials); err != nil {
		t.Fatal(err)
	}
	return w
}

// mean is what a call takes of the limit on average.
func (c contract) mean(seed uint64) float64 {
	const calls = 2000
	sum, rnd := 0, rand.New(rand.NewPCG(seed, 23))
	for range calls {
		sum += c.cost(inputs(rnd), mostTokens, min(mostTokens, int(answerTokens*math.Exp(answerSpread*rnd.NormFloat64()))))
	}
	return float64(sum) / calls
}
