package responses

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

const contentEvent = `{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[],"sequence_number":7}`

func TestEventsMeanWhatTheirTypeSays(t *testing.T) {
	cases := []struct {
		name, event, data string
		want              call.FrameKind
		policy            string
		keepRaw           bool
	}{
		{name: "a comment only", data: "", want: call.FrameQuiet},
		{name: "created", data: `{"type":"response.created","response":{"id":"r"}}`, want: call.FrameQuiet},
		{name: "queued", data: `{"type":"response.queued","response":{"id":"r"}}`, want: call.FrameQuiet},
		{name: "a message begins", data: `{"type":"response.output_item.added","item":{"type":"message"}}`, want: call.FrameQuiet},
		{name: "a call begins", data: `{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}`, want: call.FrameQuiet},
		{name: "a part begins", data: `{"type":"response.content_part.added","part":{"type":"output_text","text":""}}`, want: call.FrameQuiet},
		{name: "an item is done", data: `{"type":"response.output_item.done","item":{"type":"message"}}`, want: call.FrameQuiet},
		{name: "text", data: contentEvent, want: call.FrameContent},
		{name: "text typed by its event only", event: "response.output_text.delta", data: `{"delta":"x"}`, want: call.FrameContent},
		{name: "an empty delta", data: `{"type":"response.output_text.delta","delta":""}`, want: call.FrameQuiet},
		{name: "arguments", data: `{"type":"response.function_call_arguments.delta","delta":"{"}`, want: call.FrameContent},
		{name: "a summary of reasoning", data: `{"type":"response.reasoning_summary_text.delta","delta":"x"}`, want: call.FrameContent},
		{name: "reasoning", data: `{"type":"response.reasoning_text.delta","delta":"x"}`, want: call.FrameContent},
		{name: "audio", data: `{"type":"response.audio.delta","delta":"AAA="}`, want: call.FrameContent},
		{name: "a custom tool's input", data: `{"type":"response.custom_tool_call_input.delta","delta":"x"}`, want: call.FrameContent},
		{name: "code", data: `{"type":"response.code_interpreter_call_code.delta","delta":"x"}`, want: call.FrameContent},
		{name: "arguments of an MCP call", data: `{"type":"response.mcp_call_arguments.delta","delta":"x"}`, want: call.FrameContent},
		{name: "an image growing", data: `{"type":"response.image_generation_call.partial_image","partial_image_b64":"AAA="}`, want: call.FrameContent},
		{name: "a refusal", data: `{"type":"response.refusal.delta","delta":"I"}`, want: call.FrameContent, policy: "refusal"},
		{name: "a refusal is done", data: `{"type":"response.refusal.done","refusal":"I cannot"}`, want: call.FrameQuiet, policy: "refusal"},
		{name: "what nobody knows yet", data: `{"type":"response.telepathy.started"}`, want: call.FrameQuiet},
		{name: "completed", data: `{"type":"response.completed","response":{"status":"completed","output":[]}}`, want: call.FrameEnd},
		{name: "completed with a refusal", data: `{"type":"response.completed","response":{"status":"completed","output":[{"content":[{"type":"refusal","refusal":"no"}]}]}}`, want: call.FrameEnd, policy: "refusal"},
		{name: "incomplete by length", data: `{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"}}}`, want: call.FrameEnd},
		{name: "incomplete by filter", data: `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}}`, want: call.FrameEnd, policy: "content_filter"},
		{name: "failed", data: `{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"no"}}}`, want: call.FrameError, keepRaw: true},
		{name: "a flat error", event: "error", data: `{"type":"error","code":"server_error","message":"no","param":null}`, want: call.FrameError},
		{name: "a nested error", event: "error", data: `{"type":"error","error":{"type":"x","code":"y","message":"no"}}`, want: call.FrameError},
		{name: "an error of the chat kind", data: `{"error":{"message":"no"}}`, want: call.FrameError},
		{name: "a cut event", data: contentEvent[:50], want: call.FrameMalformed},
		{name: "a terminator of another dialect", data: "[DONE]", want: call.FrameMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			got := New().Frame([]byte(c.event), []byte(c.data), &s)
			if got.Kind != c.want || got.Policy != c.policy || got.KeepRaw != c.keepRaw || s.Policy != c.policy {
				t.Errorf("got %v policy %q raw %v, want %v policy %q raw %v", got.Kind, got.Policy, got.KeepRaw, c.want, c.policy, c.keepRaw)
			}
			if s.Ended != (c.want == call.FrameEnd) || New().Ended(&s, true) != s.Ended || New().Ended(&s, false) != s.Ended {
				t.Errorf("the stream remembers an end: %v", s.Ended)
			}
			if s.Failed != (c.name == "failed") {
				t.Errorf("the stream remembers a failure: %v", s.Failed)
			}
		})
	}
}

func TestErrorsAreReadFlatAndNested(t *testing.T) {
	for _, data := range []string{
		`{"type":"error","code":"rate_limit_exceeded","message":"slow","param":"p","sequence_number":3}`,
		`{"type":"error","error":{"code":"rate_limit_exceeded","message":"slow","param":"p"}}`,
		`{"type":"error","code":"rate_limit_exceeded","message":"other","error":{"message":"slow","param":"p"}}`,
		`{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"slow","param":"p"}}}`,
	} {
		got := New().Frame([]byte("x"), []byte(data), &call.Stream{}).Problem
		if want := (call.Problem{Code: "rate_limit_exceeded", Message: "slow", Param: "p"}); got != want {
			t.Errorf("%s: got %+v", data, got)
		}
	}
}

func TestAStreamRemembersIdentityUsageAndSequence(t *testing.T) {
	var s call.Stream
	for _, data := range []string{
		`{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"m","status":"in_progress","usage":null}}`,
		contentEvent,
		`{"type":"response.completed","sequence_number":8,"response":{"id":"resp_1","model":"m","status":"completed","usage":{"input_tokens":10,"output_tokens":20,"input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":5}}}}`,
	} {
		New().Frame(nil, []byte(data), &s)
	}
	want := call.Usage{Input: 10, Output: 20, Cached: 4, Reasoning: 5, Known: true}
	if s.ID != "resp_1" || s.Model != "m" || s.Usage != want || s.Sequence != 8 || s.Finish != "completed" || !s.Content {
		t.Errorf("got %+v", s)
	}
}

func TestReadFindsWhatBindsARequestToAnAccount(t *testing.T) {
	cases := []struct {
		name, body string
		refs       []string
		pinned     bool
	}{
		{"nothing", `{"model":"m","input":"previous_response_id"}`, nil, false},
		{"a previous response", `{"previous_response_id":"resp_1"}`, []string{"resp_1"}, false},
		{"a null one", `{"previous_response_id":null}`, nil, false},
		{"a conversation by id", `{"conversation":"conv_1"}`, []string{"conv_1"}, false},
		{"a conversation as an object", `{"conversation":{"id":"conv_1"}}`, []string{"conv_1"}, false},
		{"a stored prompt", `{"prompt":{"id":"pmpt_1"}}`, []string{"pmpt_1"}, false},
		{"an item reference", `{"input":[{"type":"item_reference","id":"msg_1"}]}`, []string{"msg_1"}, false},
		{"an item reference without a type", `{"input":[{"id":"msg_1"}]}`, []string{"msg_1"}, false},
		{"a message with an id", `{"input":[{"type":"message","role":"user","id":"msg_1","content":"x"}]}`, nil, false},
		{"reasoning that is stored", `{"input":[{"type":"reasoning","id":"rs_1","summary":[]}]}`, []string{"rs_1"}, false},
		{"reasoning that is sealed", `{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gAAA"}]}`, nil, true},
		{"a file", `{"input":[{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}]}`, []string{"file_1"}, false},
		{"vector stores", `{"tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]}]}`, []string{"vs_1", "vs_2"}, false},
		{"a container", `{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}`, []string{"cntr_1"}, false},
		{"a new container with files", `{"tools":[{"container":{"type":"auto","file_ids":["file_1"]}}]}`, []string{"file_1"}, false},
		{"the caller's labels", `{"metadata":{"file_id":"mine"}}`, nil, false},
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
}

func TestReadFindsWhatTheStackNeeds(t *testing.T) {
	var r call.Request
	if err := New().Read([]byte(`{"model":"gpt-5","stream":true,"max_output_tokens":77,"input":"hi"}`), &r); err != nil {
		t.Fatal(err)
	}
	if r.Model != "gpt-5" || !r.Stream || r.MaxTokens != 77 || r.Choices != 1 {
		t.Errorf("got %+v", r)
	}
	if err := New().Read([]byte(`[]`), &r); err != call.ErrNotObject {
		t.Errorf("an array: %v", err)
	}
}

func TestAFloodOfIDsPinsAndIsNotRemembered(t *testing.T) {
	var r call.Request
	body := `{"tools":[{"vector_store_ids":["vs"` + strings.Repeat(`,"vs"`, 10_000) + `]}]}`
	if err := New().Read([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Refs) > 64 || !r.Pinned {
		t.Errorf("%d ids, pinned %v", len(r.Refs), r.Pinned)
	}
}

func TestAnswersAreCompleteOrNot(t *testing.T) {
	cases := []struct {
		name, body string
		want       call.FrameKind
		policy     string
	}{
		{"completed", `{"object":"response","status":"completed","error":null,"output":[{"type":"message"}]}`, call.FrameEnd, ""},
		{"queued in the background", `{"object":"response","status":"queued","output":[]}`, call.FrameEnd, ""},
		{"incomplete by filter", `{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}`, call.FrameEnd, "content_filter"},
		{"refused", `{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]}`, call.FrameEnd, "refusal"},
		{"a refusal that is empty", `{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":""}]}]}`, call.FrameEnd, ""},
		{"failed", `{"status":"failed","error":{"code":"server_error","message":"no"}}`, call.FrameError, ""},
		{"failed without a word", `{"status":"failed","error":null}`, call.FrameError, ""},
		{"an error under a 200", `{"error":{"message":"no"}}`, call.FrameError, ""},
		{"an empty object", `{}`, call.FrameMalformed, ""},
		{"HTML", `<html>`, call.FrameMalformed, ""},
		{"nothing", ``, call.FrameMalformed, ""},
		{"a cut answer", `{"status":"completed"`, call.FrameMalformed, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			got := New().Answer(call.OpResponses, []byte(c.body), &s)
			if got.Kind != c.want || got.Policy != c.policy || s.Ended != (c.want == call.FrameEnd) {
				t.Errorf("got %v policy %q, ended %v; want %v policy %q", got.Kind, got.Policy, s.Ended, c.want, c.policy)
			}
		})
	}
}

// events splits what ErrorEvent says into names and data.
func events(t *testing.T, text string) (names []string, data []map[string]any) {
	t.Helper()
	for _, block := range strings.Split(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		name, body, ok := strings.Cut(block, "\ndata: ")
		var m map[string]any
		if !ok || json.Unmarshal([]byte(body), &m) != nil {
			t.Fatalf("not an event: %q", block)
		}
		names, data = append(names, strings.TrimPrefix(name, "event: ")), append(data, m)
	}
	return names, data
}

func TestABrokenStreamEndsInEveryWayClientsHear(t *testing.T) {
	s := call.Stream{Started: true, ID: "resp_1", Model: "m", Sequence: 7}
	p := call.Problem{Reason: call.ReasonUpstreamUnreachable, Message: "gone", Param: "p"}
	names, data := events(t, string(New().ErrorEvent(p, &s)))
	if !slices.Equal(names, []string{"response.failed", "error"}) {
		t.Fatalf("got %q", names)
	}
	response := data[0]["response"].(map[string]any)
	if data[0]["sequence_number"] != 8.0 || response["id"] != "resp_1" || response["status"] != "failed" || response["error"].(map[string]any)["message"] != "gone" {
		t.Errorf("response.failed: %v", data[0])
	}
	nested := data[1]["error"].(map[string]any)
	if data[1]["sequence_number"] != 9.0 || data[1]["message"] != "gone" || data[1]["code"] != "upstream_unreachable" ||
		nested["message"] != "gone" || nested["type"] != "server_error" || nested["code"] != "upstream_unreachable" {
		t.Errorf("error: %v", data[1])
	}
}

func TestAFailureTheProviderToldIsNotToldTwice(t *testing.T) {
	var s call.Stream
	frame := New().Frame([]byte("response.failed"), []byte(`{"type":"response.failed","sequence_number":4,"response":{"id":"r","error":{"code":"server_error","message":"no"}}}`), &s)
	names, data := events(t, string(New().ErrorEvent(frame.Problem, &s)))
	if !slices.Equal(names, []string{"error"}) || data[0]["sequence_number"] != 5.0 || data[0]["code"] != "server_error" {
		t.Errorf("got %q %v", names, data)
	}
}

func TestAContentFrameAllocatesNothing(t *testing.T) {
	var s call.Stream
	d, name, data := New(), []byte("response.output_text.delta"), []byte(contentEvent)
	if n := testing.AllocsPerRun(100, func() { d.Frame(name, data, &s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkContentFrame(b *testing.B) {
	var s call.Stream
	d, name, data := New(), []byte("response.output_text.delta"), []byte(contentEvent)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if d.Frame(name, data, &s).Kind != call.FrameContent {
			b.Fatal("no content")
		}
	}
}
