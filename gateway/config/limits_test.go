package config

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/ratelimit"
)

const limitsHead = "version: 1\nproviders:\n  openai: {api_key: \"${OPENAI_API_KEY}\"}\nroutes:\n  chat: {targets: [openai/gpt-4o]}\n"

// inForce are the limits that the front door has with a file.
func inForce(t *testing.T, text string) holdfast.Config {
	t.Helper()
	f, err := parse("holdfast.yaml", []byte(limitsHead+text), testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.holdfast(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if c, err = c.Effective(); err != nil {
		t.Fatal(err)
	}
	return c
}

func names(limits []holdfast.Limit) string {
	var all []string
	for _, l := range limits {
		all = append(all, strings.TrimSuffix(l.Name+" "+l.Of, " "))
	}
	return strings.Join(all, ", ")
}

func TestTheLimitsOfAFileTakeThePlaceOfTheProfiles(t *testing.T) {
	const key = "keys:\n  web: {sha256: 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4, limits: {rate: 5/s, concurrency: 3}}\n"
	for _, c := range []struct{ what, text, want string }{
		{"standard", "", ""},
		{"interactive", "profile: interactive\n", "client"},
		{"interactive, none wanted", "profile: interactive\nlimits: {}\n", ""},
		{"interactive, and a key's", "profile: interactive\n" + key, "client, key web"},
		{"interactive, with others", "profile: interactive\nlimits:\n  address: {per: ip, rate: 1/s}\n" + key, "address, key web"},
	} {
		if got := names(inForce(t, c.text).Limits); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestALimitBecomesWhatTheFileSays(t *testing.T) {
	c := inForce(t, `
limits:
  team: {per: "header:X-Team", rate: 10/30s, block_for: 1m, mode: window, compat: true, shadow: true, max_keys: 10, routes: chat}
keys:
  web:
    sha256: 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4
    tenant: acme
    limits: {rate: 20/s, burst: 40, block_for: 2s, tokens_per_minute: 200k, concurrency: 10}
    budget: {usd_per_day: 1.5, tokens_per_day: 2M, max_tokens: 1, max_choices: 2, max_tools: 3, max_body: 4KiB}
tenants:
  acme: {limits: {rate: 1/d}}
prices:
  gpt-*: {input: 2.5, output: 10, cached: 1.25}
`)
	team := holdfast.Limit{Name: "team", Per: "header:X-Team", Routes: []string{"chat"},
		Config: ratelimit.Config{Points: 10, Duration: 30 * time.Second, BlockFor: time.Minute, Mode: "window", Compat: true, Shadow: true, MaxKeys: 10}}
	web := holdfast.Limit{Name: "key", Per: "key", Of: "web", Concurrency: 10,
		Config: ratelimit.Config{Points: 20, Duration: time.Second, Burst: 40, BlockFor: 2 * time.Second}}
	tokens := holdfast.Limit{Name: "key-tokens", Per: "key", Of: "web", Unit: "tokens", Config: ratelimit.Config{Points: 200_000, Duration: time.Minute}}
	acme := holdfast.Limit{Name: "tenant", Per: "tenant", Of: "acme", Config: ratelimit.Config{Points: 1, Duration: 24 * time.Hour}}
	for i, want := range []holdfast.Limit{team, web, tokens, acme} {
		if got := c.Limits[i]; got.Name != want.Name || got.Per != want.Per || got.Of != want.Of || got.Unit != want.Unit || got.Concurrency != want.Concurrency ||
			strings.Join(got.Routes, " ") != strings.Join(want.Routes, " ") || got.Config != want.Config {
			t.Errorf("limit %d:\ngot  %+v\nwant %+v", i, got, want)
		}
	}
	if b := c.Budgets; len(b) != 1 || b[0].Per != "key" || b[0].Of != "web" || b[0].USDPerDay != 1.5 || b[0].TokensPerDay != 2_000_000 ||
		b[0].MaxTokens != 1 || b[0].MaxChoices != 2 || b[0].MaxTools != 3 || b[0].MaxBody != 4096 {
		t.Errorf("budgets %+v", b)
	}
	if p := c.Prices["gpt-*"]; p.Input != 2.5 || p.Output != 10 || p.Cached != 1.25 {
		t.Errorf("price %+v", p)
	}
}
