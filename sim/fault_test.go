package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-gateway/holdfast/fault"
	"github.com/holdfast-gateway/holdfast/sim"
)

// each runs f for every dialect, streamed and whole.
func each(t *testing.T, f func(t *testing.T, d dialect, stream bool)) {
	for _, d := range dialects {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s stream=%v", d.name, stream), func(t *testing.T) { f(t, d, stream) })
		}
	}
}

func TestErrorFaultsAnswerWithTheVendorsError(t *testing.T) {
	p, s := start(t, sim.Dials{})
	for _, name := range []string{"429-forever", "429-quota", "credit-balance", "500", "502", "503", "504", "529",
		"400", "auth", "not-found", "context-length", "prompt-blocked", "418"} {
		each(t, func(t *testing.T, d dialect, stream bool) {
			f, _ := fault.Parse(name)
			want, _ := f.Error(fault.Dialect(d.name).Style())
			got := post(t, s.URL+d.path, d.ask("sim/"+name, "hi", stream))
			if got.status != want.Status || got.header.Get("Content-Type") == "text/event-stream" {
				t.Errorf("%s: %d %v, want %d", name, got.status, got.header, want.Status)
			}
			if want.Page == "" && (!strings.Contains(got.body, `"type":"`+want.Type+`"`) || !strings.Contains(got.body, want.Code)) {
				t.Errorf("%s: %s, want type %s and code %s", name, got.body, want.Type, want.Code)
			}
			if a := last(t, p); a.Fault != name || a.Status != want.Status || !a.Completed || a.Stream != stream {
				t.Errorf("%s: recorded %+v", name, a)
			}
		})
	}
}

func TestA429SaysWhenItsWindowOpens(t *testing.T) {
	_, s := start(t, sim.Dials{})
	openai := post(t, s.URL+dialects[0].path, dialects[0].ask("sim/429-retry-after-90", "hi", false))
	for name, want := range map[string]string{"Retry-After": "90", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "1m30s"} {
		if got := openai.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	anthropic := post(t, s.URL+dialects[2].path, dialects[2].ask("sim/429-retry-after-90", "hi", false))
	if h := anthropic.header; h.Get("Retry-After") != "90" || h.Get("Anthropic-Ratelimit-Requests-Remaining") != "0" || h.Get("X-Should-Retry") != "true" {
		t.Errorf("headers %v", h)
	}
	quota := post(t, s.URL+dialects[0].path, dialects[0].ask("sim/429-quota", "hi", false))
	if quota.header.Get("Retry-After") != "" {
		t.Errorf("a used up quota says Retry-After %q", quota.header.Get("Retry-After"))
	}
}

func TestOnceFailsOnlyTheFirstAttemptOfACall(t *testing.T) {
	_, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		for _, c := range []struct {
			prompt, tag string
			want        int
		}{{"hi", "", 500}, {"hi", "", 200}, {"hi", "", 200}, {"ho", "", 500}, {"hi", "another", 500}, {"ho", "", 200}} {
			got := post(t, s.URL+d.path, d.ask("sim/500-once", c.prompt, stream), "X-Sim-Tag", c.tag)
			if got.status != c.want {
				t.Errorf("%q tagged %q: %d, want %d", c.prompt, c.tag, got.status, c.want)
			}
		}
	})
}

func TestResetComesBeforeAnyByte(t *testing.T) {
	p, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		got, err := raw(t, s, d.path, d.ask("sim/reset", "hi", stream))
		if got != "" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v; want a reset", got, err)
		}
		if a := last(t, p); a.Status != 0 || a.Completed || a.Cancelled || a.Bytes != 0 {
			t.Errorf("recorded %+v", a)
		}
	})
}

func TestCutDropsTheConnectionInsideAFrame(t *testing.T) {
	p, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		got := post(t, s.URL+d.path, d.ask("sim/cut-after-40", "hi", stream))
		if got.status != 200 || !errors.Is(got.err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d, %v; want 200 and a broken body", got.status, got.err)
		}
		if !stream {
			if json.Valid([]byte(got.body)) || got.body == "" {
				t.Errorf("body %q, want half of one", got.body)
			}
			return
		}
		if n := len(tokens(got.body)); n != 40 {
			t.Errorf("%d tokens, want 40", n)
		}
		if strings.HasSuffix(got.body, "\n\n") || strings.Contains(got.body, d.done) {
			t.Errorf("ends with %q, want the middle of a frame", got.body[len(got.body)-40:])
		}
		if a := last(t, p); a.Completed || a.Cancelled || a.Tokens != 40 || a.Bytes != int64(len(got.body)) {
			t.Errorf("recorded %+v, body of %d bytes", a, len(got.body))
		}
	})
}

func TestBreakingFaultsComeAtTheLatestBeforeTheFinish(t *testing.T) {
	_, s := start(t, sim.Dials{})
	for _, name := range []string{"cut-after-40", "cut-clean-after-40", "error-after-40"} {
		got := post(t, s.URL+"/v1/chat/completions",
			`{"model":"sim/`+name+`","stream":true,"max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`)
		if len(tokens(got.body)) != 3 || strings.Contains(got.body, `"finish_reason":"`) || strings.Contains(got.body, "[DONE]") {
			t.Errorf("%s: %s, want three tokens and no finish", name, got.body)
		}
	}
}

func TestCutCleanEndsWithoutFinish(t *testing.T) {
	p, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		got := post(t, s.URL+d.path, d.ask("sim/cut-clean-after-5", "hi", stream))
		if got.status != 200 || got.err != nil {
			t.Fatalf("%d, %v; want a clean end", got.status, got.err)
		}
		if stream && (len(tokens(got.body)) != 5 || !strings.HasSuffix(got.body, "\n\n") || strings.Contains(got.body, d.done)) {
			t.Errorf("got %s, want five tokens", got.body)
		}
		if !stream && json.Valid([]byte(got.body)) {
			t.Errorf("got %s, want half of it", got.body)
		}
		if a := last(t, p); a.Completed || a.Cancelled {
			t.Errorf("recorded %+v", a)
		}
	})
}

func TestBadEventIsMalformedJSONInAWholeFrame(t *testing.T) {
	_, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		got := post(t, s.URL+d.path, d.ask("sim/bad-event-10", "hi", stream))
		if !stream {
			if got.err != nil || json.Valid([]byte(got.body)) {
				t.Errorf("got %s, %v; want malformed JSON", got.body, got.err)
			}
			return
		}
		before := map[string]int{"chat": 1, "responses": 4, "messages": 3}[d.name]
		for i, f := range frames(got.body) {
			if valid := json.Valid([]byte(f.data)) || f.data == "[DONE]"; valid == (i == before+9) {
				t.Errorf("event %d is valid=%v: %s", i, valid, f.data)
			}
		}
		if !strings.Contains(got.body, d.done) {
			t.Errorf("the stream does not go on after the bad event")
		}
	})
}

func TestNoDoneLacksOnlyTheTerminator(t *testing.T) {
	p, s := start(t, sim.Dials{})
	for _, d := range dialects {
		whole := post(t, s.URL+d.path, d.ask("sim/ok", "hi", true))
		got := post(t, s.URL+d.path, d.ask("sim/no-done", "hi", true))
		if got.err != nil || strings.Contains(got.body, d.done) || len(frames(got.body)) != len(frames(whole.body))-1 || words(got.body) != words(whole.body) {
			t.Errorf("%s: %s (%v), want all but the terminator", d.name, got.body, got.err)
		}
		if a := last(t, p); a.Completed {
			t.Errorf("recorded %+v, want not completed", a)
		}
	}
}

func TestErrorFirstIsAnErrorUnder200(t *testing.T) {
	_, s := start(t, sim.Dials{})
	kinds := map[string]string{"chat": "server_is_overloaded", "responses": "server_is_overloaded", "messages": "overloaded_error"}
	each(t, func(t *testing.T, d dialect, stream bool) {
		got := post(t, s.URL+d.path, d.ask("sim/error-first-event", "hi", stream))
		if got.status != 200 || got.err != nil || !strings.Contains(got.body, kinds[d.name]) || strings.Contains(got.body, d.done) {
			t.Fatalf("got %+v", got)
		}
		if n := len(frames(got.body)); stream && n != 1 {
			t.Errorf("%d events, want the error alone: %s", n, got.body)
		}
		if !stream && !json.Valid([]byte(got.body)) {
			t.Errorf("got %s", got.body)
		}
	})
}

func TestErrorAfterEndsTheStreamWithTheDialectsError(t *testing.T) {
	_, s := start(t, sim.Dials{})
	ends := map[string]string{"chat": "", "responses": "response.failed", "messages": "error"}
	kinds := map[string]string{"chat": `"type":"server_error"`, "responses": `"code":"server_error"`, "messages": `"type":"api_error"`}
	for _, d := range dialects {
		got := post(t, s.URL+d.path, d.ask("sim/error-after-10", "hi", true))
		fs := frames(got.body)
		end := fs[len(fs)-1]
		if got.err != nil || len(tokens(got.body)) != 10 || end.event != ends[d.name] || !strings.Contains(end.data, kinds[d.name]) {
			t.Errorf("%s: %s (%v)", d.name, got.body, got.err)
		}
		whole := post(t, s.URL+d.path, d.ask("sim/error-after-10", "hi", false))
		if whole.status != 200 || !strings.HasPrefix(whole.body, "{") || !strings.Contains(whole.body, `"error":`) {
			t.Errorf("%s whole: %+v, want an error object under 200", d.name, whole)
		}
	}
}

func TestHTMLAndEmptyAnswersHaveStatus200(t *testing.T) {
	_, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		page := post(t, s.URL+d.path, d.ask("sim/html-200", "hi", stream))
		if page.status != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || !strings.HasPrefix(page.body, "<!DOCTYPE") {
			t.Errorf("got %+v, want a page", page)
		}
		empty := post(t, s.URL+d.path, d.ask("sim/empty-200", "hi", stream))
		if empty.status != 200 || empty.body != "" || empty.err != nil {
			t.Errorf("got %+v, want nothing", empty)
		}
	})
}

func TestFiltersAndRefusalsAreWhatTheVendorSends(t *testing.T) {
	_, s := start(t, sim.Dials{})
	for name, signs := range map[string]map[string]string{
		"content-filter": {"chat": `"finish_reason":"content_filter"`, "responses": `"incomplete_details":{"reason":"content_filter"}`,
			"messages": `"stop_reason":"refusal"`},
		"refusal": {"chat": `"refusal":"I am sorry`, "responses": `"type":"refusal"`, "messages": `"stop_details":{"type":"refusal"`},
	} {
		each(t, func(t *testing.T, d dialect, stream bool) {
			got := post(t, s.URL+d.path, d.ask("sim/"+name, "hi", stream))
			sign := signs[d.name]
			if name == "refusal" && d.name == "chat" && stream {
				sign = `"delta":{"refusal":"I "}`
			}
			if got.status != 200 || got.err != nil || !strings.Contains(got.body, sign) {
				t.Errorf("%s: %d %s, want %s", name, got.status, got.body, sign)
			}
		})
	}
}

func TestEchoHeadersShowsWhatTravelled(t *testing.T) {
	_, s := start(t, sim.Dials{})
	each(t, func(t *testing.T, d dialect, stream bool) {
		got := post(t, s.URL+d.path, d.ask("sim/echo-headers", "hi", stream), "Authorization", "Bearer canary", "X-Custom", "ünder")
		text := words(got.body)
		if !stream {
			text = spoken(t, got.body)
		}
		var h http.Header
		if err := json.Unmarshal([]byte(text), &h); err != nil || h.Get("Authorization") != "Bearer canary" || h.Get("X-Custom") != "ünder" {
			t.Errorf("echoed %q: %v", text, err)
		}
	})
}

func TestDivergeSaysOtherWordsTheSecondTime(t *testing.T) {
	_, s := start(t, sim.Dials{})
	d := dialects[0]
	say := func(model, prompt string) string {
		return spoken(t, post(t, s.URL+d.path, d.ask(model, prompt, false)).body)
	}
	first, second, third := say("sim/diverge", "hi"), say("sim/diverge", "hi"), say("sim/diverge", "hi")
	if first != say("sim/ok", "hi") || first == second || second == third {
		t.Errorf("said %q, %q, %q; want the usual words, then others each time", first, second, third)
	}
	if say("sim/diverge", "ho") != say("sim/ok", "ho") {
		t.Error("another prompt's first answer is not the usual one")
	}
}

func TestBigFrameIsOneEventOfTwoMegabytes(t *testing.T) {
	_, s := start(t, sim.Dials{OutputTokens: 2})
	for _, d := range []dialect{dialects[0], dialects[2]} {
		got := post(t, s.URL+d.path, d.ask("sim/big-frame", "hi", true))
		if ts := tokens(got.body); got.err != nil || len(ts) != 3 || len(ts[0]) < 2<<20 || !strings.Contains(got.body, d.done) {
			t.Errorf("%s: %d tokens, the first of %d bytes, %v", d.name, len(ts), len(ts[0]), got.err)
		}
	}
}

func TestNoNewlineIsSixtyFourMegabytesInOneLine(t *testing.T) {
	_, s := start(t, sim.Dials{})
	resp, err := http.Post(s.URL+dialects[0].path, "application/json", strings.NewReader(dialects[0].ask("sim/no-newline", "hi", true)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	count := &newlines{}
	n, err := io.Copy(count, resp.Body)
	if n != 64<<20 || count.n != 0 || err != nil {
		t.Errorf("%d bytes with %d line ends, %v", n, count.n, err)
	}
}

type newlines struct{ n int }

func (c *newlines) Write(p []byte) (int, error) {
	c.n += strings.Count(string(p), "\n")
	return len(p), nil
}

func TestFaultsOfTheWireAlsoBreakOtherEndpoints(t *testing.T) {
	p, s := start(t, sim.Dials{Fault: "cut-after-40"})
	if got := do(t, s.Client(), "GET", s.URL+"/v1/models", ""); !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("models: %v, want a broken body", got.err)
	}
	if got := post(t, s.URL+"/v1/embeddings", `{"model":"e","input":"a"}`); !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("embeddings: %v, want a broken body", got.err)
	}
	p.SetDials(sim.Dials{Fault: "503"})
	for _, path := range []string{"/v1/models", "/v1/responses/resp_1", "/v1/nowhere"} {
		if got := do(t, s.Client(), "GET", s.URL+path, ""); got.status != 503 {
			t.Errorf("%s: %d, want 503", path, got.status)
		}
	}
}

func TestEveryFaultThatEndsByItselfIsRecordedUnderItsName(t *testing.T) {
	p, s := start(t, sim.Dials{})
	endless := map[string]bool{"silent": true, "slow-first-token-20s": true, "stall-after-20": true, "never-closes": true,
		"only-pings": true, "no-newline": true}
	for _, info := range fault.List() {
		if endless[info.Name] {
			continue
		}
		for _, d := range dialects {
			raw(t, s, d.path, d.ask("sim/"+info.Name, "hi", true))
			if a := last(t, p); a.Fault != info.Name || a.Model != "sim/"+info.Name || a.Path != d.path {
				t.Errorf("%s in %s: recorded %+v", info.Name, d.name, a)
			}
		}
	}
}

func TestACallerThatLeavesAMidBodyIsRecordedAsGone(t *testing.T) {
	p, s := start(t, sim.Dials{})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
	conn.Close()
	for len(p.Log()) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("no attempt")
		}
	}
	if a := last(t, p); !a.Cancelled || a.Completed || a.Status != 0 {
		t.Errorf("recorded %+v, want cancelled", a)
	}
}
