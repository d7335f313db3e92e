package holdfast_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast"
)

// canned answers at once.
type canned struct{ kind, body string }

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.kind}}, Body: io.NopCloser(strings.NewReader(c.body)), ContentLength: -1, Request: req}, nil
}

// BenchmarkTransport is the cost of the whole house for one call, without a
// wire: compare with BenchmarkNothing.
func BenchmarkTransport(b *testing.B) {
	answer := `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`
	events := `data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}]}` + "\n\n"
	end := `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	for name, c := range map[string]canned{
		"whole":         {"application/json", answer},
		"stream of 100": {"text/event-stream", strings.Repeat(events, 100) + end},
	} {
		b.Run(name, func(b *testing.B) {
			hf, err := holdfast.NewTransport(holdfast.Config{Transport: c, Routes: []holdfast.Route{{Name: "r", Targets: []holdfast.Target{{BaseURL: "http://x", Keys: []holdfast.Key{{Secret: "s"}}}}}}})
			if err != nil {
				b.Fatal(err)
			}
			spend(b, hf)
		})
	}
}

// BenchmarkNothing is the same without the house.
func BenchmarkNothing(b *testing.B) { spend(b, canned{"application/json", "{}"}) }

func spend(b *testing.B, rt http.RoundTripper) {
	body := ask("chat", "gpt", true)
	b.ReportAllocs()
	for b.Loop() {
		req, _ := http.NewRequest("POST", "http://app/v1/chat/completions", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
