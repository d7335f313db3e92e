package provider

import (
	"net/url"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

var (
	someAnswers = Answers{Content: []string{"parts.*.text"}, Finish: []string{"list.1.finish", "finish"}, Blocked: []string{"blocked"},
		Model: "model", Errors: []string{"Exception"}, Input: []string{"in"}, Output: []string{"out"}}
	someEnds = Table{
		{Finish: "UNSAFE", Class: call.PolicyViolation, Category: "unsafe"},
		{Finish: "BROKEN", Class: call.BadResponse},
		{Type: "SlowException", Class: call.Throttled},
	}
)

func TestAnswersAreReadByTheirPaths(t *testing.T) {
	cases := []struct {
		name, event, data string
		kind              call.FrameKind
		policy            string
		class             call.Class // of an error
	}{
		{"text", "", `{"model":"m","parts":[{},{"text":"a"}]}`, call.FrameContent, "", 0},
		{"nothing yet", "", `{"parts":[{"text":""}]}`, call.FrameQuiet, "", 0},
		{"an end", "", `{"finish":"STOP","in":3,"out":4}`, call.FrameFinish, "", 0},
		{"an end by its index", "", `{"list":[{"finish":"A"},{"finish":"UNSAFE"}]}`, call.FrameFinish, "unsafe", 0},
		{"a blocked prompt", "", `{"blocked":"UNSAFE"}`, call.FrameFinish, "unsafe", 0},
		{"a bad end", "", `{"finish":"BROKEN"}`, call.FrameError, "", call.BadResponse},
		{"an exception", "slowException", `{"message":"m"}`, call.FrameError, "", call.Throttled},
		{"an error", "", `{"error":{"code":429,"status":"X","message":"m"}}`, call.FrameError, "", call.Throttled},
		{"the terminator", "", `[DONE]`, call.FrameEnd, "", 0},
		{"a cut frame", "", `{"parts":[`, call.FrameMalformed, "", 0},
		{"HTML", "", `<html>`, call.FrameMalformed, "", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s call.Stream
			f := someAnswers.Read(someEnds, c.event, []byte(c.data), &s)
			if f.Kind != c.kind || s.Policy != c.policy {
				t.Fatalf("got %v, policy %q; want %v, policy %q", f.Kind, s.Policy, c.kind, c.policy)
			}
			if c.class != 0 {
				if got := someEnds.Classifier()(Evidence{InBand: true, Problem: f.Problem}); got.Class != c.class {
					t.Errorf("the error means %v, want %v", got.Class, c.class)
				}
			}
			if c.name == "an end" && (s.Usage != call.Usage{Input: 3, Output: 4, Known: true}) {
				t.Errorf("usage %+v", s.Usage)
			}
		})
	}
}

func FuzzAnswersNeverPanic(f *testing.F) {
	for _, s := range []string{`{"list":[1,2]}`, `{"list":{}}`, `{"parts":[[[]]]}`, `[DONE]`, `{"in":1e999}`, `{`} {
		f.Add("someException", []byte(s))
	}
	f.Fuzz(func(t *testing.T, event string, data []byte) {
		var s call.Stream
		frame := someAnswers.Read(someEnds, event, data, &s)
		if s.Usage.Input < 0 || s.Usage.Output < 0 || s.Policy != "" && frame.Kind != call.FrameFinish {
			t.Fatalf("%q %q: %+v, %+v", event, data, frame, s)
		}
	})
}

func TestTablesJoinFromFineToCoarse(t *testing.T) {
	joined := Table{{Status: 503, Class: call.Overloaded}, {Code: "a", Class: call.Auth}}.Join(
		Table{{Contains: "x", Class: call.ContextLength}, {Code: "a", Class: call.NotFound}, {Type: "b", Class: call.Conflict}, {Finish: "c", Class: call.BadResponse}})
	for i, row := range joined[1:] {
		if row.Rank() < joined[i].Rank() {
			t.Errorf("row %d is finer than the one before it: %+v", i+1, joined)
		}
	}
	if got := joined.Classifier()(Evidence{Status: 400, Body: []byte(`{"error":{"code":"a"}}`)}); got.Class != call.Auth {
		t.Errorf("the joined table's rows came before its own: %v", got.Class)
	}
}

func TestARowForTheVendorsOwnWordsDoesNotBelieveAProxy(t *testing.T) {
	classify := Table{{Status: 503, Own: true, Class: call.Overloaded}}.Classifier()
	for body, want := range map[string]call.Class{
		`{"error":"busy"}`: call.Overloaded, "no healthy upstream": call.ProviderFault, "": call.ProviderFault,
	} {
		if got := classify(Evidence{Status: 503, Body: []byte(body)}); got.Class != want {
			t.Errorf("%q: got %v, want %v", body, got.Class, want)
		}
	}
}

func TestAPathIsPutBehindTheBases(t *testing.T) {
	for _, c := range [][3]string{
		{"https://a.test", "http://x/v1/models?q=1", "https://a.test/v1/models?q=1"},
		{"https://a.test/v1", "http://x/v1/models", "https://a.test/v1/models"},
		{"https://a.test/v1/", "http://x/v1", "https://a.test/v1"},
		{"https://a.test/openai/v1", "http://x/v1/a%2Fb", "https://a.test/openai/v1/a%2Fb"},
		{"https://a.test/p", "http://user:pass@x/y#z", "https://a.test/p/y"},
	} {
		base, _ := url.Parse(c[0])
		asked, _ := url.Parse(c[1])
		if got := Join(base, asked); got.String() != c[2] {
			t.Errorf("%s and %s: got %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestAHostBelowAVendorsDomainIsItsOwn(t *testing.T) {
	v := &Vendor{Hosts: []string{".openai.azure.com"}}
	for host, want := range map[string]bool{
		"acme.openai.azure.com": true, "ACME.openai.azure.com:443": true, "openai.azure.com": false,
		".openai.azure.com": false, "acme.openai.azure.com.evil.test": false, "evilopenai.azure.com": false,
	} {
		if got := v.OwnsHost(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
