package chat

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// FuzzBytesFromOutside asks only for no panic, and that nothing broken passes
// for good.
func FuzzBytesFromOutside(f *testing.F) {
	for _, s := range []string{contentChunk, "[DONE]", `{"error":{"code":1e400}}`, `{"choices":[{"index":-1,"finish_reason":"x"}]}`, `{"choices":[[[{"delta":5}]]]}`, `{"choices":[{"index":99999,"finish_reason":"s"}]}`, "{\"model\":\"\xff\"}"} {
		f.Add([]byte(""), []byte(s))
	}
	f.Fuzz(func(t *testing.T, event, data []byte) {
		d := New()
		var s call.Stream
		var r call.Request
		frame := d.Frame(event, data, &s)
		_ = d.Read(data, &r)
		answer := d.Answer(call.OpChat, data, &call.Stream{})
		d.Answer(call.OpEmbeddings, data, &call.Stream{})
		d.Ended(&s, false)
		if json.Valid(data) || call.Value(bytes.TrimSpace(data)).Well() {
			return
		}
		if answer.Kind == call.FrameEnd || frame.Kind == call.FrameContent || frame.Kind == call.FrameFinish {
			t.Fatalf("%q is no JSON and was read as %v and %v", data, frame.Kind, answer.Kind)
		}
	})
}

// FuzzWhatWeSay holds that any message makes a well-formed body and exactly one
// frame, which is no terminator.
func FuzzWhatWeSay(f *testing.F) {
	for _, s := range []string{"plain", "\"}\n\ndata: [DONE]\n\n", "\u2028 \u2029", "\xff\xfe", "\x00\r"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, message, code string) {
		p := call.Problem{Reason: call.ReasonQuotaExhausted, Message: message, Code: code, Param: code}
		if _, body := New().Refusal(p); !json.Valid(body) {
			t.Fatalf("not JSON: %q", body)
		}
		event := New().ErrorEvent(p, &call.Stream{})
		body, ok := bytes.CutSuffix(event, []byte("\n\n"))
		data, named := bytes.CutPrefix(body, []byte("data: "))
		if !ok || !named || bytes.ContainsAny(data, "\r\n\u2028\u2029") || !json.Valid(data) {
			t.Fatalf("not one frame: %q", event)
		}
		var s call.Stream
		if New().Frame(nil, data, &s).Kind != call.FrameError || s.Ended {
			t.Fatalf("not an error frame: %q", event)
		}
	})
}
