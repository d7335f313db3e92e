package server_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/sim"
)

// kindsFile names one provider of each of some kinds, each at the simulated vendor
// of that name.
const kindsFile = head + `
providers:
  azure: {base_url: "AZURE", api_version: "2024-10-21", api_key: azure-key}
  groq: {base_url: "GROQ/openai/v1", api_key: groq-key}
  weather: {kind: http, base_url: "TOOL/api", api_key: tool-key}
routes:
  chat: {match: {model: "gpt*"}, targets: azure/some-deployment}
  fast: {match: {model: "llama*"}, targets: groq/*}
  weather: {match: {path: /tools/weather}, targets: weather/*}
`

func TestKindsAreReachedByModelAndByPath(t *testing.T) {
	file := kindsFile
	vendors := map[string]*sim.Provider{}
	for placeholder, kind := range map[string][2]string{"AZURE": {"azure", "azure-key"}, "GROQ": {"groq", "groq-key"}, "TOOL": {"http", "tool-key"}} {
		vendors[kind[0]] = sim.New(sim.Config{Vendor: kind[0], Dials: sim.Dials{RequiredKey: kind[1]}})
		upstream := httptest.NewServer(vendors[kind[0]])
		t.Cleanup(upstream.Close)
		file = strings.ReplaceAll(file, placeholder, upstream.URL)
	}
	g := start(t, file, server.Options{})
	defer g.finish()
	cases := []struct{ path, model, vendor, want string }{
		{"/v1/chat/completions", "gpt-4o", "azure", "/openai/deployments/some-deployment/chat/completions"},
		{"/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01", "", "azure", "/openai/deployments/some-deployment/chat/completions"},
		{"/v1/chat/completions", "llama-3", "groq", "/openai/v1/chat/completions"},
		{"/tools/weather/berlin", "", "http", "/api/berlin"},
	}
	for _, c := range cases {
		body := `{"messages":[{"role":"user","content":"Hello"}]}`
		if c.model != "" {
			body = fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hello"}]}`, c.model)
		}
		resp, text, err := g.ask(c.path, body)
		log := vendors[c.vendor].Log()
		if err != nil || len(log) == 0 || log[len(log)-1].Path != c.want {
			t.Errorf("%s: %v, %s, %s saw %+v", c.path, err, text, c.vendor, log)
			continue
		}
		if c.model != "" && resp.StatusCode != 200 || c.vendor == "http" && !strings.Contains(text, `"ok":true`) {
			t.Errorf("%s: %d %s", c.path, resp.StatusCode, text)
		}
	}
	for name, v := range vendors {
		if n := v.Counts().Stray; n > 0 {
			t.Errorf("%d credentials went astray to %s", n, name)
		}
	}
}
