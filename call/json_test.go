package call

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestGetFindsNestedMembersAndTheLastDuplicateWins(t *testing.T) {
	v := Value(`{"a":{"b":1,"b":2},"mod\u0065l":"x","s":"q\"\\"}`)
	if n, ok := v.Get("a", "b").Int(); !ok || n != 2 {
		t.Errorf("a.b = %d, %v; want 2", n, ok)
	}
	if got := v.Get("model").Text(); got != "x" {
		t.Errorf("escaped key: got %q", got)
	}
	if got := v.Get("s").Text(); got != `q"\` {
		t.Errorf("escaped text: got %q", got)
	}
	if v.Get("a", "zz") != nil || v.Get("s", "a") != nil {
		t.Error("a missing member was found")
	}
}

func TestSpliceLeavesEveryOtherByte(t *testing.T) {
	in := "{ \"x\" : [1, 2] ,\n \"model\":\t\"old\", \"y\":\"\\u00e9\" , \"model\": \"older\" } "
	parts, ok := Value(in).Splice("model", `ne"w`)
	got := bytes.Join(parts, nil)
	want := "{ \"x\" : [1, 2] ,\n \"model\":\t\"ne\\\"w\", \"y\":\"\\u00e9\" , \"model\": \"ne\\\"w\" } "
	if !ok || string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, ok := Value(`{"a":1}`).Splice("model", "x"); ok {
		t.Error("replaced a member that is not there")
	}
}

func TestIntRefusesWhatIsNoCount(t *testing.T) {
	for _, text := range []string{"-1", "1e308", "9223372036854775808", `"5"`, "1.5", "null", "NaN", ""} {
		if n, ok := Value(text).Int(); ok {
			t.Errorf("%s: got %d, want no count", text, n)
		}
	}
	if n, ok := Value("1e3").Int(); !ok || n != 1000 {
		t.Errorf("1e3: got %d, %v", n, ok)
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	if Value(deep).Well() {
		t.Error("100,000 levels were accepted")
	}
	if ok := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth); !Value(ok).Well() {
		t.Errorf("%d levels were refused", MaxDepth)
	}
}

// FuzzWell holds the scanner against encoding/json: what the standard library
// accepts we accept, with the same members.
func FuzzWell(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,2,{"b":null}]}`, `{"a":"\"}"}`, `[1,]`, `{"a" 1}`, `{"a":tru}`, `"x`, `-`, ` {"a":1} x`, `{"a":1,}`, `["\\\""]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m map[string]json.RawMessage
		valid := json.Valid(data)
		if valid && !Value(data).Well() {
			var depth int
			for _, c := range data {
				if c == '[' || c == '{' {
					depth++
				}
			}
			if depth < MaxDepth {
				t.Fatalf("encoding/json accepts %q, Well does not", data)
			}
		}
		if !valid || json.Unmarshal(data, &m) != nil || m == nil {
			_ = Value(data).Members(func([]byte, Value) bool { return true })
			return
		}
		for k, want := range m {
			if got := Value(data).Get(k); string(got) != string(want) {
				t.Fatalf("%q: member %q: got %q, want %q", data, k, got, want)
			}
		}
	})
}

func BenchmarkMembersOfAChatChunk(b *testing.B) {
	chunk := Value(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1717866062,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}`)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		_ = chunk.Members(func([]byte, Value) bool { n++; return true })
		if n != 5 {
			b.Fatal(n)
		}
	}
}
