package anthropic_test

import (
	"net/http"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/anthropic"
)

func TestPathsFindTheirDialect(t *testing.T) {
	cases := []struct {
		method, path string
		op           call.Op
		read         bool
	}{
		{"POST", "/v1/messages", call.OpMessages, true},
		{"POST", "/prefix/v1/messages", call.OpMessages, true},
		{"POST", "/v1/messages/count_tokens", call.OpCountTokens, true},
		{"POST", "/v1/messages/batches", call.OpOther, false},
		{"GET", "/v1/messages", call.OpOther, false},
		{"POST", "/v1/chat/completions", call.OpOther, false},
	}
	for _, c := range cases {
		if ep := anthropic.New().Endpoint(c.method, c.path); ep.Op != c.op || (ep.Dialect != nil) != c.read {
			t.Errorf("%s %s: got %+v", c.method, c.path, ep)
		}
	}
}

func TestARequestKeepsItsVersionOrGetsOne(t *testing.T) {
	h := http.Header{"Authorization": {"Bearer theirs"}}
	anthropic.New().Sign(h, "ours")
	if h.Get("X-Api-Key") != "ours" || h.Get("Anthropic-Version") != anthropic.Version || h.Get("Authorization") != "" {
		t.Errorf("got %v", h)
	}
	h.Set("Anthropic-Version", "2099-01-01")
	anthropic.New().Sign(h, "ours")
	if h.Get("Anthropic-Version") != "2099-01-01" {
		t.Errorf("the caller's version became %q", h.Get("Anthropic-Version"))
	}
}
