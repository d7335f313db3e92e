package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/keys"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

func TestAnswersFromTheCacheStayWithinTheirTenantAndShowEverywhere(t *testing.T) {
	entry, secrets := "cache: {ttl: 1h, scope: tenant, any_temperature: on}\nkeys:\n", map[string]string{}
	for name, tenant := range map[string]string{"alice": "acme", "bob": "acme", "carol": "other"} {
		secret, digest := keys.New()
		secrets[name] = secret
		entry += fmt.Sprintf("  %s: {sha256: %q, tenant: %s}\n", name, digest, tenant)
	}
	g := start(t, oneRoute+entry, server.Options{})
	as := func(name string) (*http.Response, string) { return g.askedWith("X-Api-Key", secrets[name]) }
	first, body := as("alice")
	for name, want := range map[string]string{"alice": "hit", "bob": "hit", "carol": "miss"} {
		if resp, again := as(name); resp.Header.Get("X-Holdfast-Cache") != want || (again == body) != (want == "hit") {
			t.Errorf("%s: %s, the same answer %t", name, resp.Header.Get("X-Holdfast-Cache"), again == body)
		}
	}
	if first.Header.Get("X-Holdfast-Cache") != "miss" {
		t.Errorf("the first: %v", first.Header)
	}
	resp, _ := as("bob")
	if story := g.explained(resp.Header.Get("X-Holdfast-Request-Id")); !strings.Contains(story, `"cache":"hit"`) {
		t.Errorf("the story does not say where the answer is from: %s", story)
	}
	if s := g.shown().Routes[0]; s.Cache == nil || s.Cache.Entries != 2 || s.Cache.Bytes == 0 {
		t.Errorf("%+v", s.Cache)
	}
	_, m := g.get("http://" + g.AdminAddr() + "/metrics")
	for _, line := range []string{`holdfast_cache_requests_total{result="hit",route="chat"} 3`, `holdfast_cache_requests_total{result="miss",route="chat"} 2`, `holdfast_cache_entries{route="chat"} 2`} {
		if !strings.Contains(m, line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}
}
