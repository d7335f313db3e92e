package call

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEveryReasonHasOneRowThatClientsUnderstand(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Refusals {
		if seen[r.Reason] {
			t.Errorf("%s stands twice", r.Reason)
		}
		seen[r.Reason] = true
		if !isError(r.Status) || !isError(r.AnthropicStatus) || r.Type == "" || r.Code == "" {
			t.Errorf("%s: %+v is no refusal", r.Reason, r)
		}
		if _, ok := anthropicStatus[r.AnthropicType]; !ok {
			t.Errorf("%s: %q is no word of Anthropic's", r.Reason, r.AnthropicType)
		}
	}
}

func TestAProblemReadsWhateverAProviderCallsACode(t *testing.T) {
	for text, want := range map[string]Problem{
		`"sentence"`:                                {Message: "sentence"},
		`{"message":"m","type":"t","code":"c"}`:     {Message: "m", Type: "t", Code: "c"},
		`{"code":502}`:                              {Code: "502", Status: 502},
		`{"code":7,"status":400,"param":"p"}`:       {Code: "7", Status: 400, Param: "p"},
		`{"code":null,"message":null,"type":["x"]}`: {},
		`17`: {},
	} {
		if got := ReadProblem(Value(text)); got != want {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestEncodeWritesOneLineThatPeopleCanRead(t *testing.T) {
	got := string(Encode(map[string]string{"m": "a < b & c\n\u2028\xff"}))
	if !strings.Contains(got, "a < b & c") || strings.ContainsAny(got, "\n\u2028") || !json.Valid([]byte(got)) {
		t.Errorf("got %q", got)
	}
	if got := string(Encode(make(chan int))); got != "null" {
		t.Errorf("a mistake of the program: got %q", got)
	}
}
