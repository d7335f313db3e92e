package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

// askedWith makes a call and returns its answer, which has been read.
func (g *gateway) askedWith(header ...string) (*http.Response, string) {
	g.t.Helper()
	req, err := http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(`{"model":"chat","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp, string(body)
}

// shown is the operators' view of limits and budgets.
func (g *gateway) shown() (s holdfast.Status) {
	g.t.Helper()
	resp, err := http.Get("http://" + g.AdminAddr() + "/api/v1/status")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		g.t.Fatal(err)
	}
	return s
}

func TestTheLimitsOfAKeyAreEnforcedAndAReloadKeepsThem(t *testing.T) {
	alice, aliceDigest := keys.New()
	bob, bobDigest := keys.New()
	entry := fmt.Sprintf(`keys:
  alice: {sha256: %q, tenant: acme, limits: {rate: 3/h, block_for: 1h}, budget: {tokens_per_day: 1M, max_tokens: 100}}
  bob: {sha256: %q, tenant: acme}
tenants:
  acme: {limits: {rate: 5/h}}
`, aliceDigest, bobDigest)
	g := start(t, oneRoute+entry, server.Options{Watch: 5 * time.Millisecond})
	for i := range 3 {
		if resp, body := g.askedWith("X-Api-Key", alice); resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("RateLimit"), fmt.Sprintf(`"key";r=%d`, 2-i)) {
			t.Fatalf("call %d: %d, RateLimit %q: %s", i, resp.StatusCode, resp.Header.Get("RateLimit"), body)
		}
	}
	g.edit(func(s string) string { return s + "\nmax_answer: 4MiB\n" })
	waitFor(t, "the reload", func() bool {
		resp, _ := g.askedWith("X-Api-Key", alice)
		return resp.StatusCode == 429 && len(g.shown().Limits) == 2
	})
	resp, body := g.askedWith("X-Api-Key", alice)
	if resp.StatusCode != 429 || !strings.Contains(body, "rate_limit_exceeded") || resp.Header.Get("X-Holdfast-Reason") != "rate_limited" ||
		resp.Header.Get("Retry-After") != "" || resp.Header.Get("X-Should-Retry") != "false" || resp.Header.Get("X-Holdfast-Retry-After-S") == "" {
		t.Errorf("blocked for an hour: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	for i := range 3 { // what alice was refused cost her tenant nothing
		if got := g.statusWith("X-Api-Key", bob); (got == 200) != (i < 2) {
			t.Errorf("bob's call %d: %d, want two answers and then the limit of the tenant", i, got)
		}
	}
	s := g.shown()
	if l := s.Limits[0]; l.Of != "alice" || !l.Blocked || l.Counts.Admitted != 3 || s.Limits[1].Of != "acme" || s.Limits[1].Counts.Admitted != 5 {
		t.Errorf("limits %+v", s.Limits)
	}
	if b := s.Budgets; len(b) != 1 || b[0].Name != "key alice" || b[0].Tokens == 0 || b[0].TokensHeld != 0 || b[0].TokensPerDay != 1_000_000 {
		t.Errorf("budgets %+v", b)
	}
	story := g.explained(resp.Header.Get("X-Holdfast-Request-Id"))
	if !strings.Contains(story, `"limits":[{"name":"key","decision":"refused"`) {
		t.Errorf("the story does not say which limit refused: %s", story)
	}
	if _, m := g.get("http://" + g.AdminAddr() + "/metrics"); !strings.Contains(m, `holdfast_ratelimit_decisions_total{decision="admitted",limit="key"} 3`) {
		t.Error("the metrics do not say what the limit decided")
	}
}

// explained is the story of a call, once it is told.
func (g *gateway) explained(id string) (story string) {
	g.t.Helper()
	waitFor(g.t, "the story", func() bool {
		_, story = g.get("http://" + g.AdminAddr() + "/api/v1/requests/" + id)
		story = strings.NewReplacer(" ", "", "\n", "").Replace(story)
		return strings.Contains(story, `"running":false`)
	})
	return story
}

func TestAnAddressBehindATrustedProxyHasALimitOfItsOwn(t *testing.T) {
	g := start(t, oneRoute+`
limits:
  address: {per: ip, rate: 1/h}
trusted_proxies: [127.0.0.0/8, "::1"]
`, server.Options{})
	ask := func(forwarded string) int { return g.statusWith("X-Forwarded-For", forwarded) }
	for _, c := range []struct {
		forwarded string
		want      int
	}{
		{"203.0.113.1", 200},
		{"203.0.113.1", 429},
		{"198.51.100.7, 203.0.113.1", 429}, // what a caller makes up changes nothing
		{"203.0.113.2", 200},
		{"2001:db8::1", 200},
		{"2001:db8::ffff", 429}, // of the same /64
	} {
		if got := ask(c.forwarded); got != c.want {
			t.Errorf("from %s: %d, want %d", c.forwarded, got, c.want)
		}
	}
}

func TestAStrangersForwardingHeaderIsNotBelieved(t *testing.T) {
	g := start(t, oneRoute+"\nlimits:\n  address: {per: ip, rate: 1/h}\n", server.Options{})
	if first, second := g.statusWith("X-Forwarded-For", "203.0.113.1"), g.statusWith("X-Forwarded-For", "203.0.113.2"); first != 200 || second != 429 {
		t.Errorf("%d and %d, want 200 and 429: both came from one address", first, second)
	}
}
