package sim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/sim"
)

// tell asks a vendor for one answer.
func tell(t *testing.T, p *sim.Provider, path, body string, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(text)
}

const hello = `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`

func TestAVendorHasItsOwnPathsAndNoOther(t *testing.T) {
	cases := []struct {
		vendor, path string
		status       int
	}{
		{"openai", "/v1/chat/completions", 200},
		{"openai", "/chat/completions", 404},
		{"anthropic", "/v1/messages", 200},
		{"anthropic", "/v1/chat/completions", 404},
		{"azure", "/openai/deployments/d/chat/completions?api-version=2024-10-21", 200},
		{"azure", "/openai/deployments/d/chat/completions", 404},
		{"azure", "/openai/v1/chat/completions", 200},
		{"azure", "/models/chat/completions?api-version=2024-05-01-preview", 200},
		{"azure", "/v1/chat/completions", 404},
		{"groq", "/openai/v1/chat/completions", 200},
		{"groq", "/v1/chat/completions", 404},
		{"openrouter", "/api/v1/chat/completions", 200},
		{"perplexity", "/chat/completions", 200},
		{"perplexity", "/v1/chat/completions", 404},
		{"http", "/any/where", 200},
	}
	for _, c := range cases {
		p := sim.New(sim.Config{Vendor: c.vendor})
		if status, text := tell(t, p, c.path, hello); status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.vendor, c.path, status, text, c.status)
		}
	}
}

func TestAVendorWordsItsErrors(t *testing.T) {
	cases := []struct {
		vendor, path, fault string
		status              int
		part                string
	}{
		{"azure", "/openai/v1/chat/completions", "prompt-blocked", 400, `"innererror":{"code":"ResponsibleAIPolicyViolation"`},
		{"azure", "/openai/v1/chat/completions", "not-found", 404, `DeploymentNotFound`},
		{"mistral", "/v1/chat/completions", "auth", 401, `{"detail":`},
		{"xai", "/v1/chat/completions", "auth", 400, `"error":"Incorrect API key`},
		{"openrouter", "/api/v1/chat/completions", "prompt-blocked", 403, `"code":403`},
		{"deepseek", "/chat/completions", "429-quota", 402, `Insufficient Balance`},
		{"lmstudio", "/v1/chat/completions", "500", 500, `{"error":"`},
		{"vllm", "/v1/chat/completions", "context-length", 400, `"object":"error"`},
		{"llamacpp", "/v1/chat/completions", "context-length", 400, `exceed_context_size_error`},
	}
	for _, c := range cases {
		p := sim.New(sim.Config{Vendor: c.vendor})
		status, text := tell(t, p, c.path, strings.Replace(hello, `"m"`, `"sim/`+c.fault+`"`, 1))
		if status != c.status || !strings.Contains(text, c.part) || !json.Valid([]byte(text)) {
			t.Errorf("%s, %s: %d %s, want %d with %s", c.vendor, c.fault, status, text, c.status, c.part)
		}
	}
}

func TestAVendorsStreamsHaveItsHabits(t *testing.T) {
	streamed := strings.Replace(hello, `{`, `{"stream":true,`, 1)
	for vendor, want := range map[string]struct {
		path, first, last string
	}{
		"azure":      {"/openai/v1/chat/completions", `data: {"choices":[]`, "data: [DONE]\n\n"},
		"openrouter": {"/api/v1/chat/completions", ": PROCESSING", "data: [DONE]\n\n"},
		"perplexity": {"/chat/completions", `data: {"id"`, "\"finish_reason\":\"length\"}]}\n\n"},
		"groq":       {"/openai/v1/chat/completions", `data: {"id"`, "data: [DONE]\n\n"},
	} {
		_, text := tell(t, sim.New(sim.Config{Vendor: vendor}), want.path, streamed)
		if !strings.HasPrefix(text, want.first) || !strings.HasSuffix(text, want.last) || vendor == "groq" != strings.Contains(text, "x_groq") {
			t.Errorf("%s: %q", vendor, text)
		}
	}
}

func TestAVendorCountsCredentialsThatAreNotItsOwn(t *testing.T) {
	cases := []struct {
		name, vendor string
		headers      []string
		stray        int
	}{
		{"its key in its header", "azure", []string{"Api-Key", "mine"}, 0},
		{"its key as a token", "azure", []string{"Authorization", "Bearer mine"}, 0},
		{"somebody else's key", "azure", []string{"Api-Key", "theirs"}, 1},
		{"its key and somebody else's", "azure", []string{"Api-Key", "mine", "X-Api-Key", "theirs"}, 1},
		{"its key in another header", "openai", []string{"X-Api-Key", "mine"}, 1},
		{"a cookie", "openai", []string{"Authorization", "Bearer mine", "Cookie", "a=b"}, 1},
		{"no credential", "openai", nil, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := sim.New(sim.Config{Vendor: c.vendor, Dials: sim.Dials{RequiredKey: "mine"}})
			path := "/v1/chat/completions"
			if c.vendor == "azure" {
				path = "/openai" + path
			}
			tell(t, p, path, hello, c.headers...)
			log := p.Log()
			if p.Counts().Stray != c.stray || log[0].Stray != (c.stray > 0) || log[0].Path != path || log[0].Host == "" {
				t.Errorf("%d stray, %+v; want %d", p.Counts().Stray, log[0], c.stray)
			}
		})
	}
}

func TestNobodyIsAVendorThatIsNotKnown(t *testing.T) {
	if names := sim.Vendors(); !slices.IsSorted(names) || !slices.Contains(names, "azure") {
		t.Errorf("got %q", names)
	}
	defer func() {
		if recover() == nil {
			t.Error("a vendor that nobody knows was made")
		}
	}()
	_ = http.Handler(sim.New(sim.Config{Vendor: "nobody"}))
}
