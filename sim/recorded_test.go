package sim_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/sim"
)

// recorded returns a file of recorded provider traffic, which is not part of the repository.
func recorded(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(wanted.Recordings(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fields adds the paths of all object keys in v to set; elements of arrays share one path.
func fields(set map[string]bool, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			set[path+"."+key] = true
			fields(set, path+"."+key, inner)
		}
	case []any:
		for _, inner := range v {
			fields(set, path+"[]", inner)
		}
	}
}

// shapes returns the fields of each kind of event in a stream, and the order in which the
// kinds first come.
func shapes(t *testing.T, stream string) (order []string, byKind map[string]map[string]bool) {
	t.Helper()
	byKind = map[string]map[string]bool{}
	for _, f := range frames(stream) {
		kind := f.event
		var v any
		if f.data == "[DONE]" {
			kind = f.data
		} else if err := json.Unmarshal([]byte(f.data), &v); err != nil {
			t.Fatalf("%v in %s", err, f.data)
		}
		if byKind[kind] == nil {
			order, byKind[kind] = append(order, kind), map[string]bool{}
		}
		fields(byKind[kind], "", v)
	}
	return order, byKind
}

// missing returns the recorded fields that ours lack, those that newer or older vendors
// have aside.
func missing(recorded, ours map[string]bool) []string {
	optional := []string{"obfuscation", "cache_creation", "inference_geo", "prompt_cache_retention", "system_fingerprint"}
	var out []string
	for path := range recorded {
		extra := slices.ContainsFunc(optional, func(name string) bool { return strings.Contains(path+".", "."+name+".") })
		if !ours[path] && !extra {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

func TestStreamsHaveTheFieldsOfRecordedOnes(t *testing.T) {
	_, s := start(t, sim.Dials{})
	for d, file := range map[dialect]string{
		dialects[0]: "openai-chat/stream/text-short.body.sse",
		dialects[1]: "openai-responses/stream/text-short.body.sse",
		dialects[2]: "anthropic/stream/text-short.body.sse",
	} {
		wantOrder, want := shapes(t, recorded(t, file))
		gotOrder, got := shapes(t, post(t, s.URL+d.path, d.ask("m", "hi", true)).body)
		if !slices.Equal(gotOrder, wantOrder) {
			t.Errorf("%s: events %v, recorded %v", d.name, gotOrder, wantOrder)
		}
		for kind := range want {
			if lost := missing(want[kind], got[kind]); len(lost) > 0 {
				t.Errorf("%s: event %q lacks %v", d.name, kind, lost)
			}
		}
	}
}

func TestWholeAnswersAndErrorsHaveTheFieldsOfRecordedOnes(t *testing.T) {
	_, s := start(t, sim.Dials{})
	chat, responses, messages := dialects[0], dialects[1], dialects[2]
	tools := `"tools":[{"type":"function","name":"w","input_schema":{},"function":{"name":"w"}}]`
	for _, c := range []struct {
		file string
		d    dialect
		body string
	}{
		{"openai-chat/ok/text", chat, chat.ask("m", "hi", false)},
		{"openai-chat/ok/tool-call", chat, chat.ask("m", "use a tool", false, tools)},
		{"openai-chat/policy/refusal", chat, chat.ask("sim/refusal", "hi", false)},
		{"openai-chat/error/404-model", chat, chat.ask("sim/not-found", "hi", false)},
		{"openai-responses/ok/text", responses, responses.ask("m", "hi", false)},
		{"openai-responses/error/401-invalid-key", responses, responses.ask("sim/auth", "hi", false)},
		{"openai-responses/error/400-context-length", responses, responses.ask("sim/context-length", "hi", false)},
		{"anthropic/ok/text-12-ratelimit-headers", messages, messages.ask("m", "hi", false)},
		{"anthropic/error/400-prompt-too-long-x-should-retry-false", messages, messages.ask("sim/context-length", "hi", false)},
		{"anthropic/error/401-invalid-key", messages, messages.ask("sim/auth", "hi", false)},
	} {
		want, got := map[string]bool{}, map[string]bool{}
		answer := post(t, s.URL+c.d.path, c.body)
		for text, set := range map[string]map[string]bool{recorded(t, c.file+".body.json"): want, answer.body: got} {
			var v any
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				t.Fatalf("%s: %v", c.file, err)
			}
			fields(set, "", v)
		}
		if lost := missing(want, got); len(lost) > 0 {
			t.Errorf("%s: ours lacks %v", c.file, lost)
		}
		compareExchange(t, c.file, recorded(t, c.file+".json"), answer)
	}
}

// compareExchange checks status and rate-limit, retry and id headers against the record.
func compareExchange(t *testing.T, name, exchange string, got answer) {
	t.Helper()
	var r struct {
		Response struct {
			Status  int
			Headers map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(exchange), &r); err != nil {
		t.Fatal(err)
	}
	if r.Response.Status != got.status {
		t.Errorf("%s: status %d, recorded %d", name, got.status, r.Response.Status)
	}
	for header, values := range r.Response.Headers {
		limit := strings.Contains(header, "ratelimit") || strings.HasSuffix(header, "request-id")
		if limit && got.header.Get(header) == "" {
			t.Errorf("%s: no header %s, recorded %v", name, header, values)
		}
		if header == "x-should-retry" && got.header.Get(header) != values[0] {
			t.Errorf("%s: x-should-retry %q, recorded %v", name, got.header.Get(header), values)
		}
	}
}
