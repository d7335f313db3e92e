package call

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// The reasons for which Holdfast itself answers, a closed list: they stand in
// x-holdfast-reason, in metrics and in Problem.Reason.
const (
	ReasonRateLimited         = "rate_limited"         // our own limit of this client
	ReasonQueueFull           = "queue_full"           // no place in the waiting room
	ReasonQueueTimeout        = "queue_timeout"        // waited as long as allowed
	ReasonShed                = "shed"                 // given up for more urgent work, or because every target refuses much and `throttle` is on
	ReasonCircuitOpen         = "circuit_open"         // every target's breaker is open
	ReasonNoTarget            = "no_target"            // no target can take this call
	ReasonUpstreamExhausted   = "upstream_exhausted"   // every allowed attempt failed; the last answer is told
	ReasonUpstreamUnreachable = "upstream_unreachable" // no HTTP answer from any attempt
	ReasonBadResponse         = "bad_response"         // the provider's 200 was no answer
	ReasonDeadlineExceeded    = "deadline_exceeded"    // the time for this call is over
	ReasonQuotaExhausted      = "quota_exhausted"      // the provider account is out of credit
	ReasonBudgetExhausted     = "budget_exhausted"     // our own budget of this client or route is used up
	ReasonPolicyStop          = "policy_stop"          // a content policy ended the call
	ReasonContextLength       = "context_length"       // the prompt fits no target
	ReasonBadRequest          = "bad_request"          // the request cannot be read
	ReasonTooLarge            = "too_large"            // the body is over the limit
	ReasonUnauthorized        = "unauthorized"         // our key check failed
	ReasonUnknownRoute        = "unknown_route"        // no route for this model or path
	ReasonDraining            = "draining"             // this process is shutting down
	ReasonInternal            = "internal"             // a fault of ours
)

// Refusal is how one reason is told in the two error vocabularies.
type Refusal struct {
	Reason          string
	Status          int    // OpenAI dialects
	Type, Code      string // OpenAI dialects
	AnthropicStatus int
	AnthropicType   string
	Told            Told
}

// Told says what of a Problem's own status, type and code replaces the row's.
type Told uint8

// What of a Problem's own replaces the row's.
const (
	ToldCode  Told = iota // its code, where it has one
	ToldAll               // its status, type and code: the provider speaks
	ToldFixed             // nothing: callers act on exactly this code
)

// Refusals is the table of reasons (docs/reference/errors.md). It is
// data and must not be changed at run time. Statuses are those that SDKs act on:
// a queue that is full is 503 to OpenAI's and 529 to Anthropic's.
var Refusals = []Refusal{
	{ReasonRateLimited, 429, "rate_limit_error", "rate_limit_exceeded", 429, "rate_limit_error", ToldCode},
	{ReasonQueueFull, 503, "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", ToldCode},
	{ReasonQueueTimeout, 503, "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", ToldCode},
	{ReasonShed, 503, "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", ToldCode},
	{ReasonCircuitOpen, 503, "service_unavailable_error", "circuit_open", 529, "overloaded_error", ToldCode},
	{ReasonNoTarget, 503, "service_unavailable_error", "no_target", 529, "overloaded_error", ToldCode},
	{ReasonUpstreamExhausted, 502, "server_error", "upstream_exhausted", 502, "api_error", ToldAll},
	{ReasonUpstreamUnreachable, 502, "server_error", "upstream_unreachable", 502, "api_error", ToldCode},
	{ReasonBadResponse, 502, "server_error", "bad_response", 502, "api_error", ToldCode},
	{ReasonDeadlineExceeded, 504, "server_error", "timeout", 504, "timeout_error", ToldFixed},
	{ReasonQuotaExhausted, 429, "insufficient_quota", "insufficient_quota", 429, "rate_limit_error", ToldCode},
	{ReasonBudgetExhausted, 429, "insufficient_quota", "budget_exhausted", 429, "rate_limit_error", ToldCode},
	{ReasonPolicyStop, 400, "invalid_request_error", "content_policy_violation", 400, "invalid_request_error", ToldCode},
	{ReasonContextLength, 400, "invalid_request_error", "context_length_exceeded", 400, "invalid_request_error", ToldFixed},
	{ReasonBadRequest, 400, "invalid_request_error", "invalid_request_body", 400, "invalid_request_error", ToldCode},
	{ReasonTooLarge, 413, "invalid_request_error", "request_too_large", 413, "request_too_large", ToldCode},
	{ReasonUnauthorized, 401, "invalid_request_error", "invalid_api_key", 401, "authentication_error", ToldFixed},
	{ReasonUnknownRoute, 404, "invalid_request_error", "model_not_found", 404, "not_found_error", ToldFixed},
	{ReasonDraining, 503, "service_unavailable_error", "draining", 529, "overloaded_error", ToldCode},
	{ReasonInternal, 500, "server_error", "internal", 500, "api_error", ToldCode},
}

// refusal returns the row of the problem's reason. A problem without a known
// reason was told by a provider and gets the row of ReasonUpstreamExhausted.
func (p Problem) refusal() Refusal {
	var told Refusal
	for _, r := range Refusals {
		if r.Reason == p.Reason {
			return r
		}
		if r.Reason == ReasonUpstreamExhausted {
			told = r
		}
	}
	return told
}

// OpenAI returns how the OpenAI dialects tell p. code is "" when a provider
// told a type without a code.
func (p Problem) OpenAI() (status int, typ, code string) {
	r := p.refusal()
	status, typ, code = r.Status, r.Type, r.Code
	if p.Code != "" && r.Told != ToldFixed {
		code = p.Code
	}
	if r.Told != ToldAll {
		return status, typ, code
	}
	if isError(p.Status) {
		status, typ = p.Status, openAIType(p.Status)
	}
	if p.Type != "" {
		typ, code = p.Type, p.Code
	}
	return status, typ, code
}

// Anthropic returns how the Messages dialect tells p. The type is always one of
// Anthropic's, whoever the provider was.
func (p Problem) Anthropic() (status int, typ string) {
	r := p.refusal()
	status, typ = r.AnthropicStatus, r.AnthropicType
	if r.Told != ToldAll {
		return status, typ
	}
	known, byType := anthropicStatus[p.Type]
	switch {
	case isError(p.Status):
		status, typ = p.Status, anthropicType(p.Status)
	case byType:
		status = known
	}
	if byType {
		typ = p.Type
	}
	return status, typ
}

func isError(status int) bool { return status >= 400 && status <= 599 }

func openAIType(status int) string {
	switch {
	case status == 429:
		return "rate_limit_error"
	case status == 503 || status == 529:
		return "service_unavailable_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// anthropicStatus is Anthropic's vocabulary of error types.
var anthropicStatus = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
	"not_found_error": 404, "conflict_error": 409, "request_too_large": 413, "rate_limit_error": 429,
	"api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}

func anthropicType(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 409:
		return "conflict_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 503, 529:
		return "overloaded_error"
	case 504:
		return "timeout_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// ReadProblem reads the members that the error objects of all dialects share:
// message, type, code (a string, or a number that may be an HTTP status), status
// and param. A string is an error that is only a message.
func ReadProblem(v Value) Problem {
	if v.Kind() == '"' {
		return Problem{Message: v.Text()}
	}
	var p Problem
	_ = v.Members(func(key []byte, val Value) bool {
		switch string(key) {
		case "message":
			p.Message = val.Text()
		case "type":
			p.Type = val.Text()
		case "param":
			p.Param = val.Text()
		case "code":
			p.Code = val.Text()
			if n, ok := val.Int(); ok {
				p.Code = strconv.Itoa(n)
				p.Status = errorStatus(p.Status, n)
			}
		case "status":
			if n, ok := val.Int(); ok {
				p.Status = errorStatus(p.Status, n)
			}
		}
		return true
	})
	return p
}

func errorStatus(old, n int) int {
	if isError(n) {
		return n
	}
	return old
}

// Encode writes v as one line of JSON without escaping <, > and &, which people
// read in terminals. Line separators and invalid UTF-8 come out escaped or
// replaced, so that the text never breaks a frame. v must be made of maps,
// slices, structs and plain values; anything else is a mistake of the program
// and yields "null".
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
