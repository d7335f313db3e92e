package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

func TestEveryDocumentedNameParsesToItsOwnKind(t *testing.T) {
	seen := map[string]bool{}
	for _, info := range fault.List() {
		f, err := fault.Parse(info.Name)
		if err != nil {
			t.Errorf("Parse(%q): %v", info.Name, err)
			continue
		}
		if f.Name != info.Name || f.Kind == "" || info.Does == "" || !strings.HasSuffix(info.Does, ".") {
			t.Errorf("%q: parsed %+v, does %q; want name, kind and a sentence", info.Name, f, info.Does)
		}
		if seen[info.Name] {
			t.Errorf("%q stands in the list twice", info.Name)
		}
		seen[info.Name] = true
		if strings.Contains(info.Name+info.Does, "#") {
			t.Errorf("%q: a number is missing in %q", info.Name, info.Does)
		}
	}
}

func TestNumbersInNamesAreFree(t *testing.T) {
	for _, c := range []struct {
		name string
		kind fault.Kind
		n    int
	}{
		{"cut-after-1", fault.Cut, 1},
		{"cut-after-40", fault.Cut, 40},
		{"cut-clean-after-7", fault.CutClean, 7},
		{"stall-after-200", fault.Stall, 200},
		{"error-after-3", fault.ErrorAfter, 3},
		{"bad-event-1", fault.BadEvent, 1},
		{"slow-first-token-90s", fault.SlowFirstToken, 90},
		{"429-retry-after-30", fault.RetryAfter, 30},
		{"flap-5s", fault.Flap, 5},
		{"502-once", fault.Once, 502},
		{"500", fault.Status, 500},
		{"418", fault.Status, 418},
		{"599", fault.Status, 599},
		{"429", fault.Throttled, 429},
		{"401", fault.Auth, 401},
	} {
		f, err := fault.Parse(c.name)
		if err != nil || f.Kind != c.kind || f.N != c.n {
			t.Errorf("Parse(%q) = %+v, %v; want %s %d", c.name, f, err, c.kind, c.n)
		}
	}
}

func TestUnknownNamesAreErrorsThatHelp(t *testing.T) {
	for _, name := range []string{"", "okay", "OK", "cut-after-", "cut-after-0", "cut-after--1", "cut-after-+1",
		"cut-after-01", "cut-after-99999999999999999999", "cut-after-2000000", "399", "600", "200", "200-once",
		"flap-s", "slow-first-token-20", strings.Repeat("x", 1<<20)} {
		f, err := fault.Parse(name)
		if !errors.Is(err, fault.ErrUnknown) {
			t.Errorf("Parse(%.40q) = %+v, %v; want ErrUnknown", name, f, err)
		} else if len(err.Error()) > 200 {
			t.Errorf("Parse(%.40q): an error of %d bytes", name, len(err.Error()))
		}
	}
	_, err := fault.Parse("stall-aftr-20")
	if err == nil || !strings.Contains(err.Error(), `did you mean "stall-after-20"`) {
		t.Errorf("got %v, want a suggestion", err)
	}
}

func TestAListIsTheCallersOwn(t *testing.T) {
	fault.List()[0].Name = "spoiled"
	if got := fault.List()[0].Name; got != "ok" {
		t.Errorf("first fault is %q, want ok", got)
	}
}

// said is an error body of either style, flattened.
type said struct {
	Type  string
	Error struct {
		Type, Message string
		Code, Param   *string
		Details       *struct {
			ErrorCode string `json:"error_code"`
		}
	}
	RequestID string `json:"request_id"`
}

func (s said) code() string {
	if s.Error.Code != nil {
		return *s.Error.Code
	}
	if s.Error.Details != nil {
		return s.Error.Details.ErrorCode
	}
	return ""
}

func TestErrorsSayWhatTheVendorSays(t *testing.T) {
	for _, c := range []struct {
		name                 string
		style                fault.Style
		status               int
		kind, code, contains string
		retryAfter           string
		shouldRetry          string
	}{
		{"429-retry-after-2", fault.OpenAI, 429, "requests", "rate_limit_exceeded", "try again in 2s", "2", ""},
		{"429-retry-after-2", fault.Anthropic, 429, "rate_limit_error", "", "rate limit", "2", "true"},
		{"429-forever", fault.OpenAI, 429, "requests", "rate_limit_exceeded", "", "1", ""},
		{"429-quota", fault.OpenAI, 429, "insufficient_quota", "insufficient_quota", "quota", "", ""},
		{"429-quota", fault.Anthropic, 429, "rate_limit_error", "enforced_spend_limit_reached", "", "", "false"},
		{"credit-balance", fault.OpenAI, 429, "insufficient_quota", "credit_balance_exhausted", "", "", ""},
		{"credit-balance", fault.Anthropic, 400, "invalid_request_error", "", "credit balance", "", "false"},
		{"500", fault.OpenAI, 500, "server_error", "", "", "", ""},
		{"500", fault.Anthropic, 500, "api_error", "", "", "", "true"},
		{"500-once", fault.OpenAI, 500, "server_error", "", "", "", ""},
		{"503", fault.OpenAI, 503, "service_unavailable_error", "server_is_overloaded", "", "", ""},
		{"503", fault.Anthropic, 503, "overloaded_error", "", "Overloaded", "", "true"},
		{"504", fault.Anthropic, 504, "timeout_error", "", "", "", "true"},
		{"529", fault.Anthropic, 529, "overloaded_error", "", "Overloaded", "", "true"},
		{"529", fault.OpenAI, 529, "service_unavailable_error", "server_is_overloaded", "", "", ""},
		{"flap-60s", fault.OpenAI, 503, "service_unavailable_error", "server_is_overloaded", "", "", ""},
		{"auth", fault.OpenAI, 401, "invalid_request_error", "invalid_api_key", "", "", ""},
		{"auth", fault.Anthropic, 401, "authentication_error", "", "", "", "false"},
		{"402", fault.Anthropic, 402, "billing_error", "", "", "", "false"},
		{"403", fault.Anthropic, 403, "permission_error", "", "", "", "false"},
		{"409", fault.Anthropic, 409, "conflict_error", "", "", "", "true"},
		{"413", fault.Anthropic, 413, "request_too_large", "", "", "", "false"},
		{"not-found", fault.OpenAI, 404, "invalid_request_error", "model_not_found", "", "", ""},
		{"not-found", fault.Anthropic, 404, "not_found_error", "", "", "", "false"},
		{"context-length", fault.OpenAI, 400, "invalid_request_error", "context_length_exceeded", "maximum context length", "", ""},
		{"context-length", fault.Anthropic, 400, "invalid_request_error", "", "prompt is too long", "", "false"},
		{"prompt-blocked", fault.OpenAI, 400, "invalid_request_error", "content_policy_violation", "", "", ""},
		{"refuses-prefill", fault.Anthropic, 400, "invalid_request_error", "", "prefill", "", "false"},
		{"400", fault.OpenAI, 400, "invalid_request_error", "invalid_value", "", "", ""},
		{"418", fault.OpenAI, 418, "invalid_request_error", "invalid_value", "", "", ""},
		{"599", fault.Anthropic, 599, "api_error", "", "", "", "true"},
	} {
		t.Run(fmt.Sprint(c.name, " ", c.style), func(t *testing.T) {
			f, err := fault.Parse(c.name)
			if err != nil {
				t.Fatal(err)
			}
			e, ok := f.Error(c.style)
			if !ok || e.Status != c.status {
				t.Fatalf("Error: %+v, %v; want status %d", e, ok, c.status)
			}
			var body said
			if err := json.Unmarshal(e.Body(c.style, "req_1"), &body); err != nil {
				t.Fatal(err)
			}
			if body.Error.Type != c.kind || body.code() != c.code || !strings.Contains(body.Error.Message, c.contains) {
				t.Errorf("body %+v; want type %q, code %q, message with %q", body, c.kind, c.code, c.contains)
			}
			if anthropic := c.style == fault.Anthropic; anthropic != (body.Type == "error" && body.RequestID == "req_1") {
				t.Errorf("body %+v has the other vendor's shape", body)
			}
			h := e.Header(c.style)
			if h.Get("Retry-After") != c.retryAfter || h.Get("X-Should-Retry") != c.shouldRetry {
				t.Errorf("headers %v; want Retry-After %q, X-Should-Retry %q", h, c.retryAfter, c.shouldRetry)
			}
		})
	}
}

func TestAnOpenAIBodyHasNullsWhereThereIsNothing(t *testing.T) {
	body := string(fault.Broken(fault.OpenAI).Body(fault.OpenAI, "req_1"))
	if !strings.Contains(body, `"param":null`) || !strings.Contains(body, `"code":null`) || strings.Contains(body, "req_1") {
		t.Errorf("body %s; want null param and code, and no request id", body)
	}
}

func TestAFrontProxyAnswersAPage(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusOK} {
		e := fault.Page(status)
		if h := e.Header(fault.Anthropic); !strings.HasPrefix(h.Get("Content-Type"), "text/html") || h.Get("X-Should-Retry") != "" {
			t.Errorf("headers %v, want HTML and no word of the vendor", h)
		}
		if body := string(e.Body(fault.Anthropic, "")); !strings.HasPrefix(body, "<!DOCTYPE html>") {
			t.Errorf("body %q, want a page", body)
		}
	}
	if e := fault.ForStatus(fault.OpenAI, 502); e.Page == "" {
		t.Errorf("502 is %+v, want a page", e)
	}
}

func TestFaultsOfTheAnswerHaveNoError(t *testing.T) {
	for _, name := range []string{"ok", "reset", "cut-after-40", "html-200", "refusal", "only-pings"} {
		f, _ := fault.Parse(name)
		if e, ok := f.Error(fault.OpenAI); ok {
			t.Errorf("%s: %+v, want none", name, e)
		}
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	e := fault.RateLimited(fault.OpenAI, 1200*time.Millisecond)
	if got := e.Header(fault.OpenAI).Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2: an early return would be refused again", got)
	}
}

func ExampleError_Event() {
	e := fault.Overloaded(fault.Anthropic)
	fmt.Printf("%s", e.Event(fault.Messages, 0))
	e = fault.Broken(fault.OpenAI)
	fmt.Printf("%s", e.Event(fault.Chat, 0))
	fmt.Printf("%s", e.Event(fault.Responses, 7))
	// Output:
	// event: error
	// data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}
	//
	// data: {"error":{"message":"The server had an error while processing your request. You can retry it.","type":"server_error","param":null,"code":null}}
	//
	// event: error
	// data: {"type":"error","code":"server_error","message":"The server had an error while processing your request. You can retry it.","param":null,"sequence_number":7}
}

func ExampleParse() {
	f, err := fault.Parse("slow-first-token-20s")
	fmt.Println(f.Kind, f.Duration(), err)
	_, err = fault.Parse("slow-first-token")
	fmt.Println(err)
	// Output:
	// slow-first-token 20s <nil>
	// fault: no such fault: "slow-first-token" (did you mean "slow-first-token-20s"?)
}

func FuzzParse(f *testing.F) {
	for _, info := range fault.List() {
		f.Add(info.Name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := fault.Parse(name)
		if err == nil && (got.Name != name || got.N < 0) {
			t.Errorf("Parse(%q) = %+v", name, got)
		}
	})
}
