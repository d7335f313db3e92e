package tool_test

import (
	"net/http"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/tool"
)

func TestAToolsCredentialStandsWhereItIsWanted(t *testing.T) {
	for secret, want := range map[call.Secret][2]string{
		"abc":                {"Authorization", "Bearer abc"},
		"Bearer abc":         {"Authorization", "Bearer abc"},
		"X-Weather-Key: abc": {"X-Weather-Key", "abc"},
		"not a name: abc":    {"Authorization", "Bearer not a name: abc"},
	} {
		h := http.Header{"Authorization": {"Bearer theirs"}, "Cookie": {"theirs"}}
		tool.New().Sign(h, secret)
		if len(h) != 1 || h.Get(want[0]) != want[1] {
			t.Errorf("%s: got %v", want[0], h)
		}
	}
}

func TestTheWordsOfAToolDecideNothing(t *testing.T) {
	const words = `{"error":{"code":"insufficient_quota","type":"overloaded_error","message":"maximum context length"},"retry_after":60}`
	for status, want := range map[int]call.Class{400: call.ClientError, 429: call.Throttled, 500: call.ProviderFault, 404: call.ClientError} {
		got := tool.New().Classify(provider.Evidence{Status: status, Body: []byte(words)})
		if got.Class != want || got.HasWait {
			t.Errorf("%d: got %v, waits %v; want %v", status, got.Class, got.HasWait, want)
		}
	}
}
