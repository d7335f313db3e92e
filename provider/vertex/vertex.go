// Package vertex is what is known of Gemini on Google Cloud's Vertex AI: its
// codes, and how its answers end. They are mostly Gemini's; the credential is
// not. Nobody speaks its dialect here yet, so that no request is sent to it.
package vertex

import (
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of Vertex AI.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "vertex",
		BaseURL:    "https://aiplatform.googleapis.com",
		Hosts:      []string{"aiplatform.googleapis.com", ".aiplatform.googleapis.com"},
		Table:      table,
		Endpoint:   func(string, string) provider.Endpoint { return provider.Endpoint{} },
		Classify:   table.Classifier(text),
		Sign:       sign,
		Reasoning:  func(string) bool { return false },
		Answers:    &answers,
		RequestID:  "X-Request-Id",
		Credential: []string{"Authorization"},
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
	h.Set("Authorization", "Bearer "+string(key))
}

func text(_ provider.Evidence, body provider.ErrorBody) (time.Duration, bool) {
	return provider.WaitInText(body.Message)
}
