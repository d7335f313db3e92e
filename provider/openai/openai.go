// Package openai is everything known of OpenAI: its addresses, its credentials,
// what its codes mean and where it hides how long to wait.
package openai

import (
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/chat"
	"github.com/holdfast-gateway/holdfast/dialect/responses"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of OpenAI.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "openai",
		BaseURL:    "https://api.openai.com",
		Hosts:      []string{"api.openai.com"},
		Table:      table,
		Endpoint:   endpoint,
		Classify:   table.Classifier(resets, text),
		Sign:       sign,
		Reasoning:  reasoning,
		Dialect:    chat.New(),
		RequestID:  "X-Request-Id",
		StrictEnd:  true,
		Credential: []string{"Authorization"},
	}
}

func endpoint(method, path string) provider.Endpoint {
	if method != http.MethodPost {
		return provider.Endpoint{}
	}
	switch {
	case strings.HasSuffix(path, "/v1/chat/completions"):
		return provider.Endpoint{Op: call.OpChat, Dialect: chat.New()}
	case strings.HasSuffix(path, "/v1/responses"):
		return provider.Endpoint{Op: call.OpResponses, Dialect: responses.New()}
	case strings.HasSuffix(path, "/v1/embeddings"):
		return provider.Endpoint{Op: call.OpEmbeddings, Dialect: chat.New()}
	}
	return provider.Endpoint{}
}

func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	h.Set("Authorization", "Bearer "+string(key))
}

// reasoning knows families by their names; a fine-tuned model carries the name
// of its base after "ft:".
func reasoning(model string) bool {
	model = strings.TrimPrefix(model, "ft:")
	for _, family := range [...]string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(model, family) {
			return true
		}
	}
	return false
}

func resets(e provider.Evidence, _ provider.ErrorBody) (time.Duration, bool) {
	return provider.ResetDurations(e.Header)
}

// text reads the wait from the message: some 429 of the Responses API carry
// neither Retry-After nor any x-ratelimit header.
func text(_ provider.Evidence, body provider.ErrorBody) (time.Duration, bool) {
	return provider.WaitInText(body.Message)
}
