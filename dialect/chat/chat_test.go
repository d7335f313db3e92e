package chat

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

const contentChunk = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1717866062,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}`

func TestFramesMeanWhatChunksSay(t *testing.T) {
	cases := []struct {
		name, event, data string
		want              call.FrameKind
		policy            string
		keepRaw           bool
	}{
		{name: "a comment only", data: "", want: call.FrameQuiet},
		{name: "the terminator", data: "[DONE]", want: call.FrameEnd},
		{name: "the terminator after a blank", data: " [DONE] ", want: call.FrameEnd},
		{name: "a role", data: `{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}`, want: call.FrameQuiet},
		{name: "text", data: contentChunk, want: call.FrameContent},
		{name: "Azure's first chunk", data: `{"choices":[],"id":"","model":"","object":"","prompt_filter_results":[{}]}`, want: call.FrameQuiet},
		{name: "usage", data: `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}`, want: call.FrameQuiet},
		{name: "an empty delta", data: `{"choices":[{"delta":{}}]}`, want: call.FrameQuiet},
		{name: "reasoning of DeepSeek", data: `{"choices":[{"delta":{"content":null,"reasoning_content":"Hm"}}]}`, want: call.FrameContent},
		{name: "reasoning of OpenRouter", data: `{"choices":[{"delta":{"content":"","reasoning":"Hm"}}]}`, want: call.FrameContent},
		{name: "a tool call", data: `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":""}}]}}]}`, want: call.FrameContent},
		{name: "an old function call", data: `{"choices":[{"delta":{"function_call":{"arguments":"{"}}}]}`, want: call.FrameContent},
		{name: "audio", data: `{"choices":[{"delta":{"audio":{"data":"AAA="}}}]}`, want: call.FrameContent},
		{name: "content in parts", data: `{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}`, want: call.FrameContent},
		{name: "an old completion", data: `{"choices":[{"text":"a","index":0}]}`, want: call.FrameContent},
		{name: "a refusal", data: `{"choices":[{"delta":{"refusal":"I cannot"}}]}`, want: call.FrameContent, policy: "refusal"},
		{name: "a finish", data: `{"choices":[{"delta":{},"finish_reason":"stop"}]}`, want: call.FrameFinish},
		{name: "a finish with content", data: `{"choices":[{"delta":{"content":"."},"finish_reason":"stop"}]}`, want: call.FrameFinish},
		{name: "a filter", data: `{"choices":[{"delta":{},"finish_reason":"content_filter"}]}`, want: call.FrameFinish, policy: "content_filter"},
		{name: "an error object", data: `{"error":{"message":"no","type":"server_error"}}`, want: call.FrameError, keepRaw: true},
		{name: "an error sentence", data: `{"error":"no"}`, want: call.FrameError},
		{name: "a named flat error", event: "error", data: `{"message":"no"}`, want: call.FrameError},
		{name: "an error that calls itself one", data: `{"object":"error","message":"no"}`, want: call.FrameError},
		{name: "no error at all", data: `{"error":null,"choices":[]}`, want: call.FrameQuiet},
		{name: "a cut chunk", data: contentChunk[:60], want: call.FrameMalformed},
		{name: "two chunks in one", data: contentChunk + contentChunk, want: call.FrameMalformed},
		{name: "HTML", data: `<html>`, want: call.FrameMalformed},
		{name: "a number", data: `17`, want: call.FrameMalformed},
		{name: "an array", data: `[{}]`, want: call.FrameMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			got := New().Frame([]byte(c.event), []byte(c.data), &s)
			if got.Kind != c.want || got.Policy != c.policy || got.KeepRaw != c.keepRaw {
				t.Errorf("got %v policy %q raw %v, want %v policy %q raw %v", got.Kind, got.Policy, got.KeepRaw, c.want, c.policy, c.keepRaw)
			}
			if s.Policy != c.policy {
				t.Errorf("the stream remembers policy %q, want %q", s.Policy, c.policy)
			}
			if want := got.Kind == call.FrameContent || got.Kind == call.FrameFinish; s.Content != want {
				t.Errorf("the stream remembers content %v, want %v", s.Content, want)
			}
		})
	}
}

func TestAStreamRemembersTheFirstIdentityAndTheLastUsage(t *testing.T) {
	var s call.Stream
	for _, data := range []string{
		`{"id":"","model":"","choices":[]}`,
		`{"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}`,
		`{"id":"b","model":"n","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
		`{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":5}}}`,
		`{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":1e300}}`,
	} {
		New().Frame(nil, []byte(data), &s)
	}
	want := call.Usage{Input: 10, Output: 20, Cached: 4, Reasoning: 5, Known: true, Odd: true} // the last names what is no count
	if s.ID != "a" || s.Model != "m" || s.Usage != want || !s.Started {
		t.Errorf("got id %q, model %q, usage %+v", s.ID, s.Model, s.Usage)
	}
}

func TestAnErrorInAStreamKeepsItsWords(t *testing.T) {
	var s call.Stream
	got := New().Frame(nil, []byte(`{"error":{"message":"Provider disconnected","code":502,"param":"x"}}`), &s).Problem
	if got.Message != "Provider disconnected" || got.Code != "502" || got.Status != 502 || got.Param != "x" {
		t.Errorf("got %+v", got)
	}
}

func TestAStreamIsCompleteWhenEveryChoiceHasFinished(t *testing.T) {
	finish := func(index string) string {
		return `{"choices":[{"index":` + index + `,"delta":{},"finish_reason":"stop"}]}`
	}
	s := call.Stream{Request: &call.Request{Choices: 2}}
	d := New()
	for range 2 { // a server that repeats itself has still finished one of two
		d.Frame(nil, []byte(finish("0")), &s)
	}
	if d.Ended(&s, false) {
		t.Fatal("one choice of two finished: complete")
	}
	d.Frame(nil, []byte(finish("1")), &s)
	if !d.Ended(&s, false) || d.Ended(&s, true) {
		t.Fatalf("two of two finished: lenient %v, strict %v; want true, false", d.Ended(&s, false), d.Ended(&s, true))
	}
	d.Frame(nil, []byte("[DONE]"), &s)
	if !d.Ended(&s, true) {
		t.Fatal("[DONE] was no end")
	}
	if d.Ended(&call.Stream{}, false) {
		t.Fatal("an empty stream is complete")
	}
}

func TestReadFindsWhatTheStackNeeds(t *testing.T) {
	const body = `{"model":"old","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}},{"type":"text","text":"say \"file_id\""}]},
		{"role":"assistant","audio":{"id":"audio_1"}}],"n":3,"max_tokens":5,"max_completion_tokens":70,"stream":true,"model":"gpt-4o","metadata":{"file_id":"mine"}}`
	var r call.Request
	if err := New().Read([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	if r.Model != "gpt-4o" || !r.Stream || r.Choices != 3 || r.MaxTokens != 70 || r.Pinned || r.InputTokens != len(body)/4 {
		t.Errorf("got %+v", r)
	}
	if want := []string{"file-1", "audio_1"}; !slices.Equal(r.Refs, want) {
		t.Errorf("refs %q, want %q", r.Refs, want)
	}
}

func TestReadDoesNotCountPicturesAsText(t *testing.T) {
	text, picture := strings.Repeat("word ", 1000), strings.Repeat("QUJD", 100_000)
	var r call.Request
	if err := New().Read([]byte(`{"a":"`+text+`","url":"data:image/png;base64,`+picture+`","data":"`+picture+`"}`), &r); err != nil {
		t.Fatal(err)
	}
	if r.InputTokens < 1250 || r.InputTokens > 1300 {
		t.Errorf("got %d tokens, want about 1250", r.InputTokens)
	}
}

func TestReadRefusesWhatIsNoObject(t *testing.T) {
	cases := []struct {
		name, body string
		want       error
	}{
		{"nothing", "", call.ErrEmptyBody},
		{"blanks", " \n", call.ErrEmptyBody},
		{"an array", `[{"model":"x"}]`, call.ErrNotObject},
		{"text", `hello`, call.ErrNotObject},
		{"a cut object", `{"model":"x"`, call.ErrNotObject},
		{"something after it", `{"model":"x"}{}`, call.ErrNotObject},
		{"a UTF-8 mark", "\xEF\xBB\xBF{}", call.ErrEncoding},
		{"UTF-16", "\xFF\xFE{\x00}\x00", call.ErrEncoding},
		{"UTF-16 without a mark", "{\x00}\x00", call.ErrEncoding},
		{"100,000 levels", `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, call.ErrDepth},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var r call.Request
			if err := New().Read([]byte(c.body), &r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAnswersAreCompleteOrNot(t *testing.T) {
	const whole = `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`
	cases := []struct {
		name, body string
		op         call.Op
		want       call.FrameKind
		policy     string
	}{
		{"an answer", whole, call.OpChat, call.FrameEnd, ""},
		{"an answer after keep-alive", "\n\n  \n" + whole, call.OpChat, call.FrameEnd, ""},
		{"a refusal", `{"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}`, call.OpChat, call.FrameEnd, "refusal"},
		{"a filter", `{"choices":[{"finish_reason":"content_filter","index":0}]}`, call.OpChat, call.FrameEnd, "content_filter"},
		{"an error under a 200", `{"error":{"message":"no","type":null,"param":"prompt","code":"content_filter","status":400}}`, call.OpChat, call.FrameError, ""},
		{"no choices", `{"object":"chat.completion","choices":[]}`, call.OpChat, call.FrameMalformed, ""},
		{"an empty object", `{}`, call.OpChat, call.FrameMalformed, ""},
		{"HTML", `<!DOCTYPE html>`, call.OpChat, call.FrameMalformed, ""},
		{"nothing", ``, call.OpChat, call.FrameMalformed, ""},
		{"a cut answer", whole[:100], call.OpChat, call.FrameMalformed, ""},
		{"vectors", `{"object":"list","data":[{"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}`, call.OpEmbeddings, call.FrameEnd, ""},
		{"no vectors", `{"object":"list","data":[]}`, call.OpEmbeddings, call.FrameMalformed, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			got := New().Answer(c.op, []byte(c.body), &s)
			if got.Kind != c.want || got.Policy != c.policy || s.Policy != c.policy || s.Ended != (c.want == call.FrameEnd) {
				t.Errorf("got %v policy %q, ended %v; want %v policy %q", got.Kind, got.Policy, s.Ended, c.want, c.policy)
			}
		})
	}
}

func TestRefusalsAreWhatOpenAIClientsParse(t *testing.T) {
	cases := []struct {
		problem   call.Problem
		status    int
		typ, code string
	}{
		{call.Problem{Reason: call.ReasonRateLimited}, 429, "rate_limit_error", "rate_limit_exceeded"},
		{call.Problem{Reason: call.ReasonRateLimited, Code: "too_many_requests"}, 429, "rate_limit_error", "too_many_requests"},
		{call.Problem{Reason: call.ReasonQueueFull}, 503, "service_unavailable_error", "server_is_overloaded"},
		{call.Problem{Reason: call.ReasonCircuitOpen, Status: 500}, 503, "service_unavailable_error", "circuit_open"},
		{call.Problem{Reason: call.ReasonDeadlineExceeded}, 504, "server_error", "timeout"},
		{call.Problem{Reason: call.ReasonQuotaExhausted, Code: "credit_balance_exhausted"}, 429, "insufficient_quota", "credit_balance_exhausted"},
		{call.Problem{Reason: call.ReasonPolicyStop}, 400, "invalid_request_error", "content_policy_violation"},
		{call.Problem{Reason: call.ReasonContextLength, Code: "invalid_request_error"}, 400, "invalid_request_error", "context_length_exceeded"},
		{call.Problem{Reason: call.ReasonUnauthorized}, 401, "invalid_request_error", "invalid_api_key"},
		{call.Problem{Reason: call.ReasonUnknownRoute}, 404, "invalid_request_error", "model_not_found"},
		{call.Problem{Reason: call.ReasonTooLarge}, 413, "invalid_request_error", "request_too_large"},
		{call.Problem{Reason: call.ReasonUpstreamExhausted}, 502, "server_error", "upstream_exhausted"},
		{call.Problem{Reason: call.ReasonUpstreamExhausted, Status: 429, Type: "tokens", Code: "rate_limit_exceeded"}, 429, "tokens", "rate_limit_exceeded"},
		{call.Problem{Reason: call.ReasonUpstreamExhausted, Status: 529}, 529, "service_unavailable_error", "upstream_exhausted"},
		{call.Problem{Status: 529, Type: "overloaded_error"}, 529, "overloaded_error", ""},
	}
	for _, c := range cases {
		c.problem.Message = "the <message> & more"
		status, body := New().Refusal(c.problem)
		var got struct {
			Error struct {
				Message     string
				Type        string
				Code, Param *string
			}
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		code := ""
		if got.Error.Code != nil {
			code = *got.Error.Code
		}
		if status != c.status || got.Error.Type != c.typ || code != c.code || got.Error.Param != nil || got.Error.Message != c.problem.Message {
			t.Errorf("%+v: got %d %s", c.problem, status, body)
		}
		if !strings.Contains(string(body), "the <message> & more") {
			t.Errorf("the message was escaped for HTML: %s", body)
		}
	}
}

func TestAnErrorEventIsAnErrorFrameAndNoEnd(t *testing.T) {
	var s call.Stream
	event := string(New().ErrorEvent(call.Problem{Reason: call.ReasonUpstreamUnreachable, Message: "gone"}, &s))
	data, ok := strings.CutPrefix(event, "data: ")
	if !ok || !strings.HasSuffix(event, "\n\n") || strings.Contains(event, "[DONE]") {
		t.Fatalf("got %q", event)
	}
	if got := New().Frame(nil, []byte(data), &s); got.Kind != call.FrameError || !got.KeepRaw || got.Problem.Message != "gone" || New().Ended(&s, false) {
		t.Errorf("read back: %+v", got)
	}
}

func TestAContentFrameAllocatesNothing(t *testing.T) {
	s := call.Stream{ID: "chatcmpl-1", Model: "gpt-4o"}
	d, data := New(), []byte(contentChunk)
	if n := testing.AllocsPerRun(100, func() { d.Frame(nil, data, &s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkContentFrame(b *testing.B) {
	s := call.Stream{ID: "chatcmpl-1", Model: "gpt-4o"}
	d, data := New(), []byte(contentChunk)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if d.Frame(nil, data, &s).Kind != call.FrameContent {
			b.Fatal("no content")
		}
	}
}

func BenchmarkReadOfA100KBBody(b *testing.B) {
	d, body := New(), []byte(`{"model":"m","messages":[{"role":"user","content":"`+strings.Repeat("twelve words. ", 7000)+`"}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var r call.Request
		if d.Read(body, &r) != nil {
			b.Fatal("unreadable")
		}
	}
}
