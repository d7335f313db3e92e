// Package anthropic is everything known of Anthropic: its addresses, its
// credentials, what its error types mean and when its limits reset.
package anthropic

import (
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/messages"
	"github.com/holdfast-gateway/holdfast/provider"
)

// Version is the API version that requests without one are given.
const Version = "2023-06-01"

// New returns what is known of Anthropic.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "anthropic",
		BaseURL:    "https://api.anthropic.com",
		Hosts:      []string{"api.anthropic.com"},
		Table:      table,
		Endpoint:   endpoint,
		Classify:   table.Classifier(resets),
		Sign:       sign,
		Reasoning:  func(string) bool { return false }, // thinking is asked for per request, and streamed as it comes
		Dialect:    messages.New(),
		Claims:     claims,
		RequestID:  "Request-Id",
		StrictEnd:  true,
		Credential: []string{"X-Api-Key", "Authorization"},
	}
}

func endpoint(method, path string) provider.Endpoint {
	if method != http.MethodPost {
		return provider.Endpoint{}
	}
	switch {
	case strings.HasSuffix(path, "/v1/messages"):
		return provider.Endpoint{Op: call.OpMessages, Dialect: messages.New()}
	case strings.HasSuffix(path, "/v1/messages/count_tokens"):
		return provider.Endpoint{Op: call.OpCountTokens, Dialect: messages.New()}
	}
	return provider.Endpoint{}
}

// claims: every client of this API names its version; a browser may not.
func claims(h http.Header, path string) bool {
	return h.Get("Anthropic-Version") != "" || strings.Contains(path, "/v1/messages")
}

func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	h.Set("X-Api-Key", string(key))
	if h.Get("Anthropic-Version") == "" {
		h.Set("Anthropic-Version", Version)
	}
}

// resets reads the anthropic-ratelimit headers: a 429 has not always carried
// Retry-After.
func resets(e provider.Evidence, _ provider.ErrorBody) (time.Duration, bool) {
	return provider.ResetTimes(e.Header, "Anthropic-Ratelimit-", e.Now)
}
