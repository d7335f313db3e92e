package openai

import (
	"slices"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// table is OpenAI's "Error codes" guide and the codes of its Responses object.
// The code decides: the type may say insufficient_quota for four billing causes
// and invalid_request_error for nearly everything.
var table = slices.Concat(
	provider.Codes(call.QuotaExhausted, "billing: waiting never helps, though the status is 429",
		"insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
		"project_spend_limit_exceeded", "organization_usage_limit_exceeded",
		"billing_hard_limit_reached", "billing_not_active"),
	provider.Table{
		{Code: "content_policy_violation", Class: call.PolicyViolation, Category: "content_policy_violation"},
		{Code: "content_filter", Class: call.PolicyViolation, Category: "content_filter"},
		{Code: "moderation_blocked", Class: call.PolicyViolation, Category: "moderation_blocked", Note: "images"},
		{Code: "bio_policy", Class: call.PolicyViolation, Category: "bio_policy"},
		{Code: "misalignment_policy_violation", Class: call.PolicyViolation, Category: "misalignment_policy_violation"},
		{Code: "image_content_policy_violation", Class: call.PolicyViolation, Category: "image_content_policy_violation"},
		{Code: "context_length_exceeded", Class: call.ContextLength},
		{Code: "rate_limit_exceeded", Class: call.Throttled},
		{Code: "slow_down", Class: call.Throttled, Note: "ramped up too fast; was a 503 before"},
		{Code: "server_is_overloaded", Class: call.Overloaded},
		{Code: "server_error", Class: call.ProviderFault},
		{Code: "vector_store_timeout", Class: call.ProviderFault},
		{Code: "invalid_api_key", Class: call.Auth, Note: "whatever its status"},
		{Code: "account_deactivated", Class: call.Auth},
		{Code: "model_not_found", Class: call.NotFound, Note: "also 403: the project may not use it"},
		{Code: "unknown_url", Class: call.ClientError, Note: "a 404 for a path that does not exist: the target is innocent"},
	},
	provider.Codes(call.ClientError, "the Responses object names these inside an answer",
		"invalid_prompt", "data_residency_mismatch", "invalid_image", "invalid_image_format", "invalid_base64_image",
		"invalid_image_url", "image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode",
		"image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
		"image_file_not_found"),
	provider.Table{
		{Type: "insufficient_quota", Class: call.QuotaExhausted, Note: "billing, whatever the code"},
		{Type: "service_unavailable_error", Class: call.Overloaded},
		{Type: "server_error", Class: call.ProviderFault},
	},
)
