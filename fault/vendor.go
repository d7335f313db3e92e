package fault

import (
	"net/http"
	"time"
)

// Error returns what a vendor of style s answers for f, and whether f is answered by an
// error at all. Kinds that depend on time or on earlier attempts (RetryAfter, Once, Flap)
// return the error of their bad phase.
func (f Fault) Error(s Style) (Error, bool) {
	switch f.Kind {
	case Status, Once:
		return ForStatus(s, f.N), true
	case RetryAfter:
		return RateLimited(s, f.Duration()), true
	case Throttled:
		return RateLimited(s, time.Second), true
	case Quota:
		return QuotaExhausted(s), true
	case Credit:
		return CreditExhausted(s), true
	case Flap:
		return ForStatus(s, http.StatusServiceUnavailable), true
	case Auth:
		return ForStatus(s, http.StatusUnauthorized), true
	case NotFound:
		return ModelNotFound(s, ""), true
	case ContextLength:
		return TooLong(s), true
	case PromptBlocked:
		return Blocked(s), true
	case RefusesPrefill:
		return NoPrefill(s), true
	}
	return Error{}, false
}

// RateLimited is the 429 that passes when the caller waits.
func RateLimited(s Style, wait time.Duration) Error {
	e := Error{Status: http.StatusTooManyRequests, RetryAfter: wait, Type: "rate_limit_error",
		Message: "This request would exceed the rate limit of your organization. Please wait before you try again."}
	if s == OpenAI {
		e.Type, e.Code = "requests", "rate_limit_exceeded"
		e.Message = "Rate limit reached for requests per min (RPM). Please try again in " + wait.String() + "."
	}
	return e
}

// QuotaExhausted is the 429 that no waiting cures.
func QuotaExhausted(s Style) Error {
	if s == Anthropic {
		return Error{Status: http.StatusTooManyRequests, Type: "rate_limit_error", Code: "enforced_spend_limit_reached",
			Message: "The spend limit of this workspace has been reached."}
	}
	return Error{Status: http.StatusTooManyRequests, Type: "insufficient_quota", Code: "insufficient_quota",
		Message: "You have used up your current quota. Check your plan and billing details."}
}

// CreditExhausted is an account without money: a 429 at OpenAI, a 400 at Anthropic.
func CreditExhausted(s Style) Error {
	if s == Anthropic {
		return Error{Status: http.StatusBadRequest, Type: "invalid_request_error",
			Message: "Your credit balance is too low to access the API."}
	}
	return Error{Status: http.StatusTooManyRequests, Type: "insufficient_quota", Code: "credit_balance_exhausted",
		Message: "Your credit balance is used up."}
}

// Overloaded is a provider with too many callers: 503 server_is_overloaded at OpenAI,
// 529 overloaded_error at Anthropic.
func Overloaded(s Style) Error {
	if s == Anthropic {
		return ForStatus(s, StatusOverloaded)
	}
	return ForStatus(s, http.StatusServiceUnavailable)
}

// Broken is an internal error: server_error at OpenAI, api_error at Anthropic, both 500.
func Broken(s Style) Error { return ForStatus(s, http.StatusInternalServerError) }

// ModelNotFound is the 404 for a model name; an empty name is left out of the message.
func ModelNotFound(s Style, model string) Error {
	if s == Anthropic {
		return Error{Status: http.StatusNotFound, Type: "not_found_error", Message: "model: " + model}
	}
	return Error{Status: http.StatusNotFound, Type: "invalid_request_error", Code: "model_not_found",
		Message: "The model `" + model + "` does not exist or you do not have access to it."}
}

// TooLong is the 400 for a prompt that does not fit the model.
func TooLong(s Style) Error {
	if s == Anthropic {
		return Error{Status: http.StatusBadRequest, Type: "invalid_request_error",
			Message: "prompt is too long: 212345 tokens > 200000 maximum"}
	}
	return Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Code: "context_length_exceeded", Param: "messages",
		Message: "This model's maximum context length is 128000 tokens, but your messages hold 131072. Please shorten them."}
}

// Blocked is the 400 of a content filter that refused the prompt.
func Blocked(s Style) Error {
	if s == Anthropic {
		return Error{Status: http.StatusBadRequest, Type: "invalid_request_error",
			Message: "Output blocked by content filtering policy"}
	}
	return Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Code: "content_policy_violation",
		Message: "Your request was rejected as a result of our safety system."}
}

// NoPrefill is the 400 of a model that does not go on from an assistant message.
func NoPrefill(s Style) Error {
	e := Error{Status: http.StatusBadRequest, Type: "invalid_request_error",
		Message: "This model does not support assistant message prefill. The conversation must end with a user message."}
	if s == OpenAI {
		e.Param, e.Code = "messages", "invalid_value"
	}
	return e
}

// Invalid is the 400 for a request that is wrong in itself. param may be empty.
func Invalid(s Style, param, message string) Error {
	e := Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Param: param, Message: message}
	if s == Anthropic && param != "" {
		e.Message = param + ": " + message
	}
	return e
}

// StatusOverloaded is Anthropic's own status, which net/http does not name.
const StatusOverloaded = 529

// ForStatus is the error that a vendor sends with a status, 400-599; a status that the
// vendor does not document gets its nearest documented type.
func ForStatus(s Style, status int) Error {
	switch status {
	case http.StatusTooManyRequests:
		return RateLimited(s, time.Second)
	case http.StatusNotFound:
		return ModelNotFound(s, "")
	case http.StatusBadGateway:
		return Page(status)
	}
	table := openAITable
	if s == Anthropic {
		table = anthropicTable
	}
	e, ok := table[status]
	switch {
	case !ok && status >= 500:
		e = table[http.StatusInternalServerError]
	case !ok:
		e = table[http.StatusBadRequest]
	}
	e.Status = status
	return e
}

// Page is what a front proxy answers in the vendor's place: HTML, no JSON.
func Page(status int) Error {
	text := http.StatusText(status)
	return Error{Status: status, PageType: "text/html; charset=UTF-8",
		Page: "<!DOCTYPE html>\n<html><head><title>" + text + "</title></head>\n<body><center><h1>" + text +
			"</h1></center><hr><center>front</center></body></html>\n"}
}

var openAITable = map[int]Error{
	400: {Type: "invalid_request_error", Code: "invalid_value", Message: "A value in your request is not valid."},
	401: {Type: "invalid_request_error", Code: "invalid_api_key", Message: "Incorrect API key provided. You can find your API key in your account settings."},
	403: {Type: "request_forbidden", Code: "unsupported_country_region_territory", Message: "Country, region, or territory not supported."},
	408: {Type: "server_error", Code: "timeout", Message: "The request took too long to arrive."},
	409: {Type: "conflict_error", Code: "conflict", Message: "The resource was changed by another request."},
	413: {Type: "invalid_request_error", Code: "request_too_large", Message: "The request is larger than the limit."},
	422: {Type: "invalid_request_error", Code: "unprocessable_entity", Message: "The request could not be followed."},
	500: {Type: "server_error", Message: "The server had an error while processing your request. You can retry it."},
	503: {Type: "service_unavailable_error", Code: "server_is_overloaded", Message: "Our servers are overloaded at the moment. Please try again later."},
	504: {PageType: "text/plain", Page: "upstream request timeout"},
	529: {Type: "service_unavailable_error", Code: "server_is_overloaded", Message: "Our servers are overloaded at the moment. Please try again later."},
}

var anthropicTable = map[int]Error{
	400: {Type: "invalid_request_error", Message: "A value in your request is not valid."},
	401: {Type: "authentication_error", Message: "invalid x-api-key"},
	402: {Type: "billing_error", Message: "There is a problem with the payment of this account."},
	403: {Type: "permission_error", Message: "Your API key may not use this resource."},
	408: {Type: "timeout_error", Message: "The request took too long to arrive."},
	409: {Type: "conflict_error", Message: "The resource was changed by another request."},
	413: {Type: "request_too_large", Message: "The request is larger than the limit of 32 MB."},
	500: {Type: "api_error", Message: "Internal server error"},
	503: {Type: "overloaded_error", Message: "Overloaded"},
	504: {Type: "timeout_error", Message: "The request timed out."},
	529: {Type: "overloaded_error", Message: "Overloaded"},
}
