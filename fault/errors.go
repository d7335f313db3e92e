package fault

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Style is how a vendor shapes its errors.
type Style string

// The two styles of error body.
const (
	OpenAI    Style = "openai"
	Anthropic Style = "anthropic"
)

// Error is one refusal as a vendor words it.
type Error struct {
	Status     int           // HTTP status, 400-599
	Type       string        // error.type
	Code       string        // error.code (OpenAI) or error.details.error_code (Anthropic); "" is null or absent
	Param      string        // error.param (OpenAI only); "" is null
	Message    string        // error.message; English, for people
	RetryAfter time.Duration // Retry-After, rounded up to whole seconds; 0 sends none

	// Page replaces the JSON body: an intermediary answered, not the vendor.
	// PageType is its content type.
	Page, PageType string
}

// Error makes an Error usable as a Go error; the text holds status, type and code.
func (e Error) Error() string {
	return fmt.Sprintf("fault: %d %s %s", e.Status, e.Type, e.Code)
}

// Body returns the error's body. requestID stands inside an Anthropic body and is unused otherwise.
func (e Error) Body(s Style, requestID string) []byte {
	if e.Page != "" {
		return []byte(e.Page)
	}
	if s == Anthropic {
		return encode(anthropicBody{Type: "error", Error: e.anthropic(), RequestID: requestID})
	}
	return encode(openAIBody{Error: e.openAI()})
}

// Header returns the headers that belong to the error: Content-Type, Retry-After where
// there is a wait, and the x-should-retry that Anthropic sends. The map is the caller's.
func (e Error) Header(s Style) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	if e.Page != "" {
		h.Set("Content-Type", e.PageType)
		h.Set("Server", "cloudflare")
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if s == Anthropic && e.Page == "" {
		h.Set("X-Should-Retry", strconv.FormatBool(e.retryable()))
	}
	return h
}

// retryable is the vendor's own opinion: overload and faults yes, spending limits and
// the caller's mistakes no.
func (e Error) retryable() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict:
		return true
	case http.StatusTooManyRequests:
		return e.Code == ""
	}
	return e.Status >= 500
}

type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

type openAIBody struct {
	Error openAIError `json:"error"`
}

type anthropicDetails struct {
	ErrorCode string `json:"error_code"`
}

type anthropicError struct {
	Type    string            `json:"type"`
	Message string            `json:"message"`
	Details *anthropicDetails `json:"details,omitempty"`
}

type anthropicBody struct {
	Type      string         `json:"type"`
	Error     anthropicError `json:"error"`
	RequestID string         `json:"request_id,omitempty"`
}

func (e Error) openAI() openAIError {
	return openAIError{Message: e.Message, Type: e.Type, Param: orNull(e.Param), Code: orNull(e.Code)}
}

func (e Error) anthropic() anthropicError {
	out := anthropicError{Type: e.Type, Message: e.Message}
	if e.Code != "" {
		out.Details = &anthropicDetails{ErrorCode: e.Code}
	}
	return out
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// encode marshals a value of this package, which cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and pointers to strings only
	}
	return b
}
