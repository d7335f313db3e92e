package cohere_test

import (
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/cohere"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

func TestCoherePassesTheSuite(t *testing.T) {
	providertest.Run(t, cohere.New(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/400-too-many-tokens", Class: call.ContextLength},
	{ID: "own/429-rate", Class: call.Throttled},
	{ID: "own/429-trial", Class: call.QuotaExhausted},
	{ID: "own/498-blocked", Class: call.PolicyViolation, Category: "blocked"},
	{ID: "own/500-internal", Class: call.ProviderFault},
	{ID: "own/finish-complete", Class: call.OK},
	{ID: "own/finish-error", Class: call.ProviderFault},
	{ID: "own/finish-error-limit", Class: call.ContextLength},
	{ID: "own/finish-error-toxic", Class: call.PolicyViolation, Category: "toxic"},
	{ID: "own/finish-max-tokens", Class: call.OK},
	{ID: "own/finish-timeout", Class: call.ProviderFault},
}
