package openai_test

import (
	"net/http"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/openai"
)

func TestPathsFindTheirDialect(t *testing.T) {
	cases := []struct {
		method, path string
		op           call.Op
		dialect      string
	}{
		{"POST", "/v1/chat/completions", call.OpChat, "chat"},
		{"POST", "/team/a/v1/chat/completions", call.OpChat, "chat"},
		{"POST", "/v1/responses", call.OpResponses, "responses"},
		{"POST", "/v1/embeddings", call.OpEmbeddings, "chat"},
		{"GET", "/v1/chat/completions", call.OpOther, ""},
		{"GET", "/v1/responses/resp_1", call.OpOther, ""},
		{"POST", "/v1/responses/resp_1/cancel", call.OpOther, ""},
		{"POST", "/v1/images/edits", call.OpOther, ""},
		{"POST", "/v1/messages", call.OpOther, ""},
	}
	for _, c := range cases {
		ep := openai.New().Endpoint(c.method, c.path)
		name := ""
		if ep.Dialect != nil {
			name = ep.Dialect.Name()
		}
		if ep.Op != c.op || name != c.dialect {
			t.Errorf("%s %s: got %q by %q, want %q by %q", c.method, c.path, ep.Op, name, c.op, c.dialect)
		}
	}
}

func TestModelsThatReasonAreGivenTime(t *testing.T) {
	for model, want := range map[string]bool{
		"o1": true, "o3-mini": true, "o4-mini-2025-04-16": true, "gpt-5": true, "gpt-5-mini": true, "ft:o4-mini:acme::1": true,
		"gpt-4o": false, "gpt-4.1": false, "text-embedding-3-small": false, "": false,
	} {
		if got := openai.New().Reasoning(model); got != want {
			t.Errorf("%q: got %v", model, got)
		}
	}
}

func TestTheCallersOrganisationDoesNotTravelWithOurKey(t *testing.T) {
	h := http.Header{"Openai-Organization": {"org-theirs"}, "X-Api-Key": {"theirs"}}
	openai.New().Sign(h, "ours")
	if len(h) != 1 || h.Get("Authorization") != "Bearer ours" {
		t.Errorf("got %v", h)
	}
}
