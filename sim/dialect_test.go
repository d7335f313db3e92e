package sim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-gateway/holdfast/sim"
)

func TestAChatStreamIsWhatTheVendorSends(t *testing.T) {
	_, s := start(t, sim.Dials{})
	got := post(t, s.URL+"/v1/chat/completions",
		`{"model":"gpt-x","stream":true,"max_tokens":3,"messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}`)
	if got.status != 200 || got.err != nil || !strings.HasPrefix(got.header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("got %+v", got)
	}
	fs := frames(got.body)
	if len(fs) != 7 {
		t.Fatalf("%d events in %s, want role, 3 tokens, finish, usage, [DONE]", len(fs), got.body)
	}
	for i, want := range []string{`"role":"assistant"`, `"delta":{"content":"`, `"delta":{"content":" `, `"delta":{"content":" `,
		`"delta":{},"logprobs":null,"finish_reason":"length"`, `"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4`, "[DONE]"} {
		if !strings.Contains(fs[i].data, want) || fs[i].event != "" {
			t.Errorf("event %d is %+v, want %s", i, fs[i], want)
		}
		if i < 5 && !strings.HasSuffix(fs[i].data, `"usage":null}`) {
			t.Errorf("event %d is %s, want usage null", i, fs[i].data)
		}
	}
}

func TestAChatStreamHasNoUsageUnlessAsked(t *testing.T) {
	_, s := start(t, sim.Dials{})
	got := post(t, s.URL+dialects[0].path, dialects[0].ask("gpt-x", "hi", true))
	if strings.Contains(got.body, "usage") || len(tokens(got.body)) != 20 {
		t.Errorf("%d tokens in %s, want 20 and no usage", len(tokens(got.body)), got.body)
	}
}

func TestNamedStreamsHaveTheVendorsEventsInOrder(t *testing.T) {
	_, s := start(t, sim.Dials{OutputTokens: 2})
	for _, c := range []struct {
		d    dialect
		want string
	}{
		{dialects[1], "response.created response.in_progress response.output_item.added response.content_part.added " +
			"response.output_text.delta response.output_text.delta response.output_text.done response.content_part.done " +
			"response.output_item.done response.completed"},
		{dialects[2], "message_start content_block_start ping content_block_delta content_block_delta content_block_stop " +
			"message_delta message_stop"},
	} {
		got := post(t, s.URL+c.d.path, c.d.ask("m", "hi", true))
		var names []string
		for i, f := range frames(got.body) {
			var data struct {
				Type     string
				Sequence *int `json:"sequence_number"`
			}
			if err := json.Unmarshal([]byte(f.data), &data); err != nil || data.Type != f.event {
				t.Errorf("%s: event %+v: %v", c.d.name, f, err)
			}
			if c.d.name == "responses" && (data.Sequence == nil || *data.Sequence != i) {
				t.Errorf("event %d has sequence number %v", i, data.Sequence)
			}
			names = append(names, f.event)
		}
		if joined := strings.Join(names, " "); joined != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.d.name, joined, c.want)
		}
	}
}

func TestAStreamSaysTheSameAsAWholeAnswer(t *testing.T) {
	_, s := start(t, sim.Dials{})
	for _, d := range dialects {
		streamed := post(t, s.URL+d.path, d.ask("m", "hi", true))
		whole := post(t, s.URL+d.path, d.ask("m", "hi", false))
		if a, b := words(streamed.body), spoken(t, whole.body); a != b || a == "" {
			t.Errorf("%s: streamed %q, whole %q", d.name, a, b)
		}
		if got := whole.header.Get("Content-Length"); got != fmt.Sprint(len(whole.body)) {
			t.Errorf("%s: Content-Length %q, body of %d bytes", d.name, got, len(whole.body))
		}
	}
}

func TestWordsFollowFromSeedModelAndConversationAlone(t *testing.T) {
	_, first := start(t, sim.Dials{Seed: 7})
	_, second := start(t, sim.Dials{Seed: 7})
	_, third := start(t, sim.Dials{Seed: 8})
	say := func(url, model, prompt string, d dialect) string {
		return spoken(t, post(t, url+d.path, d.ask(model, prompt, false)).body)
	}
	want := say(first.URL, "m", "hi", dialects[0])
	for _, d := range dialects {
		if got := say(second.URL, "m", "hi", d); got != want {
			t.Errorf("the same seed in %s says %q, want %q", d.name, got, want)
		}
	}
	if len(want) == utf8.RuneCountInString(want) {
		t.Errorf("%q has no character of several bytes", want)
	}
	for what, got := range map[string]string{
		"another seed":   say(third.URL, "m", "hi", dialects[0]),
		"another model":  say(first.URL, "n", "hi", dialects[0]),
		"another prompt": say(first.URL, "m", "ho", dialects[0]),
	} {
		if got == want {
			t.Errorf("%s says the same", what)
		}
	}
	if a, b := say(first.URL, "sim/ok", "hi", dialects[0]), say(first.URL, "sim/no-done", "hi", dialects[0]); a != b {
		t.Errorf("two sim/ models say %q and %q, want the same", a, b)
	}
}

func TestTokenLimitsEndTheAnswerWithTheRightReason(t *testing.T) {
	_, s := start(t, sim.Dials{OutputTokens: 8})
	for _, c := range []struct {
		path, body, reason string
		count              string
	}{
		{"/v1/chat/completions", `{"model":"m","max_completion_tokens":5,"messages":[{"role":"user","content":"hi"}]}`, `"finish_reason":"length"`, `"completion_tokens":5`},
		{"/v1/chat/completions", `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`, `"finish_reason":"stop"`, `"completion_tokens":8`},
		{"/v1/responses", `{"model":"m","max_output_tokens":5,"input":"hi"}`, `"incomplete_details":{"reason":"max_output_tokens"}`, `"output_tokens":5`},
		{"/v1/messages", `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`, `"stop_reason":"max_tokens"`, `"output_tokens":5`},
		{"/v1/messages", `{"model":"m","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}`, `"stop_reason":"end_turn"`, `"output_tokens":8`},
	} {
		got := post(t, s.URL+c.path, c.body)
		if !strings.Contains(got.body, c.reason) || !strings.Contains(got.body, c.count) {
			t.Errorf("%s: got %s, want %s and %s", c.body, got.body, c.reason, c.count)
		}
	}
}

func TestAskingForAToolGetsACallWithValidArguments(t *testing.T) {
	_, s := start(t, sim.Dials{})
	schema := `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"},"unit":{"enum":["c"]}}}`
	tools := []string{
		`"tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]`,
		`"tools":[{"type":"function","name":"weather","parameters":` + schema + `}]`,
		`"tools":[{"name":"weather","input_schema":` + schema + `}]`,
	}
	reasons := []string{`"finish_reason":"tool_calls"`, `"type":"function_call"`, `"stop_reason":"tool_use"`}
	for i, d := range dialects {
		for _, stream := range []bool{false, true} {
			got := post(t, s.URL+d.path, d.ask("m", "Please use the tool", stream, tools[i]))
			if !strings.Contains(got.body, reasons[i]) || !strings.Contains(got.body, `"name":"weather"`) {
				t.Errorf("%s stream=%v: no call in %s", d.name, stream, got.body)
			}
			if stream {
				checkArguments(t, d.name, words(got.body))
			}
		}
		got := post(t, s.URL+d.path, d.ask("m", "Just talk", false, tools[i]))
		if strings.Contains(got.body, reasons[i]) {
			t.Errorf("%s: a call without being asked: %s", d.name, got.body)
		}
	}
}

func checkArguments(t *testing.T, name, arguments string) {
	t.Helper()
	var a struct {
		City string
		Days *int
		Unit string
	}
	if err := json.Unmarshal([]byte(arguments), &a); err != nil || a.City == "" || a.Days == nil || a.Unit != "c" {
		t.Errorf("%s: arguments %q: %+v, %v", name, arguments, a, err)
	}
}

func TestToolChoiceIsObeyed(t *testing.T) {
	_, s := start(t, sim.Dials{})
	d := dialects[0]
	tools := `"tools":[{"type":"function","function":{"name":"one"}},{"type":"function","function":{"name":"two"}}]`
	for choice, want := range map[string]string{
		`"none"`: "", `"required"`: "one", `"auto"`: "one",
		`{"type":"function","function":{"name":"two"}}`: "two",
	} {
		got := post(t, s.URL+d.path, d.ask("m", "use a tool", false, tools, `"tool_choice":`+choice))
		if called := strings.Contains(got.body, `"tool_calls"`); called != (want != "") || !strings.Contains(got.body, want) {
			t.Errorf("tool_choice %s: %s, want a call of %q", choice, got.body, want)
		}
	}
}

func TestAnAnswerToAToolsResultIsText(t *testing.T) {
	_, s := start(t, sim.Dials{})
	got := post(t, s.URL+"/v1/chat/completions", `{"model":"m","tools":[{"type":"function","function":{"name":"one"}}],"messages":[
		{"role":"user","content":"use the tool"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"one","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"call_1","content":"the tool says 4"}]}`)
	if strings.Contains(got.body, "tool_calls") || spoken(t, got.body) == "" {
		t.Errorf("got %s, want text", got.body)
	}
}

func TestAPrefillIsGoneOnFrom(t *testing.T) {
	_, s := start(t, sim.Dials{})
	d := dialects[2]
	full := spoken(t, post(t, s.URL+d.path, d.ask("sim/ok", "hi", false)).body)
	cut := len("anchor") + 3
	for cut > 0 && !utf8.RuneStart(full[cut]) {
		cut--
	}
	if full[cut-1] == ' ' {
		cut--
	}
	body := fmt.Sprintf(`{"model":%%q,"max_tokens":100,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":%q}]}`, full[:cut])

	rest := spoken(t, post(t, s.URL+d.path, fmt.Sprintf(body, "sim/ok")).body)
	if full[:cut]+rest != full {
		t.Errorf("went on with %q after %q, want the rest of %q", rest, full[:cut], full)
	}
	if again := spoken(t, post(t, s.URL+d.path, fmt.Sprintf(body, "sim/ignores-prefill")).body); again != full {
		t.Errorf("sim/ignores-prefill says %q, want %q", again, full)
	}
	if got := post(t, s.URL+d.path, fmt.Sprintf(body, "sim/refuses-prefill")); got.status != 400 || !strings.Contains(got.body, "prefill") {
		t.Errorf("sim/refuses-prefill: %+v, want 400", got)
	}
	if got := post(t, s.URL+d.path, d.ask("sim/refuses-prefill", "hi", false)); got.status != 200 {
		t.Errorf("sim/refuses-prefill without a prefill: %+v, want 200", got)
	}
}

func TestGoingOnFromForeignOrLongWordsStillGivesWords(t *testing.T) {
	_, s := start(t, sim.Dials{OutputTokens: 4})
	for _, prefill := range []string{"Somebody else said", strings.Repeat("word ", 50) + "end"} {
		got := post(t, s.URL+"/v1/chat/completions", fmt.Sprintf(
			`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":%q}]}`, prefill))
		if text := spoken(t, got.body); !strings.HasPrefix(text, " ") || len(strings.Fields(text)) != 4 {
			t.Errorf("after %.20q: %q, want four more words", prefill, text)
		}
	}
}

func TestEmbeddingsAreVectorsOfLengthOneInBothEncodings(t *testing.T) {
	_, s := start(t, sim.Dials{})
	var got struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
		Usage struct {
			PromptTokens int `json:"prompt_tokens"`
		}
	}
	a := post(t, s.URL+"/v1/embeddings", `{"model":"e","input":["one","two"],"dimensions":8}`)
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || len(got.Data) != 2 || got.Data[1].Index != 1 || got.Usage.PromptTokens == 0 {
		t.Fatalf("got %s, %v", a.body, err)
	}
	sum := 0.0
	for _, x := range got.Data[0].Embedding {
		sum += x * x
	}
	if len(got.Data[0].Embedding) != 8 || sum < 0.999 || sum > 1.001 || slices.Equal(got.Data[0].Embedding, got.Data[1].Embedding) {
		t.Errorf("vectors %v of length² %v", got.Data, sum)
	}
	packed := post(t, s.URL+"/v1/embeddings", `{"model":"e","input":"one","encoding_format":"base64"}`)
	if !strings.Contains(packed.body, `"embedding":"`) || len(packed.body) < 1536*4*4/3 {
		t.Errorf("base64: %.100s of %d bytes", packed.body, len(packed.body))
	}
	for _, bad := range []string{`{"model":"e"}`, `{"model":"e","input":[]}`, `{"model":"e","input":""}`, `{"model":"e","input":"a","dimensions":9999}`} {
		if got := post(t, s.URL+"/v1/embeddings", bad); got.status != 400 {
			t.Errorf("%s: %d, want 400", bad, got.status)
		}
	}
}

func TestModelsListAllFaultsInBothStyles(t *testing.T) {
	_, s := start(t, sim.Dials{})
	openai := do(t, s.Client(), "GET", s.URL+"/v1/models", "")
	anthropic := do(t, s.Client(), "GET", s.URL+"/v1/models", "", "anthropic-version", "2023-06-01")
	for _, want := range []string{"sim/ok", "sim/cut-after-40", "sim/no-newline", "gpt-sim"} {
		if !strings.Contains(openai.body, `"id":"`+want+`"`) || !strings.Contains(anthropic.body, `"id":"`+want+`"`) {
			t.Errorf("%s is missing in a list", want)
		}
	}
	if !strings.Contains(openai.body, `"object":"list"`) || !strings.Contains(anthropic.body, `"has_more":false`) {
		t.Errorf("lists %.100s and %.100s", openai.body, anthropic.body)
	}
	if got := do(t, s.Client(), "GET", s.URL+"/v1/models/sim/ok", ""); !strings.Contains(got.body, `"id":"sim/ok"`) {
		t.Errorf("one model: %+v", got)
	}
}

func TestStoredResponsesCanBeFetchedAndDeletedOnce(t *testing.T) {
	_, s := start(t, sim.Dials{})
	made := post(t, s.URL+"/v1/responses", `{"model":"m","input":"hi"}`)
	var r struct{ ID string }
	if json.Unmarshal([]byte(made.body), &r) != nil || r.ID == "" {
		t.Fatalf("got %s", made.body)
	}
	url := s.URL + "/v1/responses/" + r.ID
	if got := do(t, s.Client(), "GET", url, ""); got.body != made.body {
		t.Errorf("fetched %s, want %s", got.body, made.body)
	}
	again := post(t, s.URL+"/v1/responses", fmt.Sprintf(`{"model":"m","input":"and","previous_response_id":%q}`, r.ID))
	if again.status != 200 {
		t.Errorf("going on: %+v", again)
	}
	if got := do(t, s.Client(), "DELETE", url, ""); !strings.Contains(got.body, `"deleted":true`) {
		t.Errorf("deleted %+v", got)
	}
	if got := do(t, s.Client(), "GET", url, ""); got.status != 404 {
		t.Errorf("fetched after deletion: %+v", got)
	}
	gone := post(t, s.URL+"/v1/responses", fmt.Sprintf(`{"model":"m","input":"and","previous_response_id":%q}`, r.ID))
	if gone.status != 400 || !strings.Contains(gone.body, "previous_response_not_found") {
		t.Errorf("going on from a deleted one: %+v", gone)
	}
	unstored := post(t, s.URL+"/v1/responses", `{"model":"m","input":"hi","store":false}`)
	_ = json.Unmarshal([]byte(unstored.body), &r)
	if got := do(t, s.Client(), "GET", s.URL+"/v1/responses/"+r.ID, ""); got.status != 404 {
		t.Errorf("fetched one that was not stored: %+v", got)
	}
}

func TestFilesAreTakenAndFound(t *testing.T) {
	_, s := start(t, sim.Dials{})
	form := "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: text/plain\r\n\r\n12345\r\n--b--\r\n"
	got := post(t, s.URL+"/v1/files", form, "Content-Type", "multipart/form-data; boundary=b")
	var f struct {
		ID, Filename, Purpose, Status string
		Bytes                         int
	}
	if err := json.Unmarshal([]byte(got.body), &f); err != nil || f.Filename != "a.jsonl" || f.Purpose != "batch" || f.Bytes != 5 || f.Status != "processed" {
		t.Fatalf("got %s, %v", got.body, err)
	}
	if found := do(t, s.Client(), "GET", s.URL+"/v1/files/"+f.ID, ""); found.body != got.body {
		t.Errorf("found %s, want %s", found.body, got.body)
	}
	if bad := post(t, s.URL+"/v1/files", "x", "Content-Type", "application/json"); bad.status != 400 {
		t.Errorf("no form: %+v, want 400", bad)
	}
}

func TestCountTokensEstimatesFourBytesEach(t *testing.T) {
	_, s := start(t, sim.Dials{})
	got := post(t, s.URL+"/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"12345678"}]}]}`)
	if got.body != `{"input_tokens":2}` {
		t.Errorf("got %s", got.body)
	}
}

func TestBadRequestsAreRefusedInTheVendorsShape(t *testing.T) {
	_, s := start(t, sim.Dials{})
	for _, c := range []struct {
		path, body string
		status     int
		contains   string
	}{
		{"/v1/chat/completions", `{`, 400, `"type":"invalid_request_error"`},
		{"/v1/chat/completions", `[]`, 400, `"type":"invalid_request_error"`},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}]}`, 400, `"param":"model"`},
		{"/v1/chat/completions", `{"Model":"m","messages":[{"role":"user","content":"hi"}]}`, 400, `"param":"model"`},
		{"/v1/chat/completions", `{"model":"m"}`, 400, `"param":"messages"`},
		{"/v1/chat/completions", `{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"hi"}]}`, 400, `"param":"max_tokens"`},
		{"/v1/chat/completions", `{"model":"m","stream":"yes","messages":[{"role":"user","content":"hi"}]}`, 400, `"param":"stream"`},
		{"/v1/responses", `{"model":"m"}`, 400, `"param":"input"`},
		{"/v1/messages", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, 400, `"message":"max_tokens: Field required"`},
		{"/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"so "}]}`, 400, "trailing whitespace"},
		{"/v1/chat/completions", dialects[0].ask("sim/no-such", "hi", false), 404, "model_not_found"},
		{"/v1/messages", dialects[2].ask("sim/stall-after", "hi", false), 404, "did you mean"},
		{"/v1/audio/speech", `{}`, 404, `"message":"Invalid URL (POST /v1/audio/speech)"`},
		{"/v1/messages/batches", `{}`, 404, `"type":"not_found_error"`},
	} {
		got := post(t, s.URL+c.path, c.body)
		if got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.path, c.body, got.status, got.body, c.status, c.contains)
		}
		if anthropic := strings.HasPrefix(c.path, "/v1/messages"); anthropic != strings.HasPrefix(got.body, `{"type":"error"`) {
			t.Errorf("%s: %s has the other vendor's shape", c.path, got.body)
		}
	}
}

func TestABodyOverTheLimitIsRefused(t *testing.T) {
	_, s := start(t, sim.Dials{})
	got := post(t, s.URL+"/v1/messages", strings.Repeat(" ", 32<<20+1))
	if got.status != 413 || !strings.Contains(got.body, "request_too_large") {
		t.Errorf("got %d %s, want 413", got.status, got.body)
	}
}
