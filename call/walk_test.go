package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestStringsNamesWhereEachStands(t *testing.T) {
	var got []string
	err := Value(`{"a":"1","b":{"c":"2","d":["3",{"e":"4"},["5"]],"f":6},"g":[],"h":"q\"{","i":{}}`).Strings(func(parent, key []byte, s Value) {
		got = append(got, fmt.Sprintf("%s/%s=%s", parent, key, s.Text()))
	})
	if want := `[/a=1 b/c=2 b/d=3 d/e=4 b/d=5 /h=q"{]`; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
}

func TestStringsEndsOnWhatDoesNotClose(t *testing.T) {
	for text, want := range map[string]error{
		`{"a":"x`: ErrJSON, `{"a":[1}`: ErrJSON, `[`: ErrJSON, `]`: ErrJSON, `{}}`: ErrJSON,
		strings.Repeat("[", MaxDepth+1): ErrDepth, strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth): nil,
	} {
		if err := Value(text).Strings(func(_, _ []byte, _ Value) {}); !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", text, err, want)
		}
	}
}

// FuzzStrings holds the walk against encoding/json: as many strings, and no more
// text than there is.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{`{"a":["b",{"c":"d"}]}`, `"x"`, `[[["a"],"b"]]`, `{"a" : "b" , "c":"\\"}`, `{"`, `}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := 0
		err := Value(data).Strings(func(_, _ []byte, s Value) { got++; _ = s.Text(); _ = s.Blob() })
		var v any
		if json.Unmarshal(data, &v) != nil {
			return
		}
		depth := strings.Count(string(data), "[") + strings.Count(string(data), "{")
		if err != nil && depth < MaxDepth {
			t.Fatalf("%q: %v", data, err)
		}
		if want := countStrings(v); err == nil && got < want { // duplicate members make more
			t.Fatalf("%q: %d strings, want %d", data, got, want)
		}
	})
}

func countStrings(v any) int {
	n := 0
	switch v := v.(type) {
	case string:
		return 1
	case []any:
		for _, e := range v {
			n += countStrings(e)
		}
	case map[string]any:
		for _, e := range v {
			n += countStrings(e)
		}
	}
	return n
}

func TestABlobIsDataAndNotText(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		blob bool
	}{
		"a data URL":       {"data:image/png;base64," + strings.Repeat("A", 600), true},
		"base64":           {strings.Repeat("iVBORw0KGgo/", 60), true},
		"English":          {strings.Repeat("a word ", 100), false},
		"Chinese":          {strings.Repeat("世界", 300), false},
		"too short to ask": {"data:image/png;base64,AAAA", false},
	} {
		v := Value(`"` + c.text + `"`)
		if got := v.Blob(); (got == len(v)) != c.blob || got != 0 && !c.blob {
			t.Errorf("%s: %d of %d bytes", name, got, len(v))
		}
	}
}
