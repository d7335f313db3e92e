package gemini_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/gemini"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestGeminiPassesTheSuite(t *testing.T) {
	providertest.Run(t, gemini.New(), exchanges)
}

func TestVertexPassesTheSuite(t *testing.T) {
	providertest.Run(t, gemini.NewVertex(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/400-region", Class: call.Auth},
	{ID: "own/400-too-long", Class: call.ContextLength},
	{ID: "own/403-permission", Class: call.Auth},
	{ID: "own/404-model", Class: call.ClientError},
	{ID: "own/429-prepaid", Class: call.QuotaExhausted},
	{ID: "own/429-rate", Class: call.Throttled, Wait: 12500 * time.Millisecond},
	{ID: "own/500-internal", Class: call.ProviderFault},
	{ID: "own/503-capacity", Class: call.Overloaded, Wait: 40 * time.Second},
	{ID: "own/504-deadline", Class: call.ProviderFault},
	{ID: "own/blocked-blocklist", Class: call.PolicyViolation, Category: "blocklist"},
	{ID: "own/blocked-image-safety", Class: call.PolicyViolation, Category: "image_safety"},
	{ID: "own/blocked-jailbreak", Class: call.PolicyViolation, Category: "jailbreak"},
	{ID: "own/blocked-model-armor", Class: call.PolicyViolation, Category: "model_armor"},
	{ID: "own/blocked-prohibited-content", Class: call.PolicyViolation, Category: "prohibited_content"},
	{ID: "own/blocked-safety", Class: call.PolicyViolation, Category: "safety"},
	{ID: "own/finish-blocklist", Class: call.PolicyViolation, Category: "blocklist"},
	{ID: "own/finish-image-prohibited-content", Class: call.PolicyViolation, Category: "image_prohibited_content"},
	{ID: "own/finish-image-safety", Class: call.PolicyViolation, Category: "image_safety"},
	{ID: "own/finish-language", Class: call.BadResponse},
	{ID: "own/finish-malformed-function-call", Class: call.BadResponse},
	{ID: "own/finish-other", Class: call.BadResponse},
	{ID: "own/finish-prohibited-content", Class: call.PolicyViolation, Category: "prohibited_content"},
	{ID: "own/finish-recitation", Class: call.PolicyViolation, Category: "recitation"},
	{ID: "own/finish-safety", Class: call.PolicyViolation, Category: "safety"},
	{ID: "own/finish-spii", Class: call.PolicyViolation, Category: "spii"},
	{ID: "own/finish-too-many-tool-calls", Class: call.BadResponse},
	{ID: "own/finish-unexpected-tool-call", Class: call.BadResponse},
	{ID: "own/stream-cut", Class: call.BadResponse},
	{ID: "own/stream-error", Class: call.Overloaded},
	{ID: "own/stream-safety", Class: call.PolicyViolation, Category: "safety"},
}
