package anthropic_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/anthropic"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestAnthropicPassesTheSuite(t *testing.T) {
	providertest.Run(t, anthropic.New(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/400-content-filter", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/400-invalid-request", Class: call.ClientError},
	{ID: "own/400-low-credit", Class: call.QuotaExhausted},
	{ID: "own/400-own-spend-limit", Class: call.QuotaExhausted},
	{ID: "own/400-too-long", Class: call.ContextLength},
	{ID: "own/400-too-long-together", Class: call.ContextLength},
	{ID: "own/401-authentication", Class: call.Auth},
	{ID: "own/402-billing", Class: call.QuotaExhausted},
	{ID: "own/403-permission", Class: call.Auth},
	{ID: "own/404-model", Class: call.NotFound},
	{ID: "own/409-conflict", Class: call.Conflict},
	{ID: "own/413-too-large", Class: call.ClientError},
	{ID: "own/429-enforced-spend-limit", Class: call.QuotaExhausted},
	{ID: "own/429-rate-limit", Class: call.Throttled, Wait: 12 * time.Second},
	{ID: "own/429-reset-headers", Class: call.Throttled, Wait: 30 * time.Second},
	{ID: "own/500-api-error", Class: call.ProviderFault},
	{ID: "own/500-that-talks-of-length", Class: call.ProviderFault},
	{ID: "own/504-timeout", Class: call.ProviderFault},
	{ID: "own/520-html", Class: call.ProviderFault},
	{ID: "own/529-overloaded", Class: call.Overloaded},
	{ID: "own/529-without-a-body", Class: call.Overloaded},
	{ID: "own/batch-404-by-id", Class: call.ClientError},
	{ID: "own/count-tokens-ok", Class: call.OK},
	{ID: "own/messages-200-empty", Class: call.BadResponse},
	{ID: "own/messages-200-html", Class: call.BadResponse},
	{ID: "own/messages-200-with-an-error", Class: call.Overloaded},
	{ID: "own/messages-ok", Class: call.OK},
	{ID: "own/messages-ok-with-query", Class: call.OK},
	{ID: "own/messages-refusal", Class: call.PolicyViolation, Category: "cyber"},
	{ID: "own/messages-refusal-without-category", Class: call.PolicyViolation, Category: "refusal"},
	{ID: "own/messages-stream", Class: call.OK},
	{ID: "own/messages-stream-api-error-at-once", Class: call.ProviderFault},
	{ID: "own/messages-stream-overloaded", Class: call.Overloaded},
	{ID: "own/messages-stream-rate-limited", Class: call.Throttled},
	{ID: "own/messages-stream-refusal", Class: call.PolicyViolation, Category: "bio"},
	{ID: "own/messages-stream-thinking", Class: call.OK},
	{ID: "own/messages-stream-tool-use", Class: call.OK},
	{ID: "own/messages-tool-use", Class: call.OK},
}
