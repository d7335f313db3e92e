// Package gemini is what is known of Google's models, at the Gemini API and on
// Google Cloud's Vertex AI: their codes, and how their answers end. Both say the
// same; the address and the credential differ. Nobody speaks their dialect here
// yet, so that no request is sent to them.
package gemini

import (
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of the Gemini API.
func New() *provider.Vendor {
	v := vendor("gemini", "X-Goog-Api-Key", "")
	v.GenAI = "gcp.gemini"
	v.BaseURL = "https://generativelanguage.googleapis.com"
	v.Hosts = []string{"generativelanguage.googleapis.com"}
	return v
}

// NewVertex returns what is known of Vertex AI.
func NewVertex() *provider.Vendor {
	v := vendor("vertex", "Authorization", "Bearer ")
	v.GenAI = "gcp.vertex_ai"
	v.BaseURL = "https://aiplatform.googleapis.com"
	v.Hosts = []string{"aiplatform.googleapis.com", ".aiplatform.googleapis.com"}
	return v
}

// vendor returns what both have in common, with the header that the credential
// goes into and what stands before it.
func vendor(name, header, before string) *provider.Vendor {
	return &provider.Vendor{
		Name:     name,
		Table:    table,
		Endpoint: func(string, string) provider.Endpoint { return provider.Endpoint{} },
		Classify: table.Classifier(text),
		Sign: func(h http.Header, key call.Secret) {
			provider.StripCredentials(h)
			h.Set(header, before+string(key))
		},
		Reasoning:  func(string) bool { return false },
		Answers:    &answers,
		RequestID:  "X-Request-Id",
		Credential: []string{header},
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

func text(_ provider.Evidence, body provider.ErrorBody) (time.Duration, bool) {
	return provider.WaitInText(body.Message)
}
