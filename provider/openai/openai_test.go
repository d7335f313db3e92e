package openai_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/openai"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestOpenAIPassesTheSuite(t *testing.T) {
	providertest.Run(t, openai.New(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/302-login", Class: call.BadResponse},
	{ID: "own/400-content-filter", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/400-content-policy", Class: call.PolicyViolation, Category: "content_policy_violation"},
	{ID: "own/400-context-length", Class: call.ContextLength},
	{ID: "own/400-invalid-prompt", Class: call.ClientError},
	{ID: "own/400-invalid-request", Class: call.ClientError},
	{ID: "own/401-invalid-key", Class: call.Auth},
	{ID: "own/401-no-key", Class: call.Auth},
	{ID: "own/403-firewall", Class: call.BadResponse},
	{ID: "own/403-model", Class: call.NotFound},
	{ID: "own/403-region", Class: call.Auth},
	{ID: "own/404-model", Class: call.NotFound},
	{ID: "own/404-unknown-url", Class: call.ClientError},
	{ID: "own/408-timeout", Class: call.Conflict},
	{ID: "own/409-conflict", Class: call.Conflict},
	{ID: "own/422-unprocessable", Class: call.ClientError},
	{ID: "own/429-credit-balance-exhausted", Class: call.QuotaExhausted},
	{ID: "own/429-insufficient-quota", Class: call.QuotaExhausted},
	{ID: "own/429-organization-spend-limit-exceeded", Class: call.QuotaExhausted},
	{ID: "own/429-organization-usage-limit-exceeded", Class: call.QuotaExhausted},
	{ID: "own/429-project-spend-limit-exceeded", Class: call.QuotaExhausted},
	{ID: "own/429-requests", Class: call.Throttled, Wait: 20 * time.Second},
	{ID: "own/429-slow-down", Class: call.Throttled},
	{ID: "own/429-tokens-reset-headers", Class: call.Throttled, Wait: 6 * time.Minute},
	{ID: "own/500-server-error", Class: call.ProviderFault},
	{ID: "own/500-that-talks-of-context", Class: call.ProviderFault},
	{ID: "own/502-html", Class: call.ProviderFault},
	{ID: "own/503-overloaded", Class: call.Overloaded},
	{ID: "own/503-retry-after", Class: call.Overloaded, Wait: 5 * time.Second},
	{ID: "own/503-slow-down", Class: call.Throttled},
	{ID: "own/chat-200-html", Class: call.BadResponse},
	{ID: "own/chat-200-with-an-error", Class: call.ProviderFault},
	{ID: "own/chat-200-without-choices", Class: call.BadResponse},
	{ID: "own/chat-content-filter", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/chat-ok", Class: call.OK},
	{ID: "own/chat-ok-behind-a-prefix", Class: call.OK},
	{ID: "own/chat-ok-two-choices", Class: call.OK},
	{ID: "own/chat-refusal", Class: call.PolicyViolation, Category: "refusal"},
	{ID: "own/chat-stream", Class: call.OK},
	{ID: "own/chat-stream-content-filter", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/chat-stream-error", Class: call.ProviderFault},
	{ID: "own/chat-stream-keepalive", Class: call.OK},
	{ID: "own/chat-stream-rate-limited", Class: call.Throttled, Wait: 2 * time.Second},
	{ID: "own/chat-stream-refusal", Class: call.PolicyViolation, Category: "refusal"},
	{ID: "own/chat-stream-tool-call", Class: call.OK},
	{ID: "own/embeddings-ok", Class: call.OK},
	{ID: "own/files-404-by-id", Class: call.ClientError},
	{ID: "own/responses-content-filter", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/responses-failed", Class: call.ProviderFault},
	{ID: "own/responses-incomplete", Class: call.OK},
	{ID: "own/responses-ok", Class: call.OK},
	{ID: "own/responses-ok-background", Class: call.OK},
	{ID: "own/responses-refusal", Class: call.PolicyViolation, Category: "refusal"},
	{ID: "own/responses-stream", Class: call.OK},
	{ID: "own/responses-stream-bio-policy", Class: call.PolicyViolation, Category: "bio_policy"},
	{ID: "own/responses-stream-content-filter", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/responses-stream-error-event", Class: call.Throttled},
	{ID: "own/responses-stream-failed", Class: call.ProviderFault},
	{ID: "own/responses-stream-incomplete", Class: call.OK},
	{ID: "own/responses-stream-invalid-prompt", Class: call.ClientError},
	{ID: "own/responses-stream-refusal", Class: call.PolicyViolation, Category: "refusal"},
	{ID: "own/responses-stream-too-long", Class: call.ContextLength},
}
