package holdfast

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// chain is the house without what a call needs without any policy: its request
// is read, and the answer is there. What is left are the decisions.
type chain struct {
	house *house
	req   *http.Request
}

// held is a body that can be read again and again.
type held struct{ content []byte }

func (h held) Bytes() []byte            { return h.content }
func (h held) Read([]byte) (int, error) { panic("the bytes were there") }
func (h held) Close() error             { return nil }

// everyPolicy is a house with all policies on, and a call for it.
func everyPolicy(tb testing.TB) *chain {
	tb.Helper()
	target := func(name string) Target {
		return Target{Name: name, Provider: name, Vendor: "openai", BaseURL: "http://" + name, Model: "gpt-4o",
			Keys:  []Key{{Name: "a", Secret: "sk-1"}, {Name: "b", Secret: "sk-2"}},
			Quota: quota.Config{RPM: 1_000_000_000, TPM: 1_000_000_000_000}}
	}
	return chainOf(tb, Config{
		Limits: []Limit{{Name: "keys", Per: PerKey, Config: ratelimit.Config{Points: 1_000_000_000, Duration: time.Second}}},
		Routes: []Route{{Name: "chat", Targets: []Target{target("first"), target("second")}}},
	})
}

// fewPolicies is a house with what failsafe-go has too: a limit of everybody's
// calls, places inside, a circuit, a retry budget and timeouts, for one target.
func fewPolicies(tb testing.TB) *chain {
	tb.Helper()
	return chainOf(tb, Config{
		Limits: []Limit{{Name: "all", Config: ratelimit.Config{Points: 1_000_000_000, Duration: time.Second}}},
		Routes: []Route{{Name: "chat", Targets: []Target{{Name: "only", Provider: "only", Vendor: "openai", BaseURL: "http://only", Model: "gpt-4o",
			Keys: []Key{{Secret: "sk-1"}}}}}},
	})
}

// chainOf is a house, and a call for it.
func chainOf(tb testing.TB, c Config) *chain {
	tb.Helper()
	c.Recorder = call.RecorderFunc(func(*call.Event) {})
	hf, err := NewTransport(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = hf.Close() })
	body := []byte(`{"model":"gpt-4o","max_tokens":256,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 380) + `"}]}`)
	ctx := WithKey(tb.Context(), "web")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://app.invalid/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Body, req.GetBody = held{body}, nil
	return &chain{hf.house.Load(), req}
}

// read does what every proxy does with a request, and what its policies need.
func (c *chain) read(tb testing.TB) *incoming {
	in, refused := c.house.read(c.req)
	if refused != nil {
		tb.Fatal(refused.message)
	}
	return in
}

// decide runs a call past all policies, to an answer that is there at once, and
// to its end.
func (c *chain) decide(tb testing.TB, in *incoming) {
	result, own, err := in.decide(c.req.Context(), func(ctx context.Context, _ *call.Call, u call.Upstream, n int, first, force bool) (*answer, bool, call.Outcome, error) {
		s, err := in.admit(ctx, u, n, first, force)
		if err != nil {
			return nil, false, call.Outcome{}, err
		}
		s.clocks.Headers()
		s.end(call.Outcome{Verdict: call.Verdict{Class: call.OK}, Sent: true, Usage: call.Usage{Known: true, Input: 400, Output: 144}})
		return nil, true, s.outcome, nil
	})
	if err != nil || own != nil || !result.Open {
		tb.Fatalf("%+v, %v, %v", result, own, err)
	}
	in.ended(call.Outcome{Verdict: call.Verdict{Class: call.OK}}, http.StatusOK, "provider", "")
}

// TestThePoliciesOfACallTakeTwelveAllocations at most: limits, budget, waiting
// room, choice of target and key, permit, quota, circuit, retry budget, clocks,
// and the events of all that.
func TestThePoliciesOfACallTakeTwelveAllocations(t *testing.T) {
	c := everyPolicy(t)
	reading := testing.AllocsPerRun(1000, func() { c.read(t) })
	all := testing.AllocsPerRun(1000, func() { c.decide(t, c.read(t)) })
	if n := all - reading; n > 12 {
		t.Errorf("the policies take %v allocations (%v with reading, which takes %v), more than 12", n, all, reading)
	} else {
		t.Logf("the policies take %v allocations; reading the request takes %v", n, reading)
	}
}

// BenchmarkPolicies is the time of the same; bench/ compares it with a library
// that has such policies.
func BenchmarkPolicies(b *testing.B) {
	c := everyPolicy(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		in := c.read(b)
		b.StartTimer()
		c.decide(b, in)
	}
}
