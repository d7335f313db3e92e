package bedrock_test

import (
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/bedrock"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestBedrockPassesTheSuite(t *testing.T) {
	providertest.Run(t, bedrock.New(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/400-quota", Class: call.QuotaExhausted},
	{ID: "own/400-type-in-body", Class: call.Throttled},
	{ID: "own/400-validation", Class: call.ClientError},
	{ID: "own/403-denied", Class: call.Auth},
	{ID: "own/404-model", Class: call.NotFound},
	{ID: "own/408-model-timeout", Class: call.ProviderFault},
	{ID: "own/409-conflict", Class: call.Conflict},
	{ID: "own/424-model-error", Class: call.ProviderFault},
	{ID: "own/429-not-ready", Class: call.Overloaded},
	{ID: "own/429-throttled", Class: call.Throttled},
	{ID: "own/500-internal", Class: call.ProviderFault},
	{ID: "own/503-unavailable", Class: call.Overloaded},
	{ID: "own/stop-content-filtered", Class: call.PolicyViolation, Category: "content_filtered"},
	{ID: "own/stop-end-turn", Class: call.OK},
	{ID: "own/stop-guardrail-intervened", Class: call.PolicyViolation, Category: "guardrail_intervened"},
	{ID: "own/stop-malformed-model-output", Class: call.BadResponse},
	{ID: "own/stop-malformed-tool-use", Class: call.BadResponse},
	{ID: "own/stop-model-context-window-exceeded", Class: call.ContextLength},
	{ID: "own/stream-internal", Class: call.ProviderFault},
	{ID: "own/stream-model-error", Class: call.ProviderFault},
	{ID: "own/stream-throttled", Class: call.Throttled},
	{ID: "own/stream-unavailable", Class: call.Overloaded},
	{ID: "own/stream-validation", Class: call.ClientError},
}
