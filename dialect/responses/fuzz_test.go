package responses

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// FuzzBytesFromOutside asks only for no panic, and that nothing broken passes
// for good.
func FuzzBytesFromOutside(f *testing.F) {
	for _, s := range []string{contentEvent, `{"type":"\u0065rror"}`, `{"type":5,"response":[]}`, `{"type":"response.completed","response":"x"}`, `{"sequence_number":9007199254740991}`, `{"input":[[],{"id":1}]}`} {
		f.Add([]byte("error"), []byte(s))
	}
	f.Fuzz(func(t *testing.T, event, data []byte) {
		d := New()
		var s call.Stream
		var r call.Request
		frame := d.Frame(event, data, &s)
		d.ErrorEvent(frame.Problem, &s)
		_ = d.Read(data, &r)
		answer := d.Answer(call.OpResponses, data, &call.Stream{})
		if json.Valid(data) || call.Value(bytes.TrimSpace(data)).Well() {
			return
		}
		if answer.Kind == call.FrameEnd || frame.Kind.Meaningful() {
			t.Fatalf("%q is no JSON and was read as %v and %v", data, frame.Kind, answer.Kind)
		}
	})
}

// FuzzWhatWeSay holds that any message makes a well-formed body and whole
// frames, none of which is a terminator.
func FuzzWhatWeSay(f *testing.F) {
	for _, s := range []string{"plain", "\"}\n\nevent: response.completed\ndata: {}\n\n", "\u2028 \u2029", "\xff\xfe", "\x00\r"} {
		f.Add(s, s, false)
		f.Add(s, s, true)
	}
	f.Fuzz(func(t *testing.T, message, code string, failed bool) {
		p := call.Problem{Reason: call.ReasonQuotaExhausted, Message: message, Code: code, Param: code}
		if _, body := New().Refusal(p); !json.Valid(body) {
			t.Fatalf("not JSON: %q", body)
		}
		said := New().ErrorEvent(p, &call.Stream{ID: code, Model: message, Failed: failed})
		var s call.Stream
		for _, event := range bytes.SplitAfter(said, []byte("\n\n")) {
			if len(event) == 0 {
				continue
			}
			name, data, ok := bytes.Cut(bytes.TrimSuffix(event, []byte("\n\n")), []byte("\ndata: "))
			name, named := bytes.CutPrefix(name, []byte("event: "))
			if !ok || !named || bytes.ContainsAny(data, "\r\n\u2028\u2029") || !json.Valid(data) {
				t.Fatalf("not a frame: %q", event)
			}
			if New().Frame(name, data, &s).Kind != call.FrameError {
				t.Fatalf("not an error frame: %q", event)
			}
		}
		if s.Ended || s.Failed == failed {
			t.Fatalf("ended %v, told the failure %v: %q", s.Ended, s.Failed, said)
		}
	})
}
