package compatible

import (
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// common are the words that compatible servers took over from OpenAI, and the
// sentences of the engines that most of them run.
var common = provider.Table{
	{Code: "insufficient_quota", Class: call.QuotaExhausted},
	{Code: "credit_balance_exhausted", Class: call.QuotaExhausted},
	{Code: "billing_hard_limit_reached", Class: call.QuotaExhausted},
	{Code: "content_policy_violation", Class: call.PolicyViolation, Category: "content_policy_violation"},
	{Code: "content_filter", Class: call.PolicyViolation, Category: "content_filter"},
	{Code: "context_length_exceeded", Class: call.ContextLength},
	{Code: "rate_limit_exceeded", Class: call.Throttled},
	{Code: "slow_down", Class: call.Throttled},
	{Code: "server_is_overloaded", Class: call.Overloaded},
	{Code: "invalid_api_key", Class: call.Auth, Note: "whatever its status"},
	{Code: "model_not_found", Class: call.NotFound},
	{Type: "insufficient_quota", Class: call.QuotaExhausted},
	{Type: "invalid_api_key", Class: call.Auth, Note: "whatever its status"},
	{Type: "authentication_error", Status: 400, Class: call.Auth},
	{Type: "service_unavailable_error", Class: call.Overloaded},
	{Type: "overloaded_error", Class: call.Overloaded},
	{Type: "exceed_context_size_error", Class: call.ContextLength, Note: "llama.cpp and what is built on it"},
	{Contains: "maximum context length", Status: 400, Class: call.ContextLength, Note: "vLLM and what is built on it"},
	{Contains: "exceeds the available context size", Status: 400, Class: call.ContextLength, Note: "llama.cpp and what is built on it"},
	{Contains: "incorrect api key", Status: 400, Class: call.Auth},
	{Contains: "invalid api key", Status: 400, Class: call.Auth},
}

// profiles is the list, in alphabetical order.
var profiles = []Profile{
	{Name: "compatible", Think: []string{"o1", "o3", "o4", "gpt-5", "deepseek-r", "qwq", "gpt-oss"}},
	{
		Name: "deepseek", BaseURL: "https://api.deepseek.com", Hosts: []string{"api.deepseek.com"},
		Bare: true, Done: true, Think: []string{"deepseek-reasoner", "deepseek-r"},
		Rows: provider.Table{
			{Contains: "content exists risk", Status: 400, Class: call.PolicyViolation, Category: "content_risk", Note: "there is no code for it"},
			{Contains: "insufficient balance", Status: 402, Class: call.QuotaExhausted},
			{Status: 503, Own: true, Class: call.Overloaded, Note: "\"Server Overloaded\", without a wait"},
		},
	},
	{
		Name: "fireworks", BaseURL: "https://api.fireworks.ai/inference/v1", Hosts: []string{"api.fireworks.ai"},
		Done: true, Think: []string{"deepseek-r", "qwq", "gpt-oss"},
		Rows: provider.Table{
			{Contains: "prompt is too long", Status: 400, Class: call.ContextLength},
			{Contains: "suspended", Status: 412, Class: call.QuotaExhausted, Note: "an account at its spending limit"},
			{Status: 503, Own: true, Class: call.Overloaded},
		},
	},
	{
		Name: "groq", BaseURL: "https://api.groq.com/openai/v1", Hosts: []string{"api.groq.com"},
		Done: true, Think: []string{"deepseek-r", "qwen-qwq", "gpt-oss"}, Usage: []string{"x_groq", "usage"},
		Rows: provider.Table{
			{Status: 413, Code: "rate_limit_exceeded", Class: call.ContextLength, Note: "this request alone is larger than a minute's tokens: waiting never helps"},
			{Code: "capacity_exceeded", Class: call.Overloaded, Note: "498, the flex tier"},
			{Code: "model_decommissioned", Class: call.NotFound},
			{Code: "organization_restricted", Class: call.Auth},
			{Code: "tool_use_failed", Class: call.BadResponse, Note: "a 400 though the model, not the caller, wrote the broken call"},
			{Code: "json_validate_failed", Class: call.BadResponse, Note: "as above, for structured output"},
			{Status: 498, Class: call.Overloaded, Note: "the flex tier is full"},
		},
	},
	{
		Name: "llamacpp", Own: true, BaseURL: "http://127.0.0.1:8080/v1", Done: true, Think: []string{"deepseek-r", "qwq", "gpt-oss"},
		Rows: provider.Table{
			{Type: "unavailable_error", Class: call.Overloaded, Note: "the model is being loaded"},
			{Type: "authentication_error", Class: call.Auth},
		},
	},
	{
		Name: "lmstudio", Own: true, BaseURL: "http://127.0.0.1:1234/v1", Done: true, Think: []string{"deepseek-r", "qwq", "gpt-oss"},
		Rows: provider.Table{
			{Contains: "context length of only", Status: 400, Class: call.ContextLength, Note: "the model was loaded with a smaller window"},
			{Contains: "no models loaded", Status: 400, Through: 404, Class: call.NotFound},
		},
	},
	{
		Name: "mistral", GenAI: "mistral_ai", BaseURL: "https://api.mistral.ai", Hosts: []string{"api.mistral.ai", "codestral.mistral.ai"},
		Done: true, Think: []string{"magistral"},
		Rows: provider.Table{
			{Code: "3505", Class: call.Overloaded, Note: "service tier capacity exceeded: a 429 that is no limit of ours"},
			{Code: "1300", Class: call.Throttled},
			{Code: "1500", Class: call.NotFound, Note: "invalid_model, under a 400"},
			{Code: "3051", Class: call.ContextLength},
			{Type: "service_tier_capacity_exceeded", Class: call.Overloaded},
			{Type: "invalid_model", Class: call.NotFound, Note: "a 400"},
			{Contains: "capacity exceeded", Status: 429, Class: call.Overloaded, Note: "the same, when code and type say nothing"},
			{Contains: "too large for model with", Status: 400, Class: call.ContextLength},
		},
	},
	{
		Name: "ollama", Own: true, BaseURL: "http://127.0.0.1:11434/v1", Hosts: []string{"ollama.com"},
		Done: true, Think: []string{"deepseek-r", "qwq", "qwen3", "gpt-oss", "magistral"},
		Rows: provider.Table{
			{Contains: "input length exceeds", Status: 400, Class: call.ContextLength, Note: "embeddings; chats are cut in silence"},
			{Status: 503, Own: true, Class: call.Overloaded, Note: "\"server busy\": its queue is full"},
		},
		Answers: &provider.Answers{ // of /api/chat and /api/generate: lines of JSON
			Content: []string{"message.content", "message.thinking", "message.tool_calls", "response"},
			Finish:  []string{"done_reason"}, Last: "done", Model: "model",
			Input: []string{"prompt_eval_count"}, Output: []string{"eval_count"},
		},
	},
	{
		Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1", Hosts: []string{"openrouter.ai"},
		Done: true, Think: []string{"o1", "o3", "o4", "gpt-5", "deepseek-r", "qwq", "gpt-oss", "grok-4"},
		Rows: provider.Table{
			{Contains: "flagged", Status: 403, Class: call.PolicyViolation, Category: "moderation", Note: "the reasons stand in metadata; there is no code"},
			{Contains: "no endpoints found", Status: 404, Class: call.NotFound},
			{Status: 503, Own: true, Class: call.Overloaded, Note: "no provider is free for this model"},
		},
	},
	{
		Name: "perplexity", BaseURL: "https://api.perplexity.ai", Hosts: []string{"api.perplexity.ai"},
		Bare: true, Think: []string{"sonar-reasoning", "sonar-deep-research"},
		Rows: provider.Table{
			{Type: "invalid_model", Class: call.NotFound, Note: "a 400"},
		},
	},
	{
		Name: "together", BaseURL: "https://api.together.xyz/v1", Hosts: []string{"api.together.xyz", "api.together.ai"},
		Done: true, Think: []string{"deepseek-r", "qwq", "gpt-oss"},
		Rows: provider.Table{
			{Contains: "`inputs` tokens", Status: 400, Through: 422, Class: call.ContextLength, Note: "also a 403"},
			{Contains: "max_new_tokens", Status: 403, Class: call.ContextLength},
			{Status: 503, Own: true, Class: call.Overloaded, Note: "\"engine overloaded\""},
		},
	},
	{
		Name: "vllm", Own: true, BaseURL: "http://127.0.0.1:8000/v1", Done: true, Think: []string{"deepseek-r", "qwq", "gpt-oss"},
		Rows: provider.Table{
			{Contains: "longer than the maximum model length", Status: 400, Class: call.ContextLength},
		},
	},
	{
		Name: "xai", GenAI: "x_ai", BaseURL: "https://api.x.ai", Hosts: []string{"api.x.ai"},
		Done: true, Think: []string{"grok-3-mini", "grok-4"},
		Rows: provider.Table{
			{Contains: "incorrect api key", Status: 400, Class: call.Auth, Note: "invalid-argument is its code for a bad key"},
			{Code: "personal-team-blocked:spending-limit", Class: call.QuotaExhausted, Note: "a 403"},
			{Contains: "credits", Status: 403, Through: 429, Class: call.QuotaExhausted},
			{Contains: "spending limit", Status: 403, Through: 429, Class: call.QuotaExhausted},
			{Contains: "usage guidelines", Status: 400, Through: 403, Class: call.PolicyViolation, Category: "usage_guidelines", Note: "there is no code for it"},
			{Contains: "maximum prompt length", Status: 400, Class: call.ContextLength},
		},
	},
}
