package stream_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/chat"
	"github.com/holdfast-gateway/holdfast/dialect/messages"
	"github.com/holdfast-gateway/holdfast/dialect/responses"
	"github.com/holdfast-gateway/holdfast/stream"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// endless is a body of the same event for ever: one with each Read.
type endless struct{ event string }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.event), nil }
func (endless) Close() error                 { return nil }

// BenchmarkAnEvent is what a stream costs for each event that comes alone, all
// but reading and writing it: framing, meaning, clocks.
func BenchmarkAnEvent(b *testing.B) {
	const text = "data: "
	for _, c := range []struct {
		dialect call.Dialect
		event   string
	}{
		{chat.New(), text + `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1717866062,"model":"gpt-4o","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"yDGbMrO"}` + "\n\n"},
		{messages.New(), "event: content_block_delta\n" + text + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}` + "\n\n"},
		{responses.New(), "event: response.output_text.delta\n" + text + `{"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[],"obfuscation":"yDGbMrO"}` + "\n\n"},
	} {
		b.Run(c.dialect.Name(), func(b *testing.B) {
			clocks := timeout.Start(timeout.Limits{Stream: true, FirstToken: time.Hour, Idle: time.Hour, Stall: time.Hour, StreamTotal: time.Hour}, func(error) {}, nil)
			a := stream.NewAttempt(stream.Source{
				Body: endless{c.event}, Framing: stream.NewSSE(), Dialect: c.dialect, Sent: time.Now(), Clocks: clocks,
				Context: context.Background(), Cancel: func(error) {},
				Classify: func(*stream.Fault, *call.Stream) call.Verdict { return call.Verdict{} }, End: func(call.Outcome) {},
			})
			a.Stream().ID, a.Stream().Model = "1", "m"
			clocks.Headers()
			if fault := a.Open(); fault != nil {
				b.Fatal(fault)
			}
			defer a.Leave()
			to := &counting{left: b.N, b: b}
			b.ReportAllocs()
			b.ResetTimer()
			body := stream.NewBody(a, c.dialect, true, nil, func(stream.Result) {})
			_, _ = body.WriteTo(to)
		})
	}
}

// counting takes so many writes.
type counting struct {
	left int
	b    *testing.B
}

func (c *counting) Write(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		c.b.StopTimer()
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}
