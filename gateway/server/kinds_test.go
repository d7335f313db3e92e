package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/keys"
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

// TestAKeyReachesTheToolsOfItsRoutesAndNoOther: a tool's path says nothing of what
// is asked, so that a key with limits has to name the tool's route.
func TestAKeyReachesTheToolsOfItsRoutesAndNoOther(t *testing.T) {
	seen := make(chan string, 16)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r.URL.Path }))
	t.Cleanup(upstream.Close)
	secret := func(name string) string { return "hfk_0123456789_" + name }
	file := strings.ReplaceAll(kindsFile, "TOOL", upstream.URL)
	file = strings.NewReplacer("AZURE", upstream.URL, "GROQ", upstream.URL).Replace(file)
	file += "  news: {match: {path: /tools/news}, targets: [{target: weather/*, name: news}]}\nkeys:\n"
	for name, rights := range map[string]string{
		"all": "", "named": ", routes: [weather]", "both": ", routes: [weather], models: [gpt-4o]", "models": `, models: ["*"]`, "chat": ", routes: [chat]",
	} {
		file += fmt.Sprintf("  %s: {sha256: %q%s}\n", name, keys.DigestOf(secret(name)), rights)
	}
	g := start(t, file, server.Options{})
	defer g.finish()
	const weather, news = "/tools/weather/berlin", "/tools/news/today"
	for _, c := range []struct {
		key, path string
		want      int
	}{
		{"all", weather, 200}, {"named", weather, 200}, {"both", weather, 200}, {"models", weather, 404}, {"chat", weather, 404},
		{"all", news, 200}, {"named", news, 404}, {"both", news, 404},
		{"named", "/tools/weather/v1/chat/completions", 200}, {"chat", "/tools/weather/v1/chat/completions", 404},
		{"named", "/tools/weather/../news/today", 404}, {"named", "/tools/weatherman", 404}, {"named", "/v1/files", 404},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+g.Addr(), strings.NewReader(`{"model":"gpt-4o"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = c.path
		req.Header.Set("Authorization", "Bearer "+secret(c.key))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		reached := len(seen) > 0
		for len(seen) > 0 {
			<-seen
		}
		if resp.StatusCode != c.want || reached != (c.want == 200) {
			t.Errorf("%s at %s: %d, want %d (reached the tool: %t)", c.key, c.path, resp.StatusCode, c.want, reached)
		}
	}
}
