package chat

import (
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// BenchmarkReadOfA2KBBody is what a usual request costs before it is routed.
func BenchmarkReadOfA2KBBody(b *testing.B) {
	body := []byte(`{"model":"m","stream":true,"max_tokens":256,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 380) + `"}]}`)
	d := New()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var r call.Request
		if err := d.Read(body, &r); err != nil || r.Model != "m" {
			b.Fatalf("model %q and %v", r.Model, err)
		}
	}
}

// BenchmarkA1KBAnswer is what it costs to know that a whole answer is complete.
func BenchmarkA1KBAnswer(b *testing.B) {
	body := []byte(`{"id":"c","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("hold fast ", 75) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":400,"completion_tokens":144,"total_tokens":544}}`)
	d := New()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var s call.Stream
		if kind := d.Answer(call.OpChat, body, &s).Kind; kind != call.FrameEnd {
			b.Fatalf("frame kind %v", kind)
		}
	}
}
