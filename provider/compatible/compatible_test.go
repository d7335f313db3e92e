package compatible_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/compatible"
)

func TestProfilesStandInAlphabeticalOrderAndAreFoundByName(t *testing.T) {
	var names []string
	for _, v := range compatible.Vendors() {
		names = append(names, v.Name)
		if got := compatible.Named(v.Name); got == nil || got.Name != v.Name {
			t.Errorf("%s is not found by its name", v.Name)
		}
	}
	if !slices.IsSorted(names) || compatible.Named("openai") != nil {
		t.Errorf("got %q", names)
	}
}

func TestARequestFindsTheAddressOfEachServer(t *testing.T) {
	for name, want := range map[string]string{
		"deepseek":   "https://api.deepseek.com/chat/completions",
		"fireworks":  "https://api.fireworks.ai/inference/v1/chat/completions",
		"groq":       "https://api.groq.com/openai/v1/chat/completions",
		"mistral":    "https://api.mistral.ai/v1/chat/completions",
		"ollama":     "http://127.0.0.1:11434/v1/chat/completions",
		"openrouter": "https://openrouter.ai/api/v1/chat/completions",
		"perplexity": "https://api.perplexity.ai/chat/completions",
		"together":   "https://api.together.xyz/v1/chat/completions",
		"xai":        "https://api.x.ai/v1/chat/completions",
	} {
		v := compatible.Named(name)
		base, _ := url.Parse(v.BaseURL)
		asked, _ := url.Parse("http://gateway.test/v1/chat/completions")
		if got := v.URL(provider.Place{Base: base, Asked: asked, Model: "m"}); got.String() != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestModelsThatThinkAreGivenTime(t *testing.T) {
	cases := []struct {
		vendor, model string
		want          bool
	}{
		{"deepseek", "deepseek-reasoner", true}, {"deepseek", "deepseek-chat", false},
		{"openrouter", "deepseek/deepseek-r1", true}, {"openrouter", "anthropic/claude-3.5-haiku", false},
		{"xai", "grok-4.3", true}, {"xai", "grok-3", false}, {"groq", "openai/GPT-OSS-120b", true}, {"vllm", "", false},
	}
	for _, c := range cases {
		if got := compatible.Named(c.vendor).Reasoning(c.model); got != c.want {
			t.Errorf("%s at %s: got %v", c.model, c.vendor, got)
		}
	}
}

func TestGroqsTokensAreCountedWhereItCountsThem(t *testing.T) {
	d := compatible.Named("groq").Endpoint("POST", "/v1/chat/completions").Dialect
	var s call.Stream
	d.Frame(nil, []byte(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":18,"completion_tokens":73}}}`), &s)
	if want := (call.Usage{Input: 18, Output: 73, Known: true}); s.Usage != want {
		t.Errorf("got %+v, want %+v", s.Usage, want)
	}
	for usage, want := range map[string]call.Usage{
		`{"prompt_tokens":-1,"completion_tokens":1e300}`:       {Odd: true},
		`{"prompt_tokens":18,"completion_tokens":1e12}`:        {Input: 18, Known: true, Odd: true},
		`{"prompt_tokens":18}`:                                 {Input: 18, Known: true},
		`{"prompt_tokens":null,"completion_tokens":"seventy"}`: {Odd: true},
		`{"queue_time":0.02}`:                                  {},
	} {
		s = call.Stream{}
		d.Frame(nil, []byte(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":`+usage+`}}`), &s)
		if s.Usage != want {
			t.Errorf("%s: got %+v, want %+v", usage, s.Usage, want)
		}
	}
}
