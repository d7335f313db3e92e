package azure_test

import (
	"net/http"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/azure"
)

func TestPathsOfBothKindsOfCallersAreRead(t *testing.T) {
	cases := []struct {
		method, path string
		op           call.Op
		model        string
	}{
		{"POST", "/v1/chat/completions", call.OpChat, ""},
		{"POST", "/openai/v1/chat/completions", call.OpChat, ""},
		{"POST", "/openai/v1/responses", call.OpResponses, ""},
		{"POST", "/openai/deployments/gpt-4o/chat/completions", call.OpChat, "gpt-4o"},
		{"POST", "/openai/deployments/ada/embeddings", call.OpEmbeddings, "ada"},
		{"POST", "/openai/responses", call.OpResponses, ""},
		{"POST", "/models/chat/completions", call.OpChat, ""},
		{"POST", "/openai/deployments//chat/completions", call.OpOther, ""},
		{"POST", "/openai/deployments/gpt-4o/images/generations", call.OpOther, ""},
		{"GET", "/openai/deployments/gpt-4o/chat/completions", call.OpOther, ""},
		{"POST", "/chat/completions", call.OpOther, ""},
	}
	for _, c := range cases {
		ep := azure.New().Endpoint(c.method, c.path)
		if ep.Op != c.op || (ep.Dialect == nil) != (c.op == call.OpOther) || c.op != call.OpOther && ep.Model != c.model {
			t.Errorf("%s %s: got %q, model %q; want %q, model %q", c.method, c.path, ep.Op, ep.Model, c.op, c.model)
		}
	}
}

func TestAKeyGoesWhereKeysGoAndATokenWhereTokensGo(t *testing.T) {
	for secret, want := range map[call.Secret]http.Header{
		"0123456789abcdef":                  {"Api-Key": {"0123456789abcdef"}},
		"eyJhbGciOiJSUzI1NiJ9.e30.c2ln":     {"Authorization": {"Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}},
		"Bearer opaque":                     {"Authorization": {"Bearer opaque"}},
		"eyJ.only.two.dots.make.it.a.token": {"Api-Key": {"eyJ.only.two.dots.make.it.a.token"}},
	} {
		h := http.Header{"Authorization": {"Bearer theirs"}, "Api-Key": {"theirs"}, "X-Api-Key": {"theirs"}}
		azure.New().Sign(h, secret)
		if len(h) != 1 || h.Get("Api-Key") != want.Get("Api-Key") || h.Get("Authorization") != want.Get("Authorization") {
			t.Errorf("%d letters: got %d headers, %v", len(secret), len(h), h)
		}
	}
}

func TestAnAnswerThatWasNotFilteredIsRemarkedOn(t *testing.T) {
	const chunk = `{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null,"content_filter_results":{"error":{"code":"content_filter_error","message":"down"}}}]}`
	var s call.Stream
	d := azure.New().Endpoint("POST", "/v1/chat/completions").Dialect
	if f := d.Frame(nil, []byte(chunk), &s); f.Kind != call.FrameContent || f.Policy != "" || s.Note != "content_filter_error" {
		t.Errorf("got %v, policy %q, note %q", f.Kind, f.Policy, s.Note)
	}
}

func TestAStreamThatWasFilteredNamesItsCategoryOnce(t *testing.T) {
	var s call.Stream
	d := azure.New().Endpoint("POST", "/v1/chat/completions").Dialect
	f := d.Frame(nil, []byte(`{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter","content_filter_results":{"hate":{"filtered":true},"sexual":{"filtered":true}}}]}`), &s)
	if f.Policy != "sexual" || s.Policy != "sexual" || f.Kind != call.FrameFinish {
		t.Errorf("got %q and %q, want the gravest", f.Policy, s.Policy)
	}
}

func TestAFrameOfTextCostsNothingMore(t *testing.T) {
	const chunk = `{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}`
	s := call.Stream{ID: "c", Model: "m"}
	d, data := azure.New().Endpoint("POST", "/v1/chat/completions").Dialect, []byte(chunk)
	if n := testing.AllocsPerRun(100, func() { d.Frame(nil, data, &s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
