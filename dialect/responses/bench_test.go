package responses

import (
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// BenchmarkReadOfA2KBBody is what a usual request costs before it is routed.
func BenchmarkReadOfA2KBBody(b *testing.B) {
	body := []byte(`{"model":"m","stream":true,"max_output_tokens":256,"input":[{"role":"user","content":[{"type":"input_text","text":"` + strings.Repeat("word ", 380) + `"}]}]}`)
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
	body := []byte(`{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","error":null,"model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"` + strings.Repeat("hold fast ", 75) + `","annotations":[]}]}],"usage":{"input_tokens":400,"output_tokens":144,"total_tokens":544}}`)
	d := New()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var s call.Stream
		if kind := d.Answer(call.OpResponses, body, &s).Kind; kind != call.FrameEnd {
			b.Fatalf("frame kind %v", kind)
		}
	}
}
