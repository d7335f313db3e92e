package provider

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

func TestEveryStatusHasAClass(t *testing.T) {
	want := map[int]call.Class{
		200: call.BadResponse, 204: call.BadResponse, 302: call.BadResponse,
		400: call.ClientError, 401: call.Auth, 402: call.QuotaExhausted, 403: call.Auth, 404: call.NotFound,
		408: call.Conflict, 409: call.Conflict, 413: call.ClientError, 418: call.ClientError, 422: call.ClientError,
		425: call.Conflict, 429: call.Throttled, 500: call.ProviderFault, 501: call.ProviderFault, 502: call.ProviderFault,
		503: call.ProviderFault, 504: call.ProviderFault, 520: call.ProviderFault, 527: call.ProviderFault,
		529: call.Overloaded, 599: call.ProviderFault, 600: call.BadResponse, 0: call.BadResponse,
	}
	for status, class := range want {
		if got := ByStatus(status); got.Class != class {
			t.Errorf("%d: got %v, want %v", status, got.Class, class)
		}
	}
	for status := range 1000 {
		if ByStatus(status).Class == call.Unclassified || ByStatus(status).Class == call.OK {
			t.Errorf("%d: %v", status, ByStatus(status).Class)
		}
	}
}

func TestClassifyBelievesTheFinestWord(t *testing.T) {
	table := Table{
		{Code: "fine", Class: call.QuotaExhausted},
		{Code: "too_long", Class: call.ContextLength},
		{Type: "coarse", Class: call.Overloaded},
		{Contains: "magic words", Class: call.ContextLength},
	}
	classify := table.Classifier()
	cases := []struct {
		name     string
		evidence Evidence
		want     call.Class
		code     string
	}{
		{"a code before its type", Evidence{Status: 429, Body: []byte(`{"error":{"code":"fine","type":"coarse"}}`)}, call.QuotaExhausted, "fine"},
		{"a finer code", Evidence{Status: 429, Body: []byte(`{"error":{"type":"x","details":{"error_code":"fine"}}}`)}, call.QuotaExhausted, "fine"},
		{"a type before the status", Evidence{Status: 429, Body: []byte(`{"error":{"type":"coarse"}}`)}, call.Overloaded, "coarse"},
		{"a text", Evidence{Status: 400, Body: []byte(`{"error":{"message":"The Magic Words."}}`)}, call.ContextLength, ""},
		{"a text under a 500", Evidence{Status: 500, Body: []byte(`{"error":{"message":"The Magic Words."}}`)}, call.ProviderFault, ""},
		{"a length code under a 500", Evidence{Status: 500, Body: []byte(`{"error":{"code":"too_long"}}`)}, call.ProviderFault, "too_long"},
		{"a length code inside an answer", Evidence{Status: 200, InBand: true, Problem: call.Problem{Code: "too_long"}}, call.ContextLength, "too_long"},
		{"nothing but a status", Evidence{Status: 429}, call.Throttled, ""},
		{"a code that is a story", Evidence{Status: 400, Body: []byte(`{"error":{"code":"my secret prompt"}}`)}, call.ClientError, ""},
		{"a model that is not there", Evidence{Status: 404, Body: []byte(`{"error":{"message":"no"}}`)}, call.NotFound, ""},
		{"a file that is not there", Evidence{Status: 404, PassThrough: true, Body: []byte(`{"error":{"message":"no"}}`)}, call.ClientError, ""},
		{"a tunnel that is not there", Evidence{Status: 404, Body: []byte(`<html>`)}, call.BadResponse, ""},
		{"a firewall", Evidence{Status: 403, Body: []byte(`<html>`)}, call.BadResponse, ""},
		{"a 503 with a wait", Evidence{Status: 503, Header: header("Retry-After", "3")}, call.Overloaded, ""},
		{"a 503 in plain text", Evidence{Status: 503, Body: []byte("no healthy upstream")}, call.ProviderFault, ""},
		{"overload inside an answer", Evidence{InBand: true, Problem: call.Problem{Type: "overloaded_error"}}, call.Overloaded, "overloaded_error"},
		{"a fault inside an answer", Evidence{InBand: true, Problem: call.Problem{Type: "api_error"}}, call.ProviderFault, "api_error"},
		{"a limit inside an answer", Evidence{InBand: true, Problem: call.Problem{Type: "rate_limit_error"}}, call.Throttled, "rate_limit_error"},
		{"a bad request inside an answer", Evidence{InBand: true, Problem: call.Problem{Type: "invalid_request_error"}}, call.ClientError, "invalid_request_error"},
		{"a status inside an answer", Evidence{InBand: true, Problem: call.Problem{Code: "429", Status: 429}}, call.Throttled, "429"},
		{"an error without a word", Evidence{Status: 200, InBand: true}, call.ProviderFault, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.evidence.Now = now
			if got := classify(c.evidence); got.Class != c.want || got.Code != c.code {
				t.Errorf("got %v %q, want %v %q", got.Class, got.Code, c.want, c.code)
			}
		})
	}
}

func TestBlameFollowsTheClass(t *testing.T) {
	for status, want := range map[int]call.Scope{401: call.ScopeKey, 429: call.ScopeKey, 402: call.ScopeKey, 400: call.ScopeRequest, 500: call.ScopeTarget, 404: call.ScopeTarget} {
		if got := ByStatus(status); got.Scope != want {
			t.Errorf("%d: blames the %v, want the %v", status, got.Scope, want)
		}
	}
}

func TestWaitsComeFromTheSurestSource(t *testing.T) {
	guess := func(Evidence, ErrorBody) (time.Duration, bool) { return time.Hour, true }
	classify := Table(nil).Classifier(guess)
	cases := []struct {
		name     string
		evidence Evidence
		want     time.Duration
		ok       bool
	}{
		{"a header", Evidence{Status: 429, Header: header("Retry-After", "3"), Body: []byte(`{"retry_after":120}`)}, 3 * time.Second, true},
		{"the body", Evidence{Status: 429, Body: []byte(`{"retry_after":120}`)}, 2 * time.Minute, true},
		{"the vendor's guess", Evidence{Status: 429}, time.Hour, true},
		{"a fault with a wait", Evidence{Status: 524, Body: []byte(`{"error":"x","retry_after":120}`)}, 2 * time.Minute, true},
		{"a fault without", Evidence{Status: 500}, 0, false},
		{"a 503 is not overload by a guess", Evidence{Status: 503}, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := classify(c.evidence); got.Wait != c.want || got.HasWait != c.ok {
				t.Errorf("got %v, %v; want %v, %v", got.Wait, got.HasWait, c.want, c.ok)
			}
		})
	}
}

func TestAVendorKnowsItsHosts(t *testing.T) {
	v := &Vendor{Hosts: []string{"api.example.com"}}
	for host, want := range map[string]bool{
		"api.example.com": true, "API.Example.com:443": true, "api.example.com.": true,
		"api.example.com.evil.test": false, "xapi.example.com": false, "": false, "[::1]:80": false,
	} {
		if got := v.OwnsHost(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
