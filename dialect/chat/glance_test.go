package chat

import (
	"reflect"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// events are what a glance may understand, must leave to look, or must find
// broken.
var events = []string{
	contentChunk,
	`{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"yDGbMrO"}`,
	`{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}`,
	`{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]},"finish_reason":null}]}`,
	`{"choices":[{"delta":{"content":"a \" \\"},"content_filter_results":{"hate":{"filtered":false}}},{"delta":null},7,[]]}`,
	`{"choices":[{"delta":{"refusal":"I cannot"}}]}`,
	`{"choices":[{"delta":{},"finish_reason":"stop"}]}`,
	`{"choices":[{"text":"a","finish_reason":""}]}`,
	`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":-4}}`,
	`{"choices":[],"usage":null,"error":null}`,
	`{"id":"x","model":"y","choices":null}`,
	`{"object":"error","message":"no"}`,
	`{"error":{"message":"no"}}`,
	`{"\u0063hoices":[{"delta":{"\u0063ontent":"a"}}]}`,
	"{\"choices\":[{\"delta\":{\"content\":\"\xff\",\"\xff\":1}}]}",
	` { "choices" : [ { "delta" : { "content" : "a" , "x" : [ ] } } , ] } `,
	`{"choices":[{"delta":{"content":"a"}}]`, `{"choices":[{"delta":{"content":"a"}}]}}`, `{"choices":[{"delta":{"content":"a",}}]}`,
	`{"choices":[{"delta":{"content":nul}}]}`, `{}`, `{"a"}`, `{"a":}`, `[]`, ``, ` [DONE]`,
}

// agree holds that Frame, which glances first, means what look does.
func agree(t *testing.T, event, data []byte, s call.Stream) {
	t.Helper()
	quick, full := s, s
	got, want := New().Frame(event, data, &quick), look(event, data, &full)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(quick, full) {
		t.Fatalf("%q of %q after %+v: got %+v and %+v, want %+v and %+v", data, event, s, got, quick, want, full)
	}
	unread := s
	if _, ok := glance(event, data, &unread); !ok && !reflect.DeepEqual(unread, s) {
		t.Fatalf("%q was left to look, and %+v became %+v", data, s, unread)
	}
}

func TestAGlanceSeesWhatALookSees(t *testing.T) {
	for _, data := range events {
		for at := range len(data) + 1 { // as it is, cut, and with a byte of another kind
			for _, s := range []call.Stream{{}, {ID: "i", Model: "m", Started: true}} {
				agree(t, nil, []byte(data), s)
				agree(t, nil, []byte(data[:at]), s)
				for _, c := range []byte("\"\\{}[]:, n1\x80") {
					b := []byte(data)
					if at < len(b) {
						b[at] = c
					}
					agree(t, nil, b, s)
				}
				agree(t, []byte("error"), []byte(data), s)
			}
		}
	}
}

func TestAGlanceIsEnoughForAPieceOfText(t *testing.T) {
	for _, data := range events[:5] {
		s := call.Stream{ID: "i", Model: "m"}
		if _, ok := glance(nil, []byte(data), &s); !ok {
			t.Errorf("%s was left to look", data)
		}
	}
}

func FuzzAGlanceSeesWhatALookSees(f *testing.F) {
	for _, data := range events {
		f.Add("", []byte(data), "", "")
		f.Add("error", []byte(data), "i", "m")
	}
	f.Fuzz(func(t *testing.T, event string, data []byte, id, model string) {
		agree(t, []byte(event), data, call.Stream{ID: id, Model: model})
	})
}
