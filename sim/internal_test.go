package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-gateway/holdfast/fault"
)

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := newMemory[int, int](3)
	count := func(old int, _ bool) int { return old + 1 }
	for k := range 5 {
		m.update(k, count)
	}
	m.update(4, count)
	for k, want := range []int{0, 0, 1, 1, 2} {
		if got, _ := m.get(k); got != want {
			t.Errorf("%d: %d, want %d", k, got, want)
		}
	}
	for k := range 100 {
		m.update(1000+k, count)
		m.forget(1000 + k)
	}
	if len(m.order) > 3 || len(m.values) > 3 {
		t.Errorf("holds %d keys and %d values, want at most 3", len(m.order), len(m.values))
	}
}

func TestPiecesAreWholeCharactersAndJoinToTheirText(t *testing.T) {
	for _, s := range []string{"", "a", "žluťoučký kůň", "東京 🌊🌊🌊🌊🌊", "\xff\xfe\x80\x80\x80"} {
		got := pieces(s, 4)
		if strings.Join(got, "") != s {
			t.Errorf("%q: %q", s, got)
		}
		for _, p := range got {
			if utf8.ValidString(s) && !utf8.ValidString(p) {
				t.Errorf("%q was cut inside a character: %q", s, got)
			}
		}
	}
}

func TestSpeechDoesNotDependOnItsLength(t *testing.T) {
	speech := func(n int) string {
		return strings.Join(speak(voiceOf(1, "m", digest(nil), ""), n), "")
	}
	if short, long := speech(13), speech(200); !strings.HasPrefix(long, short) {
		t.Errorf("%q does not begin with %q", long, short)
	}
}

func TestDrawsHaveTheQuantilesTheyWereFittedTo(t *testing.T) {
	for name, timing := range timings {
		for _, s := range []spread{timing.whole, timing.stream} {
			rng := rand.New(rand.NewPCG(1, 2))
			draws := make([]float64, 5000)
			for i := range draws {
				draws[i] = s.draw(rng, longestWhole).Seconds()
			}
			slices.Sort(draws)
			p50, p95 := draws[len(draws)/2]/s.p50, draws[len(draws)*95/100]/s.p95
			if p50 < 0.9 || p50 > 1.1 || p95 < 0.85 || p95 > 1.15 || draws[len(draws)-1] > longestWhole.Seconds() {
				t.Errorf("%s: median and 95th percentile are %.2f and %.2f of the recorded ones", name, p50, p95)
			}
		}
	}
}

// FuzzParseRequest asks that no body makes the parser, or what is made of its result, panic.
func FuzzParseRequest(f *testing.F) {
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"m","max_tokens":9,"system":[{"type":"text","text":"be"}],"messages":[{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"image"}]}]}`,
		`{"model":"m","input":[{"type":"function_call_output","output":"4"},{"role":"user","content":[{"type":"input_text","text":"tool"}]}]}`,
		`{"model":"m","input":"x","tools":[{"name":"a","input_schema":{"properties":{"b":{"type":["string"]}}}}],"tool_choice":{"type":"any"}}`,
		`{"model":1,"stream":"x","metadata":3}`, `null`, `[]`, `{`, ``, `{"messages":null}`, `{"model":"sim/cut-after-3","tool_choice":7,"tools":[null]}`,
	} {
		for i := range 4 {
			f.Add(byte(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		d := []fault.Dialect{fault.Chat, fault.Responses, fault.Messages, ""}[which%4]
		req, err := parseRequest(d, body)
		if _, isBad := err.(badRequest); err != nil && !isBad {
			t.Fatalf("error %v is not a badRequest", err)
		}
		if err == nil && req.model == "" {
			t.Error("no error and no model")
		}
		if n := req.inputTokens(); n < 1 {
			t.Errorf("%d input tokens", n)
		}
		if chosen, ok := req.wantsTool(); ok {
			arguments(chosen.schema(), voiceOf(0, req.model, digest(req.turns), ""))
		}
		req.prefill()
		req.inputs()
	})
}
