package holdfast_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	money "github.com/holdfast-gateway/holdfast/spend"
)

// upstream answers every attempt with a body that the test made.
type upstream struct {
	kind  string        // content type; default JSON
	body  string        // default: an answer that uses 10 and 20 tokens
	takes time.Duration // before the headers
	asked atomic.Int64
}

func (u *upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	u.asked.Add(1)
	if req.Body != nil {
		_ = req.Body.Close()
	}
	time.Sleep(u.takes)
	kind, body := u.kind, u.body
	if kind == "" {
		kind = "application/json"
	}
	if body == "" {
		body = answerWith(`{"prompt_tokens":10,"completion_tokens":20}`)
	}
	return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {kind}, "Ratelimit": {"the provider's"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req}, nil
}

// answerWith is a complete chat answer with a usage.
func answerWith(usage string) string {
	return `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":` + usage + `}`
}

func limited(u *upstream, c holdfast.Config) holdfast.Config {
	t := to("openai", "gpt-4o")
	t.Keys = []holdfast.Key{{Secret: "sk-test"}}
	c.Routes = append(c.Routes, holdfast.Route{Name: "chat", Models: []string{"*"}, Targets: []holdfast.Target{t}})
	c.Transport = u
	return c
}

func as(key string) context.Context { return holdfast.WithKey(context.Background(), key) }

var plainAsk = ask("chat", "gpt-4o", false)

// told is the code in an error body of the OpenAI dialects.
func told(g got) string {
	_, after, _ := strings.Cut(g.body, `"code":"`)
	code, _, _ := strings.Cut(after, `"`)
	return code
}

func perKey(points int64) holdfast.Limit {
	return holdfast.Limit{Name: "key", Per: holdfast.PerKey, Config: ratelimit.Config{Points: points, Duration: 10 * time.Second}}
}

func TestACallOverALimitIsRefusedInTheCallersDialect(t *testing.T) {
	for dialect, want := range map[string]string{"chat": `"type":"rate_limit_error"`, "responses": `"code":"rate_limit_exceeded"`, "messages": `"type":"rate_limit_error"`} {
		bubble(t, func(t *testing.T) {
			c := route(claude("claude", "sim/ok"))
			if dialect != "messages" {
				c = route(to("openai", "sim/ok"))
			}
			c.Limits = []holdfast.Limit{perKey(1)}
			w := build(t, c, "openai", "claude")
			if g := w.do(as("alice"), dialect, ask(dialect, "m", false)); !g.complete(dialect) {
				t.Fatalf("the first: %s", g)
			}
			g := w.do(as("alice"), dialect, ask(dialect, "m", false))
			if g.status != 429 || !strings.Contains(g.body, want) {
				t.Fatalf("the second: %s, want 429 with %s", g, want)
			}
			after := g.header.Get("Retry-After")
			if after != "10" && after != "11" || g.header.Get("X-Should-Retry") != "true" || g.header.Get("X-Holdfast-Reason") != "rate_limited" {
				t.Errorf("retry-after %q, x-should-retry %q, reason %q", after, g.header.Get("X-Should-Retry"), g.header.Get("X-Holdfast-Reason"))
			}
			again := w.do(as("alice"), dialect, ask(dialect, "m", false), func(r *http.Request) { r.Header.Set("X-Stainless-Retry-Count", "1") })
			if again.header.Get("X-Should-Retry") != "false" {
				t.Errorf("a client's retry is told x-should-retry %q, want false", again.header.Get("X-Should-Retry"))
			}
			if g := w.do(as("bob"), dialect, ask(dialect, "m", false)); !g.complete(dialect) {
				t.Errorf("another key: %s", g)
			}
			if e := w.events(call.Limited); len(e) != 2 || e[0].Reason != "key" || e[0].To != call.LimitedRefused {
				t.Errorf("events %+v, want two refusals by key", e)
			}
		})
	}
}

func TestAnswersOfLimitedRoutesSayWhereTheCallerStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := limited(&upstream{}, holdfast.Config{Limits: []holdfast.Limit{perKey(5),
			{Name: "tokens", Per: holdfast.PerKey, Unit: "tokens", Config: ratelimit.Config{Points: 6000, Duration: time.Minute}}}})
		w := build(t, c)
		g := w.do(as("alice"), "chat", plainAsk)
		if policy := g.header.Get("RateLimit-Policy"); policy != `"key";q=5;w=10, "tokens";q=6000;w=60;qu="tokens"` {
			t.Errorf("RateLimit-Policy: %s", policy)
		}
		if state := g.header.Get("RateLimit"); !strings.HasPrefix(state, `"key";r=4;t=2, "tokens";r=59`) {
			t.Errorf("RateLimit: %s", state)
		}
		if g := w.do(context.Background(), "chat", plainAsk); g.header.Get("RateLimit") != "the provider's" {
			t.Errorf("a call that falls under no limit is told %q, want what the provider said", g.header.Get("RateLimit"))
		}
		// The call reserved more than 60 tokens and used 30: the rest came back.
		if s := w.hf.Status().Limits; len(s) != 2 || s[0].Counts.Admitted != 1 {
			t.Errorf("status %+v", s)
		}
		if g := w.do(as("alice"), "chat", plainAsk); !strings.Contains(g.header.Get("RateLimit"), `"tokens";r=58`) {
			t.Errorf("after one call of 30 tokens: %s", g.header.Get("RateLimit"))
		}
	})
}

func TestOneLimitThatRefusesLeavesTheOthersUncharged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		window := func(n int64) ratelimit.Config {
			return ratelimit.Config{Points: n, Duration: time.Hour, Mode: ratelimit.ModeWindow}
		}
		w := build(t, limited(&upstream{}, holdfast.Config{
			Limits: []holdfast.Limit{
				{Name: "ip", Per: holdfast.PerIP, Config: window(100)},
				{Name: "tenant", Per: holdfast.PerTenant, Config: window(100)},
				{Name: "team", Per: "header:X-Team", Config: window(3)},
				{Name: "route", Per: holdfast.PerRoute, Of: "chat", Config: window(100)},
				{Name: "all", Config: window(100)},
			},
			Budgets: []holdfast.Budget{{Per: holdfast.PerTenant, Of: "acme", Config: money.Config{TokensPerDay: 1_000_000}}},
		}))
		ctx := holdfast.WithAddress(holdfast.WithTenant(context.Background(), "acme"), netip.MustParseAddr("2001:db8::1"))
		team := func(name string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("X-Team", name) }
		}
		statuses := map[int]int{}
		for range 5 {
			statuses[w.do(ctx, "chat", plainAsk, team("red")).status]++
		}
		other := holdfast.WithAddress(ctx, netip.MustParseAddr("2001:db8::ffff")) // of the same /64
		g := w.do(other, "chat", plainAsk, team("blue"))
		if want := `"ip";r=96;t=3600, "tenant";r=96;t=3600, "team";r=2;t=3600, "all";r=96;t=3600, "route";r=96;t=3600`; !same(g.header.Get("RateLimit"), want) {
			t.Errorf("RateLimit: %s\nwant, in some order: %s", g.header.Get("RateLimit"), want)
		}
		if statuses[200] != 3 || statuses[429] != 2 {
			t.Errorf("statuses %v, want three answers and two refusals", statuses)
		}
		if b := w.hf.Status().Budgets[0]; b.Tokens != 4*30 || b.TokensHeld != 0 {
			t.Errorf("budget %+v, want the tokens of four calls and nothing held", b)
		}
	})
}

// same compares two lists whatever their order.
func same(a, b string) bool {
	members := strings.Split(a, ", ")
	for _, m := range strings.Split(b, ", ") {
		if !strings.Contains(a, m) {
			return false
		}
	}
	return len(members) == len(strings.Split(b, ", "))
}

func TestALimitIsChargedOnceHoweverManyAttemptsACallTakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("a", "sim/503"), to("b", "sim/ok"))
		c.Limits = []holdfast.Limit{perKey(2)}
		w := build(t, c, "a", "b")
		if g := w.do(as("alice"), "chat", ask("chat", "m", false)); !g.complete("chat") || g.header.Get("X-Holdfast-Attempts") == "1" || !strings.Contains(g.header.Get("RateLimit"), "r=1") {
			t.Fatalf("%s, attempts %s, RateLimit %s", g, g.header.Get("X-Holdfast-Attempts"), g.header.Get("RateLimit"))
		}
	})
}

func TestTwoHundredCallsAtOnceAtALimitOfTen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		u := &upstream{takes: time.Second}
		w := build(t, limited(u, holdfast.Config{Limits: []holdfast.Limit{perKey(10),
			{Name: "all", Config: ratelimit.Config{Points: 1000, Duration: time.Hour}}}}))
		var all sync.WaitGroup
		var ok, refused atomic.Int64
		for i := range 200 {
			all.Go(func() {
				switch w.do(as("alice"), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"%d"}]}`, i)).status {
				case 200:
					ok.Add(1)
				case 429:
					refused.Add(1)
				}
			})
		}
		all.Wait()
		s := w.hf.Status().Limits
		if ok.Load() != 10 || refused.Load() != 190 || u.asked.Load() != 10 || *s[1].Remaining != 990 {
			t.Fatalf("%d answered, %d refused, %d sent, %d left for all; want 10, 190, 10, 990", ok.Load(), refused.Load(), u.asked.Load(), *s[1].Remaining)
		}
	})
}

func TestAShadowLimitIsHeardOfAndRefusesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := perKey(1)
		l.Shadow = true
		w := build(t, limited(&upstream{}, holdfast.Config{Limits: []holdfast.Limit{l}}))
		for range 3 {
			if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 || g.header.Get("RateLimit") == `"key";r=0;t=10` {
				t.Fatalf("%s, RateLimit %q", g, g.header.Get("RateLimit"))
			}
		}
		if e := w.events(call.Limited); len(e) != 2 || e[0].To != call.LimitedShadow || w.hf.Status().Limits[0].Counts.Would != 2 {
			t.Fatalf("%d events, status %+v; want two that would have been refused", len(e), w.hf.Status().Limits[0])
		}
	})
}

func TestAShadowLimitOfCallsUnderWayRefusesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := holdfast.Limit{Name: "all", Concurrency: 1}
		l.Shadow = true
		w := build(t, limited(&upstream{takes: time.Second}, holdfast.Config{Limits: []holdfast.Limit{l}}))
		var all sync.WaitGroup
		var ok atomic.Int64
		for i := range 3 {
			all.Go(func() {
				if w.do(as("alice"), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"%d"}]}`, i)).status == 200 {
					ok.Add(1)
				}
			})
		}
		all.Wait()
		if s := w.hf.Status().Limits[0]; ok.Load() != 3 || s.Full != 2 || s.Running != 0 || len(w.events(call.Limited)) != 2 {
			t.Fatalf("%d answered, status %+v", ok.Load(), s)
		}
	})
}

func TestAKeyMayHaveSoManyCallsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, limited(&upstream{takes: time.Second}, holdfast.Config{Limits: []holdfast.Limit{
			{Name: "key", Per: holdfast.PerKey, Of: "alice", Concurrency: 2}}}))
		var all sync.WaitGroup
		var ok, refused atomic.Int64
		for i := range 6 {
			all.Go(func() {
				g := w.do(as("alice"), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"%d"}]}`, i))
				if g.status == 200 {
					ok.Add(1)
				} else if g.status == 429 && told(g) == "rate_limit_exceeded" && g.header.Get("Retry-After") != "" {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		s := w.hf.Status().Limits[0]
		if ok.Load() != 2 || refused.Load() != 4 || s.Running != 0 || s.Full != 4 {
			t.Fatalf("%d answered, %d refused, status %+v; want 2, 4 and nobody under way", ok.Load(), refused.Load(), s)
		}
		if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 {
			t.Fatalf("after they ended: %s", g)
		}
	})
}

func TestAnUpdateKeepsWhatUnchangedLimitsHaveCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		u := &upstream{}
		budget := []holdfast.Budget{{Per: holdfast.PerKey, Of: "alice", Config: money.Config{TokensPerDay: 100_000}}}
		c := limited(u, holdfast.Config{Limits: []holdfast.Limit{perKey(1), {Name: "all", Config: ratelimit.Config{Points: 1, Duration: time.Hour}}}, Budgets: budget})
		w := build(t, c)
		w.do(as("alice"), "chat", plainAsk)
		c.Recorder = call.RecorderFunc(w.record)
		c.Limits[1].Points = 5
		budget[0].TokensPerDay = 50
		if err := w.hf.Update(c); err != nil {
			t.Fatal(err)
		}
		s := w.hf.Status()
		if *s.Limits[1].Remaining != 5 || s.Budgets[0].Tokens != 30 || s.Budgets[0].TokensPerDay != 50 {
			t.Errorf("limits %+v, budgets %+v; want a changed limit anew and what was spent kept", s.Limits[1], s.Budgets)
		}
		if g := w.do(as("alice"), "chat", plainAsk); g.status != 429 {
			t.Errorf("%s, want the unchanged limit to remember", g)
		}
		c.Limits, c.Budgets = []holdfast.Limit{}, nil
		if err := w.hf.Update(c); err != nil {
			t.Fatal(err)
		}
		if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 || w.hf.Status().Limits != nil {
			t.Errorf("without limits: %s", g)
		}
	})
}

func TestTheInteractiveProfileLimitsAClientToTwentyASecondAndBlocksForTwo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := limited(&upstream{}, holdfast.Config{Profile: "interactive"})
		w := build(t, c)
		client := holdfast.WithAddress(context.Background(), netip.MustParseAddr("192.0.2.1"))
		asked := func(ctx context.Context, n int) (ok int, last got) {
			for i := range n {
				last = w.do(ctx, "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"%d"}]}`, i))
				if last.status == 200 {
					ok++
				}
			}
			return ok, last
		}
		if n, last := asked(client, 25); n != 20 || last.status != 429 || told(last) != "too_many_requests" || last.header.Get("Retry-After") != "2" && last.header.Get("Retry-After") != "3" {
			t.Fatalf("%d of 25 answered, the last: %s", n, last)
		}
		time.Sleep(1900 * time.Millisecond)
		if n, _ := asked(client, 1); n != 0 {
			t.Error("answered 1.9 s after the block of 2 s began")
		}
		time.Sleep(100 * time.Millisecond)
		if n, _ := asked(client, 25); n != 20 {
			t.Errorf("%d of 25 answered after the block, want 20", n)
		}
		if n, _ := asked(as("alice"), 5); n != 5 {
			t.Errorf("another client: %d of 5 answered", n)
		}
		if n, _ := asked(context.Background(), 30); n != 30 {
			t.Errorf("a program that names no client: %d of 30 answered, want all", n)
		}
	})
}

// budgeted is a house in which alice has a budget.
func budgeted(t *testing.T, u *upstream, b money.Config) *world {
	t.Helper()
	return build(t, limited(u, holdfast.Config{
		Budgets: []holdfast.Budget{{Per: holdfast.PerKey, Of: "alice", Config: b}},
		Prices:  money.Prices{"gpt-4o": {Input: 2.5, Output: 10}},
	}))
}

func TestABudgetIsReservedReconciledAndRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		u := &upstream{body: answerWith(`{"prompt_tokens":100,"completion_tokens":900}`)}
		w := budgeted(t, u, money.Config{USDPerDay: 0.02, TokensPerDay: 100_000})
		for i := range 2 {
			if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 {
				t.Fatalf("call %d: %s", i, g)
			}
		}
		if b := w.hf.Status().Budgets[0]; b.Tokens != 2000 || b.USD != 0.0185 || b.USDHeld != 0 {
			t.Fatalf("%+v, want 2,000 tokens and 0.0185 USD", b)
		}
		w.do(as("alice"), "chat", plainAsk) // what was reserved fits, what was used does not
		g := w.do(as("alice"), "chat", plainAsk)
		if g.status != 429 || told(g) != "budget_exhausted" || !strings.Contains(g.body, "insufficient_quota") || g.header.Get("X-Should-Retry") != "false" {
			t.Fatalf("%s, x-should-retry %q; want 429 budget_exhausted, false", g, g.header.Get("X-Should-Retry"))
		}
		if g := w.do(as("bob"), "chat", plainAsk); g.status != 200 {
			t.Fatalf("another key: %s", g)
		}
		time.Sleep(24 * time.Hour)
		if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 {
			t.Fatalf("the next day: %s", g)
		}
	})
}

func TestABudgetHoldsWhenAStreamReportsNoUsage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintf(&b, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word%d \"}}]}\n\n", i)
		}
		b.WriteString("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
		w := budgeted(t, &upstream{kind: "text/event-stream", body: b.String()}, money.Config{TokensPerDay: 1000})
		n := 0
		for range 20 {
			g := w.do(as("alice"), "chat", ask("chat", "gpt-4o", true))
			if g.status == 429 {
				break
			}
			n++
		}
		if n < 2 || n > 5 {
			t.Fatalf("%d streams of about 200 tokens in a budget of 1,000, want two to five", n)
		}
	})
}

func TestNothingThatAnUpstreamReportsMakesABudgetLarger(t *testing.T) {
	for _, report := range []string{"-1", "9223372036854775808", "1e308", `"12"`, "-9223372036854775808", "1.5", "true"} {
		bubble(t, func(t *testing.T) {
			u := &upstream{body: answerWith(`{"prompt_tokens":` + report + `,"completion_tokens":` + report + `}`)}
			w := budgeted(t, u, money.Config{USDPerDay: 1, TokensPerDay: 100_000})
			if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 {
				t.Fatalf("usage %s: %s", report, g)
			}
			b := w.hf.Status().Budgets[0]
			if b.Tokens < 20 || b.Tokens > 1000 || b.USD <= 0 || b.TokensHeld != 0 || b.OddUsage != 1 {
				t.Errorf("usage %s: %+v, want what we saw, and one odd report", report, b)
			}
			if e := w.events(call.AttemptEnded); len(e) != 1 || !e[0].Outcome.Usage.Odd {
				t.Errorf("usage %s: the event does not say that it is odd", report)
			}
		})
	}
}

func TestOneCallMayNotAskForMoreThanItsCaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		u := &upstream{}
		w := budgeted(t, u, money.Config{MaxTokens: 100, MaxChoices: 2, MaxTools: 1, MaxBody: 2000})
		const rest = `"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]`
		cases := []struct {
			name, body, code string
			status           int
		}{
			{"within", `{` + rest + `,"max_tokens":100,"n":2,"tools":[{}]}`, "", 200},
			{"max_tokens", `{` + rest + `,"max_tokens":101}`, "max_tokens_exceeded", 400},
			{"the other name of max_tokens", `{` + rest + `,"max_completion_tokens":10,"max_tokens":5000}`, "max_tokens_exceeded", 400},
			{"a name that stands twice", `{"max_tokens":100000,` + rest + `,"max_tokens":10}`, "max_tokens_exceeded", 400},
			{"no max_tokens", `{` + rest + `}`, "max_tokens_exceeded", 400},
			{"a text for max_tokens", `{` + rest + `,"max_tokens":"90"}`, "max_tokens_exceeded", 400},
			{"n", `{` + rest + `,"max_tokens":10,"n":3}`, "max_choices_exceeded", 400},
			{"tools", `{` + rest + `,"max_tokens":10,"tools":[{},{}]}`, "max_tools_exceeded", 400},
			{"body", `{` + rest + `,"max_tokens":10,"user":"` + strings.Repeat("x", 2000) + `"}`, "request_too_large", 413},
		}
		for _, c := range cases {
			g := w.do(as("alice"), "chat", []byte(c.body))
			if g.status != c.status || c.code != "" && told(g) != c.code {
				t.Errorf("%s: %s, want %d %s", c.name, g, c.status, c.code)
			}
			if c.status != 200 && g.header.Get("X-Should-Retry") != "false" {
				t.Errorf("%s: x-should-retry %q, want false", c.name, g.header.Get("X-Should-Retry"))
			}
		}
		if n := u.asked.Load(); n != 1 {
			t.Errorf("%d attempts, want only the call within its caps", n)
		}
	})
}

func TestWhatCannotBeMeasuredIsNotSentOnABudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		u := &upstream{}
		w := budgeted(t, u, money.Config{TokensPerDay: 1000, USDPerDay: 1})
		send := func(method, path, body string) got {
			req, err := http.NewRequestWithContext(as("alice"), method, "http://app.invalid"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer sk-caller")
			return w.send(req)
		}
		if g := send("POST", "/v1/images/generations", `{"prompt":"a cat"}`); g.status != 400 || told(g) != "not_metered" {
			t.Errorf("images: %s, want 400 not_metered", g)
		}
		if g := send("GET", "/v1/files/file-123", ""); g.status != 200 {
			t.Errorf("looking at a file: %s, want 200", g)
		}
		capped := budgeted(t, u, money.Config{MaxTokens: 100})
		w = capped
		if g := send("POST", "/v1/completions", `{"prompt":"a","max_tokens":100000}`); g.status != 400 || told(g) != "not_metered" {
			t.Errorf("a cap on a path that nobody reads: %s, want 400 not_metered", g)
		}
		w2 := build(t, limited(u, holdfast.Config{Budgets: []holdfast.Budget{{Per: holdfast.PerRoute, Of: "chat", Config: money.Config{USDPerDay: 1}}}}))
		if g := w2.do(context.Background(), "chat", plainAsk); g.status != 400 || told(g) != "price_missing" {
			t.Errorf("without a price: %s, want 400 price_missing", g)
		}
	})
}

func TestEveryKindOfEndLeavesNothingHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("a", "sim/ok"))
		c.Routes[0].Models = []string{"good"}
		for _, m := range []string{"sim/503", "sim/cut-after-3", "sim/429-retry-after-2", "sim/slow-mode"} {
			c.Routes = append(c.Routes, holdfast.Route{Name: m, Models: []string{m}, Targets: []holdfast.Target{to("t-"+m, m)}})
			c.Routes[len(c.Routes)-1].Targets[0].BaseURL = "http://a"
		}
		c.Limits = []holdfast.Limit{{Name: "at once", Per: holdfast.PerKey, Of: "alice", Concurrency: 500},
			{Name: "tokens", Per: holdfast.PerKey, Unit: "tokens", Config: ratelimit.Config{Points: 1e9, Duration: time.Second}}}
		c.Budgets = []holdfast.Budget{{Per: holdfast.PerKey, Of: "alice", Config: money.Config{TokensPerDay: 1e9}}}
		c.Timeout.Total = 5 * time.Second
		w := build(t, c, "a")
		var all sync.WaitGroup
		for i := range 200 {
			model := []string{"good", "sim/503", "sim/cut-after-3", "sim/429-retry-after-2", "sim/slow-mode", "unknown"}[i%6]
			all.Go(func() {
				ctx, cancel := context.WithTimeout(as("alice"), time.Duration(i)*40*time.Millisecond)
				defer cancel()
				w.do(ctx, "chat", ask("chat", model, i%2 == 0))
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		s := w.hf.Status()
		if b := s.Budgets[0]; b.TokensHeld != 0 || b.Tokens == 0 || s.Limits[0].Running != 0 {
			t.Fatalf("budget %+v, under way %d; want nothing held", b, s.Limits[0].Running)
		}
	})
}

func TestLimitsThatCannotBeAreReported(t *testing.T) {
	points := ratelimit.Config{Points: 1, Duration: time.Second}
	c := route(to("openai", "m"))
	c.Limits = []holdfast.Limit{
		{Per: "key", Config: points},
		{Name: "a", Per: "galaxy", Config: points},
		{Name: "b", Per: "header:", Config: points},
		{Name: "c", Per: "ip", Of: "192.0.2.1", Config: points},
		{Name: "d", Per: "key", Concurrency: 3},
		{Name: "e", Per: "key"},
		{Name: "f", Unit: "points", Config: points},
		{Name: "g", Unit: "tokens", Config: ratelimit.Config{Points: 1, Duration: time.Second, Mode: "window"}},
		{Name: "h", Config: points, Routes: []string{"nowhere"}},
		{Name: "i", Config: points}, {Name: "i", Config: points},
	}
	c.Budgets = []holdfast.Budget{{Per: "ip", Of: "x"}, {Per: "key"}, {Per: "key", Of: "a", Config: money.Config{USDPerDay: -1}}, {Per: "key", Of: "a"}}
	c.Prices = money.Prices{"m": {Input: -1}}
	_, err := holdfast.NewTransport(c)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"name is missing", "limit a: per: \"galaxy\"", "limit b: per", "limit c of 192.0.2.1: of", "limit d: concurrency: needs", "limit e: points",
		"limit f: unit", "limit g: mode", `limit h: routes: no route is named "nowhere"`, "limit i: another limit", "budget of ip x: per", "budget of key : of",
		"budget of key a: usd_per_day", "budget of key a: stands twice", "prices: m: input"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestAClientThatWasLimitedIsNoRetryingClientAfterwards(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, limited(&upstream{}, holdfast.Config{Limits: []holdfast.Limit{
			{Name: "key", Per: holdfast.PerKey, Config: ratelimit.Config{Points: 1, Duration: time.Second}}}}))
		for range 3 {
			w.do(as("alice"), "chat", plainAsk)
		}
		time.Sleep(time.Second)
		if g := w.do(as("alice"), "chat", plainAsk); g.status != 200 || len(w.events(call.ClientRetried)) > 0 {
			t.Fatalf("%s, %d calls taken for retries; nothing had been tried", g, len(w.events(call.ClientRetried)))
		}
	})
}

func TestARoutesTerminalStatusDoesNotReplaceThatOfALimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := limited(&upstream{}, holdfast.Config{Limits: []holdfast.Limit{perKey(1)}})
		c.Routes[0].TerminalStatus = 503
		w := build(t, c)
		w.do(as("alice"), "chat", plainAsk)
		if g := w.do(as("alice"), "chat", plainAsk); g.status != 429 {
			t.Fatalf("%s, want 429", g)
		}
	})
}
