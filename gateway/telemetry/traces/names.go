package traces

import (
	"cmp"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// The profiles of gen_ai.* names, which are still moving: version 1.41.0 was the
// last in OpenTelemetry's own conventions, their new home has no release yet.
const (
	GenAI141    = "v1.41" // the default
	GenAILatest = "latest"
	GenAIOff    = "off" // no gen_ai.* at all
)

// names are the attributes of one profile. Every gen_ai.* string of the gateway
// stands in this file.
type names struct {
	schema string // URL of the conventions; "" if they have none

	operation, provider                       string
	requestModel, requestStream, maxTokens    string
	responseModel                             string
	inputTokens, outputTokens                 string
	cachedTokens, reasoningTokens, firstChunk string
}

// known are the names of version 1.41. The new home says the same of what is known
// here; it parts where it renames, as it does with what was written into a cache.
var known = names{ //nolint:gosec // G101: tokens here are those of models
	schema:    "https://opentelemetry.io/schemas/1.41.0",
	operation: "gen_ai.operation.name", provider: "gen_ai.provider.name",
	requestModel: "gen_ai.request.model", requestStream: "gen_ai.request.stream", maxTokens: "gen_ai.request.max_tokens",
	responseModel: "gen_ai.response.model",
	inputTokens:   "gen_ai.usage.input_tokens", outputTokens: "gen_ai.usage.output_tokens",
	cachedTokens: "gen_ai.usage.cache_read.input_tokens", reasoningTokens: "gen_ai.usage.reasoning.output_tokens",
	firstChunk: "gen_ai.response.time_to_first_chunk",
}

// profiles are the names in force.
var profiles = map[string]*names{GenAI141: &known, GenAILatest: known.unversioned(), GenAIOff: nil}

// unversioned are the same names, of conventions that have no release.
func (n names) unversioned() *names {
	n.schema = ""
	return &n
}

// operations are the values of gen_ai.operation.name. An operation that is not
// here has no gen_ai.* attributes.
var operations = map[call.Op]string{
	call.OpChat: "chat", call.OpResponses: "chat", call.OpMessages: "chat", call.OpEmbeddings: "embeddings",
}

// providerName is the value of gen_ai.provider.name for a vendor.
func providerName(vendor string) string {
	if v := all.ByName(vendor); v != nil {
		return cmp.Or(v.GenAI, v.Name)
	}
	return vendor
}
