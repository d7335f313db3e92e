// Package cohere is what is known of Cohere's API: what its statuses mean, which
// is nearly all it says, and how its answers end. Nobody speaks its dialect here
// yet, so that no request is sent to it.
package cohere

import (
	"net/http"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of Cohere.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "cohere",
		BaseURL:    "https://api.cohere.com",
		Hosts:      []string{"api.cohere.com", "api.cohere.ai"},
		Table:      table,
		Endpoint:   func(string, string) provider.Endpoint { return provider.Endpoint{} },
		Classify:   table.Classifier(),
		Sign:       sign,
		Reasoning:  func(string) bool { return false },
		Answers:    &answers,
		RequestID:  "X-Debug-Trace-Id",
		Credential: []string{"Authorization"},
	}
}

var answers = provider.Answers{
	Content: []string{"delta.message.content.text", "delta.message.content.thinking", "delta.message.tool_plan", "delta.message.tool_calls"},
	Finish:  []string{"delta.finish_reason", "finish_reason"},
	Input:   []string{"delta.usage.tokens.input_tokens", "usage.tokens.input_tokens"},
	Output:  []string{"delta.usage.tokens.output_tokens", "usage.tokens.output_tokens"},
}

func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	h.Set("Authorization", "Bearer "+string(key))
}

// table has statuses and sentences: an error body is {"id","message"}.
var table = provider.Table{
	{Finish: "ERROR_TOXIC", Class: call.PolicyViolation, Category: "toxic", Note: "the older API"},
	{Finish: "ERROR_LIMIT", Class: call.ContextLength},
	{Finish: "ERROR", Class: call.ProviderFault},
	{Finish: "TIMEOUT", Class: call.ProviderFault},
	{Finish: "USER_CANCEL", Class: call.ClientError},
	{Contains: "too many tokens", Status: 400, Class: call.ContextLength},
	{Contains: "trial key", Status: 429, Class: call.QuotaExhausted, Note: "the calls of a month are used up"},
	{Status: 498, Class: call.PolicyViolation, Category: "blocked", Note: "the message or the answer was blocked"},
	{Status: 499, Class: call.ClientError, Note: "the request was cancelled"},
}
