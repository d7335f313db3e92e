package providertest

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/provider"
)

// Recorded is a row of what must come out of third-party traffic: whose it is,
// and what it means.
type Recorded struct {
	Vendor string
	Expect
}

// RecordedRows returns what must come out of every recorded and every documented
// exchange. An exchange without a row fails, and so does a row without one.
func RecordedRows() []Recorded { return slices.Clone(recorded) }

func recordedFor(vendor string) []Expect {
	var rows []Expect
	for _, r := range recorded {
		if r.Vendor == vendor {
			rows = append(rows, r.Expect)
		}
	}
	return rows
}

var recorded = []Recorded{
	{"anthropic", Expect{ID: "anthropic/error/400-prompt-too-long-x-should-retry-false", Class: call.ContextLength}},
	{"anthropic", Expect{ID: "anthropic/error/401-invalid-key", Class: call.Auth}},
	{"anthropic", Expect{ID: "anthropic/ok/parallel-tool-use", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/ok/prompt-cache", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/ok/structured-output", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/ok/text", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/ok/text-12-ratelimit-headers", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/ok/thinking", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/ok/tool-use", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/citations", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/prompt-cache", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/text", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/text-short", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/thinking", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/tool-use", Class: call.OK}},
	{"anthropic", Expect{ID: "anthropic/stream/tool-use-multi-turn", Class: call.OK}},
	{"anthropic", Expect{ID: "documented/anthropic-429-headers", Class: call.Throttled, Wait: time.Second}},
	{"anthropic", Expect{ID: "documented/anthropic-529-overloaded", Class: call.Overloaded}},
	{"anthropic", Expect{ID: "documented/anthropic-instream-overloaded", Class: call.Overloaded}},

	{"azure", Expect{ID: "azure-openai/error/401", Class: call.Auth}},
	{"azure", Expect{ID: "azure-openai/error/401-models-endpoint", Class: call.Auth}},
	{"azure", Expect{ID: "azure-openai/error/404-deployment", Class: call.NotFound}},
	{"azure", Expect{ID: "azure-openai/error/429-retry-after-1-retry-after-ms-0", Class: call.Throttled, Wait: time.Second}},
	{"azure", Expect{ID: "azure-openai/ok/text-full-ratelimit-headers", Class: call.OK}},
	{"azure", Expect{ID: "azure-openai/ok/text-prompt-filter-results", Class: call.OK}},
	{"azure", Expect{ID: "azure-openai/policy/content-filter-finish-reason", Class: call.PolicyViolation, Category: "hate"}},
	{"azure", Expect{ID: "azure-openai/policy/prompt-filtered-error-body-under-status-200", Class: call.PolicyViolation, Category: "self_harm"}},
	{"azure", Expect{ID: "azure-openai/stream/text", Class: call.OK}},
	{"azure", Expect{ID: "azure-openai/stream/text-async-filter", Class: call.OK}},

	{"bedrock", Expect{ID: "bedrock/error/400-context-length", Class: call.ContextLength}},
	{"bedrock", Expect{ID: "bedrock/error/403-auth", Class: call.Auth}},
	{"bedrock", Expect{ID: "bedrock/ok/converse", Class: call.PolicyViolation, Category: "guardrail_intervened"}},
	{"bedrock", Expect{ID: "bedrock/stream/converse-eventstream-binary", Class: call.PolicyViolation, Category: "guardrail_intervened"}},

	{"cohere", Expect{ID: "cohere/error/401", Class: call.Auth}},
	{"cohere", Expect{ID: "cohere/stream/text", Class: call.OK}},

	{"deepseek", Expect{ID: "deepseek/error/400-context-length", Class: call.ContextLength}},
	{"deepseek", Expect{ID: "deepseek/error/401", Class: call.Auth}},

	{"gemini", Expect{ID: "documented/gemini-503-overloaded", Class: call.Overloaded}},
	{"gemini", Expect{ID: "gemini/error/400-invalid-key", Class: call.Auth}},
	{"gemini", Expect{ID: "gemini/error/429-retryinfo-48s-in-body-only", Class: call.Throttled, Wait: 48 * time.Second}},
	{"gemini", Expect{ID: "gemini/ok/text", Class: call.OK}},
	{"gemini", Expect{ID: "gemini/ok/tool-call", Class: call.OK}},
	{"gemini", Expect{ID: "gemini/stream/text", Class: call.OK}},
	{"gemini", Expect{ID: "gemini/stream/tool-call", Class: call.OK}},

	{"groq", Expect{ID: "groq/ok/text", Class: call.OK}},
	{"groq", Expect{ID: "groq/stream/text", Class: call.OK}},

	{"mistral", Expect{ID: "mistral/error/401", Class: call.Auth}},
	{"mistral", Expect{ID: "mistral/ok/text", Class: call.OK}},

	{"ollama", Expect{ID: "ollama/error/401-cloud", Class: call.Auth}},
	{"ollama", Expect{ID: "ollama/ok/chat", Class: call.OK}},
	{"ollama", Expect{ID: "ollama/stream/chat-ndjson", Class: call.OK}},
	{"ollama", Expect{ID: "ollama/stream/cloud-openai-compatible", Class: call.OK}},

	{"openai", Expect{ID: "documented/openai-429-insufficient-quota", Class: call.QuotaExhausted}},
	{"openai", Expect{ID: "documented/openai-429-tpm-no-ratelimit-headers", Class: call.Throttled, Wait: 18642 * time.Millisecond}},
	{"openai", Expect{ID: "documented/openai-500-server-error", Class: call.ProviderFault}},
	{"openai", Expect{ID: "documented/openai-responses-instream-error", Class: call.ProviderFault}},
	{"openai", Expect{ID: "openai-chat/error/400-base64", Class: call.ClientError}},
	{"openai", Expect{ID: "openai-chat/error/400-invalid-image", Class: call.ClientError}},
	{"openai", Expect{ID: "openai-chat/error/404-model", Class: call.NotFound}},
	{"openai", Expect{ID: "openai-chat/ok/json-response-format", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/metrics-text", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/reasoning-tokens", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/service-tier", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/structured-output", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/text", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/text-history", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/tool-call", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/ok/tool-calls-sent-back", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/policy/refusal", Class: call.PolicyViolation, Category: "refusal"}},
	{"openai", Expect{ID: "openai-chat/stream/metrics", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/stream/text", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/stream/text-2", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/stream/text-long-84k", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/stream/text-short", Class: call.OK}},
	{"openai", Expect{ID: "openai-chat/stream/tool-call", Class: call.OK}},
	{"openai", Expect{ID: "openai-embeddings/ok/embedding", Class: call.OK}},
	{"openai", Expect{ID: "openai-other/error/400-image-url-404", Class: call.ClientError}},
	{"openai", Expect{ID: "openai-responses/error/400-context-length", Class: call.ContextLength}},
	{"openai", Expect{ID: "openai-responses/error/401-invalid-key", Class: call.Auth}},
	{"openai", Expect{ID: "openai-responses/ok/function-tool-agent", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/ok/reasoning", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/ok/structured", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/ok/text", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/ok/tool-call", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/ok/web-search", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/stream/long-60k", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/stream/text", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/stream/text-short", Class: call.OK}},
	{"openai", Expect{ID: "openai-responses/stream/tool-call", Class: call.OK}},

	{"openrouter", Expect{ID: "openrouter/error/400-context-length", Class: call.ContextLength}},
	{"openrouter", Expect{ID: "openrouter/error/401", Class: call.Auth}},
	{"openrouter", Expect{ID: "openrouter/ok/text", Class: call.OK}},
	{"openrouter", Expect{ID: "openrouter/stream/reasoning-details", Class: call.OK}},
	{"openrouter", Expect{ID: "openrouter/stream/tool-call", Class: call.OK}},

	{"perplexity", Expect{ID: "perplexity/error/401", Class: call.Auth}},

	{"vertex", Expect{ID: "vertex/error/400-context-length", Class: call.ContextLength}},

	{"xai", Expect{ID: "xai/error/400-auth", Class: call.Auth}},
	{"xai", Expect{ID: "xai/stream/responses-text", Class: call.OK}},
}

// RunRecorded walks the index of recorded traffic and holds that every exchange
// in it, and every documented error, has one row, and that the row's vendor says
// what the row says.
func RunRecorded(t *testing.T, vendors []*provider.Vendor) {
	root := wanted.Recordings(t)
	var index []struct{ ID string }
	readJSON(t, filepath.Join(root, "index.json"), &index)
	files := map[string]bool{}
	for _, entry := range index {
		files[entry.ID] = true
	}
	judged := 0
	for _, row := range recorded {
		v := vendors[max(0, slices.IndexFunc(vendors, func(v *provider.Vendor) bool { return v.Name == row.Vendor }))]
		if v.Name != row.Vendor {
			t.Errorf("%s: no vendor is named %s", row.ID, row.Vendor)
			continue
		}
		x, ok := readDocumented(t, root, row.Vendor)[row.ID]
		if files[row.ID] {
			x, ok = readExchange(t, row.ID, filepath.Join(root, filepath.FromSlash(row.ID)+".json")), true
		}
		if !ok {
			t.Errorf("%s: a row without an exchange", row.ID)
			continue
		}
		delete(files, row.ID)
		judged++
		t.Run(row.ID, func(t *testing.T) { judge(t, v, x, row.Expect) })
	}
	for id := range files {
		t.Errorf("%s: an exchange without a row", id)
	}
	t.Logf("%d exchanges, %d of %d in the index", judged, len(index)-len(files), len(index))
}
