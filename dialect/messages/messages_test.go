package messages

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

const contentEvent = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}              }`

func TestEventsMeanWhatTheirTypeSays(t *testing.T) {
	cases := []struct {
		name, event, data string
		want              call.FrameKind
		policy            string
		keepRaw           bool
	}{
		{name: "a comment only", data: "", want: call.FrameQuiet},
		{name: "a message begins", data: `{"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":1}}}`, want: call.FrameQuiet},
		{name: "a ping", data: `{"type": "ping"}`, want: call.FrameQuiet},
		{name: "a ping without data", event: "ping", data: "", want: call.FrameQuiet},
		{name: "a block begins", data: `{"type":"content_block_start","content_block":{"type":"text","text":""}}`, want: call.FrameQuiet},
		{name: "a block begins with text in it", data: `{"type":"content_block_start","content_block":{"type":"text","text":"x"}}`, want: call.FrameContent},
		{name: "a tool begins", data: `{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`, want: call.FrameQuiet},
		{name: "text", data: contentEvent, want: call.FrameContent},
		{name: "text typed by its event only", event: "content_block_delta", data: `{"delta":{"type":"text_delta","text":"x"}}`, want: call.FrameContent},
		{name: "an empty delta", data: `{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}`, want: call.FrameQuiet},
		{name: "thinking", data: `{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"x"}}`, want: call.FrameContent},
		{name: "a signature", data: `{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"x"}}`, want: call.FrameQuiet},
		{name: "a tool's input", data: `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}`, want: call.FrameContent},
		{name: "a citation", data: `{"type":"content_block_delta","delta":{"type":"citations_delta","citation":{"cited_text":"x"}}}`, want: call.FrameContent},
		{name: "a block ends", data: `{"type":"content_block_stop","index":0}`, want: call.FrameQuiet},
		{name: "a reason to stop", data: `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`, want: call.FrameFinish},
		{name: "no reason yet", data: `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":2}}`, want: call.FrameQuiet},
		{name: "a refusal", data: `{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":null}}`, want: call.FrameFinish, policy: "refusal"},
		{name: "a refusal with a category", data: `{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio"}}}`, want: call.FrameFinish, policy: "bio"},
		{name: "a refusal detailed beside the delta", data: `{"type":"message_delta","delta":{"stop_reason":"refusal"},"stop_details":{"category":"cyber"}}`, want: call.FrameFinish, policy: "cyber"},
		{name: "a refusal of a kind nobody knows", data: `{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"category":"A very long story"}}}`, want: call.FrameFinish, policy: "refusal"},
		{name: "the end", data: `{"type":"message_stop"   }`, want: call.FrameEnd},
		{name: "what nobody knows yet", data: `{"type":"dream"}`, want: call.FrameQuiet},
		{name: "an error SDKs raise", event: "error", data: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, want: call.FrameError, keepRaw: true},
		{name: "an error without its event name", data: `{"type":"error","error":{"type":"overloaded_error"}}`, want: call.FrameError},
		{name: "a flat error", event: "error", data: `{"message":"no"}`, want: call.FrameError},
		{name: "an error of the chat kind", data: `{"error":{"message":"no"}}`, want: call.FrameError},
		{name: "a cut event", event: "content_block_delta", data: contentEvent[:50], want: call.FrameMalformed},
		{name: "a terminator of another dialect", data: "[DONE]", want: call.FrameMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			got := New().Frame([]byte(c.event), []byte(c.data), &s)
			if got.Kind != c.want || got.Policy != c.policy || got.KeepRaw != c.keepRaw || s.Policy != c.policy {
				t.Errorf("got %v policy %q raw %v, want %v policy %q raw %v", got.Kind, got.Policy, got.KeepRaw, c.want, c.policy, c.keepRaw)
			}
			if s.Ended != (c.want == call.FrameEnd) {
				t.Errorf("the stream remembers an end: %v", s.Ended)
			}
		})
	}
}

func TestUsageIsTheWholePromptAndTheLastCount(t *testing.T) {
	var s call.Stream
	for _, data := range []string{
		`{"type":"message_start","message":{"id":"msg_1","model":"claude","usage":{"input_tokens":4,"cache_creation_input_tokens":1000,"cache_read_input_tokens":200,"output_tokens":1}}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":201}}`,
	} {
		New().Frame(nil, []byte(data), &s)
	}
	want := call.Usage{Input: 1204, Cached: 200, Output: 201, Known: true}
	if s.Usage != want || s.ID != "msg_1" || s.Model != "claude" || s.Finish != "end_turn" {
		t.Errorf("got %+v, want usage %+v", s, want)
	}
	New().Frame(nil, []byte(`{"type":"message_delta","delta":{},"usage":{"input_tokens":-5,"output_tokens":1.5}}`), &s)
	want.Odd = true
	if s.Usage != want {
		t.Errorf("what is no count changed the usage to %+v", s.Usage)
	}
}

func TestAStreamIsCompleteAtItsStop(t *testing.T) {
	var s call.Stream
	d := New()
	d.Frame(nil, []byte(contentEvent), &s)
	if d.Ended(&s, false) {
		t.Error("complete in the middle of a text")
	}
	d.Frame(nil, []byte(`{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`), &s)
	if !d.Ended(&s, false) || d.Ended(&s, true) {
		t.Error("a stop reason must end a lenient stream only")
	}
	d.Frame(nil, []byte(`{"type":"message_stop"}`), &s)
	if !d.Ended(&s, true) {
		t.Error("message_stop was no end")
	}
}

func TestReadFindsWhatTheStackNeeds(t *testing.T) {
	cases := []struct {
		name, body string
		refs       []string
		pinned     bool
	}{
		{"nothing", `{"messages":[{"role":"user","content":"signature file_id"}]}`, nil, false},
		{"a container", `{"container":"container_1"}`, []string{"container_1"}, false},
		{"a container as an object", `{"container":{"id":"container_1","skills":[]}}`, []string{"container_1"}, false},
		{"a file", `{"messages":[{"content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}`, []string{"file_1"}, false},
		{"an uploaded file", `{"messages":[{"content":[{"type":"container_upload","file_id":"file_1"}]}]}`, []string{"file_1"}, false},
		{"signed thinking", `{"messages":[{"content":[{"type":"thinking","thinking":"x","signature":"Eo8"}]}]}`, nil, true},
		{"sealed thinking", `{"messages":[{"content":[{"type":"redacted_thinking","data":"Eo8"}]}]}`, nil, true},
		{"a tool with such words in its input", `{"messages":[{"content":[{"type":"tool_use","input":{"signature":"x","file_id":"y"}}]}]}`, nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var r call.Request
			if err := New().Read([]byte(c.body), &r); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.Refs, c.refs) || r.Pinned != c.pinned {
				t.Errorf("got %q pinned %v, want %q pinned %v", r.Refs, r.Pinned, c.refs, c.pinned)
			}
		})
	}
	var r call.Request
	if err := New().Read([]byte(`{"model":"claude","stream":true,"max_tokens":77}`), &r); err != nil || r.Model != "claude" || !r.Stream || r.MaxTokens != 77 || r.Choices != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := New().Read([]byte(`"text"`), &r); err != call.ErrNotObject {
		t.Errorf("a string: %v", err)
	}
}

func TestAnswersAreCompleteOrNot(t *testing.T) {
	cases := []struct {
		name, body string
		op         call.Op
		want       call.FrameKind
		policy     string
	}{
		{"a message", `{"id":"m","type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}`, call.OpMessages, call.FrameEnd, ""},
		{"a message with nothing to add", `{"type":"message","content":[],"stop_reason":"end_turn"}`, call.OpMessages, call.FrameEnd, ""},
		{"a refusal", `{"type":"message","content":[],"stop_reason":"refusal","stop_details":{"category":"general_harms"}}`, call.OpMessages, call.FrameEnd, "general_harms"},
		{"an error under a 200", `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, call.OpMessages, call.FrameError, ""},
		{"no content", `{"type":"message"}`, call.OpMessages, call.FrameMalformed, ""},
		{"another dialect", `{"object":"chat.completion","choices":[{}]}`, call.OpMessages, call.FrameMalformed, ""},
		{"HTML", `<html>`, call.OpMessages, call.FrameMalformed, ""},
		{"nothing", ``, call.OpMessages, call.FrameMalformed, ""},
		{"a count", `{"input_tokens":14}`, call.OpCountTokens, call.FrameEnd, ""},
		{"no count", `{"input_tokens":"14"}`, call.OpCountTokens, call.FrameMalformed, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			got := New().Answer(c.op, []byte(c.body), &s)
			if got.Kind != c.want || got.Policy != c.policy || s.Ended != (c.want == call.FrameEnd) {
				t.Errorf("got %v policy %q, ended %v; want %v policy %q", got.Kind, got.Policy, s.Ended, c.want, c.policy)
			}
		})
	}
}

func TestRefusalsAreWhatAnthropicClientsParse(t *testing.T) {
	cases := []struct {
		problem call.Problem
		status  int
		typ     string
		code    string
	}{
		{call.Problem{Reason: call.ReasonRateLimited}, 429, "rate_limit_error", ""},
		{call.Problem{Reason: call.ReasonQueueFull}, 529, "overloaded_error", ""},
		{call.Problem{Reason: call.ReasonCircuitOpen}, 529, "overloaded_error", ""},
		{call.Problem{Reason: call.ReasonDeadlineExceeded}, 504, "timeout_error", ""},
		{call.Problem{Reason: call.ReasonQuotaExhausted, Code: "enforced_spend_limit_reached"}, 429, "rate_limit_error", "enforced_spend_limit_reached"},
		{call.Problem{Reason: call.ReasonPolicyStop, Code: "x"}, 400, "invalid_request_error", ""},
		{call.Problem{Reason: call.ReasonUnauthorized}, 401, "authentication_error", ""},
		{call.Problem{Reason: call.ReasonUnknownRoute}, 404, "not_found_error", ""},
		{call.Problem{Reason: call.ReasonUpstreamExhausted}, 502, "api_error", ""},
		{call.Problem{Reason: call.ReasonUpstreamExhausted, Status: 503, Type: "service_unavailable_error"}, 503, "overloaded_error", ""},
		{call.Problem{Reason: call.ReasonUpstreamExhausted, Status: 529, Type: "overloaded_error"}, 529, "overloaded_error", ""},
		{call.Problem{Type: "overloaded_error"}, 529, "overloaded_error", ""},
		{call.Problem{Status: 418, Type: "teapot"}, 418, "invalid_request_error", ""},
	}
	for _, c := range cases {
		c.problem.Message, c.problem.Request = "the <message>", "req_1"
		status, body := New().Refusal(c.problem)
		var got struct {
			Type  string
			Error struct {
				Type, Message string
				Details       struct {
					Code string `json:"error_code"`
				}
			}
			Request string `json:"request_id"`
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if status != c.status || got.Type != "error" || got.Error.Type != c.typ || got.Error.Details.Code != c.code ||
			got.Error.Message != "the <message>" || got.Request != "req_1" {
			t.Errorf("%+v: got %d %s", c.problem, status, body)
		}
	}
}

func TestAnErrorEventIsAnErrorFrameAndNoEnd(t *testing.T) {
	var s call.Stream
	event := string(New().ErrorEvent(call.Problem{Reason: call.ReasonUpstreamUnreachable, Message: "gone"}, &s))
	data, ok := strings.CutPrefix(event, "event: error\ndata: ")
	if !ok || !strings.HasSuffix(event, "\n\n") || strings.Contains(event, "message_stop") {
		t.Fatalf("got %q", event)
	}
	got := New().Frame([]byte("error"), []byte(data), &s)
	if got.Kind != call.FrameError || !got.KeepRaw || got.Problem.Type != "api_error" || New().Ended(&s, false) {
		t.Errorf("read back: %+v", got)
	}
}

func TestAContentFrameAllocatesNothing(t *testing.T) {
	var s call.Stream
	d, name, data := New(), []byte("content_block_delta"), []byte(contentEvent)
	if n := testing.AllocsPerRun(100, func() { d.Frame(name, data, &s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkContentFrame(b *testing.B) {
	var s call.Stream
	d, name, data := New(), []byte("content_block_delta"), []byte(contentEvent)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if d.Frame(name, data, &s).Kind != call.FrameContent {
			b.Fatal("no content")
		}
	}
}
