package gemini

import (
	"slices"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// table is Gemini's "Troubleshooting" page and Vertex AI's of error codes. The
// words are gRPC's: the type is the status, the code the reason in the details.
var table = slices.Concat(ends, provider.Table{
	{Code: "API_KEY_INVALID", Class: call.Auth, Note: "a bad key is a 400"},
	{Code: "API_KEY_EXPIRED", Class: call.Auth},
	{Code: "API_KEY_SERVICE_BLOCKED", Class: call.Auth},
	{Code: "SERVICE_DISABLED", Class: call.Auth},
	{Code: "BILLING_DISABLED", Class: call.QuotaExhausted},
	{Code: "MODEL_CAPACITY_EXHAUSTED", Class: call.Overloaded, Note: "nobody's quota"},
	{Type: "RESOURCE_EXHAUSTED", InBand: true, Class: call.Throttled},
	{Type: "UNAVAILABLE", Class: call.Overloaded, Note: "\"the model is overloaded\""},
	{Type: "UNAUTHENTICATED", Class: call.Auth},
	{Type: "PERMISSION_DENIED", Class: call.Auth},
	{Type: "NOT_FOUND", InBand: true, Class: call.NotFound},
	{Type: "INVALID_ARGUMENT", InBand: true, Class: call.ClientError},
	{Type: "FAILED_PRECONDITION", InBand: true, Class: call.ClientError},
	{Type: "ABORTED", Class: call.Conflict},
	{Type: "CANCELLED", Status: 499, Class: call.Conflict, Note: "they gave it up"},
	{Type: "DEADLINE_EXCEEDED", Class: call.ProviderFault, Note: "a 504"},
	{Type: "INTERNAL", Class: call.ProviderFault},
	{Type: "RESOURCE_EXHAUSTED", Contains: "prepayment credits", Class: call.QuotaExhausted},
	{Type: "RESOURCE_EXHAUSTED", Contains: "spending cap", Class: call.QuotaExhausted, Note: "spend limits say the same type as rate limits"},
	{Contains: "exceeds the maximum number of tokens", Status: 400, Class: call.ContextLength},
	{Contains: "token count", Status: 400, Class: call.ContextLength},
	{Contains: "user location is not supported", Status: 400, Class: call.Auth, Note: "FAILED_PRECONDITION: the region"},
})

// ends are the finish reasons that are no ordinary end, and the reasons for which
// a prompt is blocked.
var ends = slices.Concat(
	violations("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
		"IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR", "JAILBREAK"),
	provider.Table{
		{Finish: "MALFORMED_FUNCTION_CALL", Class: call.BadResponse},
		{Finish: "UNEXPECTED_TOOL_CALL", Class: call.BadResponse},
		{Finish: "TOO_MANY_TOOL_CALLS", Class: call.BadResponse},
		{Finish: "LANGUAGE", Class: call.BadResponse, Note: "a language it does not support"},
		{Finish: "OTHER", Class: call.BadResponse, Note: "as a block reason too: nobody says why"},
	},
)

// violations names each category after its reason.
func violations(reasons ...string) provider.Table {
	var rows provider.Table
	for _, reason := range reasons {
		rows = append(rows, provider.Row{Finish: reason, Class: call.PolicyViolation, Category: provider.Category(reason)})
	}
	return rows
}
