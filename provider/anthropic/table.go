package anthropic

import (
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// table is Anthropic's "Errors" page. Its types mirror its statuses. Four
// conditions share 400 invalid_request_error and differ only in their text.
var table = provider.Table{
	{Code: "enforced_spend_limit_reached", Class: call.QuotaExhausted, Note: "error.details.error_code of a 429 without retry-after"},
	{Type: "overloaded_error", Class: call.Overloaded},
	{Type: "rate_limit_error", Class: call.Throttled},
	{Type: "billing_error", Class: call.QuotaExhausted},
	{Type: "authentication_error", Class: call.Auth, Note: "whatever its status"},
	{Type: "permission_error", Class: call.Auth},
	{Type: "invalid_request_error", Contains: "prompt is too long", Class: call.ContextLength},
	{Type: "invalid_request_error", Contains: "exceed context limit", Class: call.ContextLength, Note: "input length and max_tokens together"},
	{Type: "invalid_request_error", Contains: "credit balance is too low", Class: call.QuotaExhausted},
	{Type: "invalid_request_error", Contains: "reached your specified api usage limits", Class: call.QuotaExhausted, Note: "a spend limit of the account's own"},
	{Type: "invalid_request_error", Contains: "blocked by content filtering policy", Class: call.PolicyViolation, Category: "content_filter"},
}
