package bedrock

import (
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// table is the runtime's exceptions, the same under a status and as events in a
// stream, and the stop reasons that are no ordinary end.
var table = provider.Table{
	{Finish: "guardrail_intervened", Class: call.PolicyViolation, Category: "guardrail_intervened"},
	{Finish: "content_filtered", Class: call.PolicyViolation, Category: "content_filtered"},
	{Finish: "malformed_model_output", Class: call.BadResponse},
	{Finish: "malformed_tool_use", Class: call.BadResponse},
	{Finish: "model_context_window_exceeded", Class: call.ContextLength},
	{Type: "ThrottlingException", Class: call.Throttled},
	{Type: "ServiceQuotaExceededException", Class: call.QuotaExhausted},
	{Type: "ServiceUnavailableException", Class: call.Overloaded},
	{Type: "ModelNotReadyException", Class: call.Overloaded, Note: "a 429 while the model is being loaded"},
	{Type: "ModelTimeoutException", Class: call.ProviderFault, Note: "a 408 that is theirs"},
	{Type: "ModelErrorException", Class: call.ProviderFault, Note: "a 424"},
	{Type: "ModelStreamErrorException", Class: call.ProviderFault, Note: "a 424, or inside a stream"},
	{Type: "InternalServerException", Class: call.ProviderFault},
	{Type: "AccessDeniedException", Class: call.Auth, Note: "never a policy violation, though a 403"},
	{Type: "UnrecognizedClientException", Class: call.Auth},
	{Type: "ExpiredTokenException", Class: call.Auth},
	{Type: "InvalidSignatureException", Class: call.Auth},
	{Type: "MissingAuthenticationTokenException", Class: call.Auth},
	{Type: "ResourceNotFoundException", Class: call.NotFound},
	{Type: "ConflictException", Class: call.Conflict},
	{Type: "ValidationException", InBand: true, Class: call.ClientError},
	{Contains: "input tokens exceeded", Status: 400, Class: call.ContextLength, Note: "every model words it in its own way, and the exception is always ValidationException"},
	{Contains: "input is too long", Status: 400, Class: call.ContextLength},
	{Contains: "prompt is too long", Status: 400, Class: call.ContextLength},
	{Contains: "maximum context length", Status: 400, Class: call.ContextLength},
	{Contains: "too many input tokens", Status: 400, Class: call.ContextLength},
	{Contains: "blocked by our content filters", Status: 400, Class: call.PolicyViolation, Category: "content_filtered"},
}
