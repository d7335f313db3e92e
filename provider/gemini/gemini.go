// Package gemini is what is known of Google's Gemini API: its codes, and how its
// answers end. Nobody speaks its dialect here yet, so that no request is sent to
// it.
package gemini

import (
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of Gemini.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "gemini",
		BaseURL:    "https://generativelanguage.googleapis.com",
		Hosts:      []string{"generativelanguage.googleapis.com"},
		Table:      table,
		Endpoint:   func(string, string) provider.Endpoint { return provider.Endpoint{} },
		Classify:   table.Classifier(text),
		Sign:       sign,
		Reasoning:  func(string) bool { return false },
		Answers:    &answers,
		RequestID:  "X-Request-Id",
		Credential: []string{"X-Goog-Api-Key"},
	}
}

var answers = provider.Answers{
	Content: []string{"candidates.*.content.parts"},
	Finish:  []string{"candidates.*.finishReason"},
	Blocked: []string{"promptFeedback.blockReason"},
	Model:   "modelVersion",
	Input:   []string{"usageMetadata.promptTokenCount"},
	Output:  []string{"usageMetadata.candidatesTokenCount"},
}

func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	h.Set("X-Goog-Api-Key", string(key))
}

func text(_ provider.Evidence, body provider.ErrorBody) (time.Duration, bool) {
	return provider.WaitInText(body.Message)
}
