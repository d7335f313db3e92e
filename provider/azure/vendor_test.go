package azure_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/azure"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestAzurePassesTheSuite(t *testing.T) {
	providertest.Run(t, azure.New(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/400-context-length", Class: call.ContextLength},
	{ID: "own/400-filter-hate", Class: call.PolicyViolation, Category: "hate"},
	{ID: "own/400-filter-jailbreak", Class: call.PolicyViolation, Category: "jailbreak"},
	{ID: "own/400-filter-other-spelling", Class: call.PolicyViolation, Category: "jailbreak"},
	{ID: "own/400-filter-self-harm", Class: call.PolicyViolation, Category: "self_harm"},
	{ID: "own/400-filter-sexual", Class: call.PolicyViolation, Category: "sexual"},
	{ID: "own/400-filter-violence", Class: call.PolicyViolation, Category: "violence"},
	{ID: "own/400-filter-without-results", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/400-not-for-this-deployment", Class: call.NotFound},
	{ID: "own/401-entra-token", Class: call.Auth},
	{ID: "own/403-no-role", Class: call.Auth},
	{ID: "own/429-calls", Class: call.Throttled, Wait: 6 * time.Second},
	{ID: "own/429-negative-headers", Class: call.Throttled},
	{ID: "own/429-no-capacity", Class: call.Overloaded},
	{ID: "own/429-tokens", Class: call.Throttled, Wait: 1500 * time.Millisecond},
	{ID: "own/500-internal", Class: call.ProviderFault},
	{ID: "own/503-with-a-wait", Class: call.Overloaded, Wait: 4 * time.Second},
	{ID: "own/chat-filtered", Class: call.PolicyViolation, Category: "violence"},
	{ID: "own/chat-filtered-without-results", Class: call.PolicyViolation, Category: "content_filter"},
	{ID: "own/chat-ok", Class: call.OK},
	{ID: "own/chat-ok-unfiltered", Class: call.OK},
	{ID: "own/chat-ok-v1", Class: call.OK},
	{ID: "own/chat-stream", Class: call.OK},
	{ID: "own/chat-stream-error", Class: call.ProviderFault},
	{ID: "own/chat-stream-filtered", Class: call.PolicyViolation, Category: "sexual"},
	{ID: "own/models-listed", Class: call.OK},
}
