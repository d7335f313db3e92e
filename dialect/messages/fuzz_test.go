package messages

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// FuzzBytesFromOutside asks only for no panic, and that nothing broken passes
// for good.
func FuzzBytesFromOutside(f *testing.F) {
	for _, s := range []string{contentEvent, `{"type":"message_start","message":{"usage":{"input_tokens":9007199254740991,"cache_read_input_tokens":9007199254740991}}}`, `{"type":"message_delta","delta":[]}`, `{"type":"error","error":7}`, `{"container":{"id":{}}}`} {
		f.Add([]byte("error"), []byte(s))
	}
	f.Fuzz(func(t *testing.T, event, data []byte) {
		d := New()
		var s call.Stream
		var r call.Request
		frame := d.Frame(event, data, &s)
		if s.Usage.Input < 0 || s.Usage.Output < 0 || s.Usage.Cached < 0 {
			t.Fatalf("%q counts below nothing: %+v", data, s.Usage)
		}
		_ = d.Read(data, &r)
		answer := d.Answer(call.OpMessages, data, &call.Stream{})
		count := d.Answer(call.OpCountTokens, data, &call.Stream{})
		if json.Valid(data) || call.Value(bytes.TrimSpace(data)).Well() {
			return
		}
		if answer.Kind == call.FrameEnd || count.Kind == call.FrameEnd || frame.Kind.Meaningful() {
			t.Fatalf("%q is no JSON and was read as %v and %v", data, frame.Kind, answer.Kind)
		}
	})
}

// FuzzWhatWeSay holds that any message makes a well-formed body and exactly one
// frame, which is no terminator.
func FuzzWhatWeSay(f *testing.F) {
	for _, s := range []string{"plain", "\"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "\u2028 \u2029", "\xff\xfe", "\x00\r"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, message, code string) {
		p := call.Problem{Reason: call.ReasonQuotaExhausted, Message: message, Code: code, Request: code}
		if _, body := New().Refusal(p); !json.Valid(body) {
			t.Fatalf("not JSON: %q", body)
		}
		event := New().ErrorEvent(p, &call.Stream{})
		body, ok := bytes.CutSuffix(event, []byte("\n\n"))
		data, named := bytes.CutPrefix(body, []byte("event: error\ndata: "))
		if !ok || !named || bytes.ContainsAny(data, "\r\n\u2028\u2029") || !json.Valid(data) {
			t.Fatalf("not one frame: %q", event)
		}
		var s call.Stream
		if New().Frame([]byte("error"), data, &s).Kind != call.FrameError || s.Ended {
			t.Fatalf("not an error frame: %q", event)
		}
	})
}
