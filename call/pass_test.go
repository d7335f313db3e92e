package call

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// through reads all of a text by a Pass, going into the outer levels.
func through(p *Pass, levels int) {
	switch {
	case levels > 0 && p.Enter('{'):
		for key := p.Key(); key != nil; key = p.Key() {
			through(p, levels-1)
		}
	case levels > 0 && p.Enter('['):
		for p.Element() {
			through(p, levels-1)
		}
	default:
		p.Value()
	}
}

func FuzzAPassIsAsStrictOnEachLevel(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,{"b":null},"x\"y"],"\u0062":{}}`, ` [ ] `, `[1,]`, `[,1]`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `[1 2]`, `{} {}`, `[{]}`, `"`, ``, "{\"\xff\":1}",
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		`{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
	} {
		f.Add([]byte(text), byte(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, levels byte) {
		whole := PassOf(text)
		through(&whole, 1) // one level, then Value: as deep as Members goes
		deep := PassOf(text)
		through(&deep, 1+int(levels%8))
		if whole.Done() != deep.Done() {
			t.Fatalf("%q by one level: %v; by %d: %v", text, whole.Done(), 1+levels%8, deep.Done())
		}
		if Value(text).Well() && !whole.Done() {
			t.Fatalf("%q is well and was not read", text)
		}
	})
}

func TestAPassNamesWhatAParserFinds(t *testing.T) {
	const text = `{"a":{"b":[{"c":"x"},{"\u0063":"y"}]},"c":2}`
	p := PassOf([]byte(text))
	var found []string
	p.Enter('{')
	p.Key()
	p.Enter('{')
	p.Key()
	p.Enter('[')
	for p.Element() {
		p.Enter('{')
		found = append(found, string(p.Key()), p.Value().Text())
		if key := p.Key(); key != nil {
			t.Errorf("a second member: %q", key)
		}
	}
	if key := p.Key(); key != nil {
		t.Errorf("a second member beside b: %q", key)
	}
	found = append(found, string(p.Key()), string(p.Value()))
	if got := strings.Join(found, " "); got != "c x c y c 2" || p.Key() != nil || !p.Done() {
		t.Errorf("read %s and then done %v, want c x c y c 2", got, p.Done())
	}
}

func TestAPassAllocatesNothing(t *testing.T) {
	text := []byte(`{"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}`)
	if !json.Valid(text) || bytes.IndexByte(text, '\\') >= 0 {
		t.Fatal("the text is not a usual one")
	}
	if n := testing.AllocsPerRun(10, func() {
		p := PassOf(text)
		through(&p, 4)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
