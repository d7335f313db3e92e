package compatible_test

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/compatible"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestEveryCompatibleServerPassesTheSuite(t *testing.T) {
	for _, v := range compatible.Vendors() {
		t.Run(v.Name, func(t *testing.T) { providertest.Run(t, v, exchanges[v.Name]) })
	}
	for name := range exchanges {
		if !slices.ContainsFunc(compatible.Vendors(), func(v *provider.Vendor) bool { return v.Name == name }) {
			t.Errorf("exchanges of %s, and no such profile", name)
		}
	}
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = map[string][]providertest.Expect{
	"compatible": {
		{ID: "own/400-context-length-by-text", Class: call.ContextLength},
		{ID: "own/400-context-size-by-type", Class: call.ContextLength},
		{ID: "own/401-detail", Class: call.Auth},
		{ID: "own/404-model", Class: call.NotFound},
		{ID: "own/429-quota", Class: call.QuotaExhausted},
		{ID: "own/429-resets", Class: call.Throttled, Wait: 10 * time.Second},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-200-with-an-error", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"deepseek": {
		{ID: "own/400-content-risk", Class: call.PolicyViolation, Category: "content_risk"},
		{ID: "own/402-balance", Class: call.QuotaExhausted},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/503-overloaded", Class: call.Overloaded},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"fireworks": {
		{ID: "own/400-too-long", Class: call.ContextLength},
		{ID: "own/412-suspended", Class: call.QuotaExhausted},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/503-busy", Class: call.Overloaded},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"groq": {
		{ID: "own/400-tool-use-failed", Class: call.BadResponse},
		{ID: "own/413-larger-than-a-minute", Class: call.ContextLength},
		{ID: "own/429-tokens", Class: call.Throttled, Wait: 8 * time.Second},
		{ID: "own/498-flex", Class: call.Overloaded},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"llamacpp": {
		{ID: "own/400-context", Class: call.ContextLength},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/503-loading", Class: call.Overloaded},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"lmstudio": {
		{ID: "own/400-context", Class: call.ContextLength},
		{ID: "own/404-nothing-loaded", Class: call.NotFound},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"mistral": {
		{ID: "own/400-invalid-model", Class: call.NotFound},
		{ID: "own/400-too-large", Class: call.ContextLength},
		{ID: "own/422-detail-list", Class: call.ClientError},
		{ID: "own/429-capacity", Class: call.Overloaded},
		{ID: "own/429-capacity-by-code", Class: call.Overloaded},
		{ID: "own/429-rate", Class: call.Throttled},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"ollama": {
		{ID: "own/404-model", Class: call.NotFound},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/503-busy", Class: call.Overloaded},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
		{ID: "own/native-error", Class: call.ProviderFault},
		{ID: "own/native-ok", Class: call.OK},
	},
	"openrouter": {
		{ID: "own/402-credits", Class: call.QuotaExhausted},
		{ID: "own/403-flagged", Class: call.PolicyViolation, Category: "moderation"},
		{ID: "own/404-no-endpoints", Class: call.NotFound},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/502-provider", Class: call.ProviderFault},
		{ID: "own/503-no-provider", Class: call.Overloaded},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-ok-after-blank-lines", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
		{ID: "own/chat-stream-error", Class: call.ProviderFault},
	},
	"perplexity": {
		{ID: "own/400-model", Class: call.NotFound},
		{ID: "own/401-html", Class: call.Auth},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"together": {
		{ID: "own/403-too-long", Class: call.ContextLength},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/503-overloaded", Class: call.Overloaded},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"vllm": {
		{ID: "own/400-length", Class: call.ContextLength},
		{ID: "own/404-model", Class: call.NotFound},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
	"xai": {
		{ID: "own/400-too-long", Class: call.ContextLength},
		{ID: "own/403-guidelines", Class: call.PolicyViolation, Category: "usage_guidelines"},
		{ID: "own/403-no-access", Class: call.Auth},
		{ID: "own/403-no-credits", Class: call.QuotaExhausted},
		{ID: "own/403-spending-limit", Class: call.QuotaExhausted},
		{ID: "own/429-rate", Class: call.Throttled},
		{ID: "own/429-spending-limit", Class: call.QuotaExhausted},
		{ID: "own/500-html", Class: call.ProviderFault},
		{ID: "own/chat-ok", Class: call.OK},
		{ID: "own/chat-stream", Class: call.OK},
	},
}
