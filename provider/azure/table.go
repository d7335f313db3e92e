package azure

import (
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// table is Azure's and, behind it, OpenAI's codes: Azure answers with both.
var table = blocked().Join(
	provider.Table{
		{Code: "DeploymentNotFound", Class: call.NotFound},
		{Code: "ResourceNotFound", Class: call.NotFound},
		{Code: "model_not_found", Class: call.NotFound},
		{Code: "unknown_model", Class: call.NotFound, Note: "Foundry"},
		{Code: "OperationNotSupported", Class: call.NotFound, Note: "the deployment's model cannot do this"},
		{Code: "PermissionDenied", Class: call.Auth},
		{Code: "AuthenticationFailed", Class: call.Auth},
		{Code: "invalid_api_key", Class: call.Auth},
		{Code: "Unauthorized", Class: call.Auth},
		{Code: "RateLimitReached", Class: call.Throttled},
		{Code: "rate_limit_exceeded", Class: call.Throttled},
		{Code: "too_many_requests", Class: call.Throttled},
		{Code: "TooManyRequests", Class: call.Throttled},
		{Code: "NoCapacity", Class: call.Overloaded, Note: "Foundry: the model has no free capacity in the region"},
		{Code: "EngineOverloaded", Class: call.Overloaded},
		{Code: "server_is_overloaded", Class: call.Overloaded},
		{Code: "insufficient_quota", Class: call.QuotaExhausted},
		{Code: "context_length_exceeded", Class: call.ContextLength},
		{Code: "string_above_max_length", Class: call.ContextLength},
		{Code: "InternalServerError", Class: call.ProviderFault},
		{Code: "server_error", Class: call.ProviderFault},
		{Type: "insufficient_quota", Class: call.QuotaExhausted},
		{Contains: "has been temporarily blocked", Status: 429, Class: call.Auth, Note: "abuse monitoring blocked the resource: waiting does not help soon"},
		{Contains: "exceeded token rate limit", Status: 429, Class: call.Throttled},
		{Contains: "maximum context length is", Status: 400, Class: call.ContextLength},
		{Contains: "access denied due to virtual network", Status: 403, Class: call.Auth},
		{Status: 424, Class: call.ProviderFault, Note: "a dependency of theirs failed"},
	},
)

// blocked are the ways in which the filter refuses. Its code is content_filter;
// the category comes from the filter's results where they are there.
func blocked() provider.Table {
	rows := provider.Table{
		{Code: "content_filter", Class: call.PolicyViolation, Category: "content_filter", Note: "innererror names the category: hate, sexual, violence, self_harm, jailbreak, ..."},
		{Code: "ResponsibleAIPolicyViolation", Class: call.PolicyViolation, Category: "content_filter"},
		{Code: "content_policy_violation", Class: call.PolicyViolation, Category: "content_policy_violation", Note: "images"},
	}
	for _, name := range categories {
		rows = append(rows, provider.Row{Code: name, InBand: true, Class: call.PolicyViolation, Category: name})
	}
	return rows
}
