package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// budgeted is a file in which alice may spend so much.
func budgeted(provider, budget string) string {
	text := strings.Replace(settings(provider), "tenant: a}", "tenant: a, budget: {"+budget+"}}", 1)
	return text + "prices:\n  gpt-4o*: {input: 2.5, output: 10}\n  claude-x: {input: 3, output: 15}\n"
}

// account is what a budget is at.
type account struct {
	USD      float64
	Tokens   int64
	Held     int64 `json:"tokens_held"`
	OddUsage int64 `json:"odd_usage"`
}

func (g *gateway) account(t *testing.T) account {
	t.Helper()
	var status struct{ Budgets []account }
	_, text, err := g.operator("GET", "/api/v1/status", "")
	if err != nil || json.Unmarshal([]byte(text), &status) != nil || len(status.Budgets) != 1 {
		t.Fatalf("no budget in the status: %v %.300s", err, text)
	}
	return status.Budgets[0]
}

// paid is a call of alice's that names a limit of output.
func paid(stream bool, more string) string {
	return fmt.Sprintf(`{"model":"chat","stream":%t,"max_tokens":100,"messages":[{"role":"user","content":"hello there"}]%s}`, stream, more)
}

// TestS27NoUsageMakesABudgetLarger: whatever a provider says it counted.
func TestS27NoUsageMakesABudgetLarger(t *testing.T) {
	v := startVillain(t)
	g := serve(t, budgeted(v.URL, "usd_per_day: 1000, tokens_per_day: 1M"))
	odd := int64(0)
	for _, count := range []string{"-1", "9223372036854775808", "18446744073709551615", "1e308", "-1e308", "NaN", `"-1"`, "0.5", "[]", "{}", "true", "9007199254740991"} {
		for _, stream := range []bool{false, true} {
			v.be(func(w http.ResponseWriter, r *http.Request) {
				usage := fmt.Sprintf(`{"prompt_tokens":%s,"completion_tokens":%s,"total_tokens":%s,"prompt_tokens_details":{"cached_tokens":%s}}`, count, count, count, count)
				if !stream {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, strings.Replace(goodAnswer, `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`, usage, 1))
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, strings.Replace(goodEvents, "data: [DONE]", `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":`+usage+"}\n\ndata: [DONE]", 1))
			})
			before := g.account(t)
			a, err := g.ask("POST", g.URL+"/v1/chat/completions", paid(stream, ""), alice())
			if err != nil {
				t.Fatal(err)
			}
			after := g.account(t)
			if a.status == 200 && count != "NaN" { // with it the answer is no JSON, and broken
				odd++
			}
			if after.Held != 0 || after.USD < before.USD || after.Tokens < before.Tokens || after.Tokens > before.Tokens+1000 {
				t.Errorf("usage %s (stream %t): from %+v to %+v", count, stream, before, after)
			}
			if a.status == 200 && after.Tokens == before.Tokens {
				t.Errorf("usage %s (stream %t): the call was free", count, stream)
			}
		}
	}
	if now := g.account(t); now.OddUsage < odd || odd < 20 {
		t.Errorf("%d of %d odd reports are flagged", now.OddUsage, odd)
	}
	if _, metrics, _ := g.operator("GET", "/metrics", ""); !strings.Contains(metrics, `holdfast_odd_usage_total{provider="openai"}`) {
		t.Error("no metric tells of them")
	}
	v.be(nil)
	g.works(t)
}

// TestS37NobodyRunsUpABill: what one call may ask for is capped, and a budget
// ends also when streams report no usage.
func TestS37NobodyRunsUpABill(t *testing.T) {
	v := startVillain(t)
	g := serve(t, budgeted(v.URL, "tokens_per_day: 4000, max_tokens: 1000, max_choices: 2, max_tools: 2, max_body: 4KiB"))
	const front = `{"model":"chat","messages":[{"role":"user","content":"hi"}]`
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"max_tokens":                 {"/v1/chat/completions", front + `,"max_tokens":1001}`, 400},
		"max_completion_tokens":      {"/v1/chat/completions", front + `,"max_completion_tokens":1e9}`, 400},
		"one small and one large":    {"/v1/chat/completions", front + `,"max_tokens":5,"max_tokens":100000}`, 400},
		"the large one first":        {"/v1/chat/completions", front + `,"max_tokens":100000,"max_tokens":5}`, 400},
		"a text":                     {"/v1/chat/completions", front + `,"max_tokens":"100000"}`, 400},
		"negative":                   {"/v1/chat/completions", front + `,"max_tokens":-1}`, 400},
		"none":                       {"/v1/chat/completions", front + `}`, 400},
		"null":                       {"/v1/chat/completions", front + `,"max_tokens":null}`, 400},
		"n":                          {"/v1/chat/completions", front + `,"max_tokens":5,"n":128}`, 400},
		"tools":                      {"/v1/chat/completions", front + `,"max_tokens":5,"tools":[{},{},{}]}`, 400},
		"a large body":               {"/v1/chat/completions", front + `,"max_tokens":5,"user":"` + strings.Repeat("x", 5000) + `"}`, 413},
		"max_output_tokens":          {"/v1/responses", `{"model":"chat","input":"hi","max_output_tokens":2000}`, 400},
		"pictures cannot be counted": {"/v1/images/generations", `{"model":"chat","prompt":"a cat"}`, 400},
		"batches cannot be counted":  {"/v1/batches", `{"input_file_id":"file-1"}`, 400},
	} {
		if a, err := g.ask("POST", g.URL+c.path, c.body, alice()); err != nil || a.status != c.status {
			t.Errorf("%s: %d %.200s %v, want %d", name, a.status, a.body, err, c.status)
		}
	}
	if n := len(v.saw()); n > 0 {
		t.Fatalf("%d of these calls reached the provider", n)
	}
	v.be(func(w http.ResponseWriter, _ *http.Request) { // talks on and counts nothing
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 500 {
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"token%d \"}}]}\n\n", i)
		}
		_, _ = io.WriteString(w, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	})
	answered := 0
	for range 30 {
		a, err := g.ask("POST", g.URL+"/v1/chat/completions", paid(true, ""), alice())
		if err != nil {
			t.Fatal(err)
		}
		if a.status == 200 {
			answered++
		} else if a.status != 429 || !strings.Contains(a.body, "budget_exhausted") || a.header.Get("X-Should-Retry") != "false" {
			t.Errorf("over the budget: %d %.300s", a.status, a.body)
		}
	}
	if answered < 3 || answered > 8 {
		t.Errorf("%d streams of some 500 tokens in a budget of 4,000", answered)
	}
	if now := g.account(t); now.Held != 0 || now.Tokens < 3000 {
		t.Errorf("at the end: %+v", now)
	}
}
