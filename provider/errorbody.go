package provider

import (
	"bytes"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// ErrorBody is what an error body says, whatever its shape.
type ErrorBody struct {
	Type    string // "rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException"
	Code    string // "insufficient_quota"; a code that only repeats an HTTP status stands in Status
	Detail  string // a second, finer code: Anthropic's details.error_code, Azure's innererror.code, Google's reason
	Param   string
	Message string // for the caller; never logged
	Status  int    // the status the body speaks of; 0 if none
	JSON    bool   // the body was a JSON object or an array of one
	Wait    time.Duration
	HasWait bool // the body itself says how long to wait
}

// Problem returns what the caller should be told of b under an HTTP status.
func (b ErrorBody) Problem(status int) call.Problem {
	code := b.Code
	if code == "" {
		code = b.Detail
	}
	return call.Problem{Status: status, Type: b.Type, Code: code, Param: b.Param, Message: b.Message}
}

// ParseError reads an error body of any vendor. The shapes differ: an "error"
// object (OpenAI, Anthropic, Google, Azure), an array of one (Google's streams),
// an "error" string beside a code (xAI), "detail" (Mistral), a bare "message"
// (Bedrock, Cohere). What is no JSON yields the zero ErrorBody.
func ParseError(body []byte) ErrorBody {
	v := firstObject(bytes.TrimSpace(body))
	if v.Kind() != '{' || !v.Well() {
		return ErrorBody{}
	}
	b := ErrorBody{JSON: true}
	b.readMembers(v)
	return b
}

func firstObject(v call.Value) call.Value {
	if v.Kind() != '[' {
		return v
	}
	var first call.Value
	_ = v.Elements(func(e call.Value) bool { first = e; return false })
	return first
}

// readMembers reads one level; the members of "error" win over those around it.
func (b *ErrorBody) readMembers(v call.Value) {
	var inner call.Value
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch strings.ToLower(string(key)) {
		case "error":
			inner = val
		case "message", "error_description":
			b.Message = first(val.Text(), b.Message)
		case "detail":
			b.readDetail(val)
		case "type", "__type":
			b.Type = first(lastPart(val.Text()), b.Type)
		case "code":
			b.readCode(val)
		case "status":
			b.readStatus(val)
		case "param":
			b.Param = first(val.Text(), b.Param)
		case "innererror", "inner_error":
			b.Detail = first(val.Get("code").Text(), b.Detail)
		case "details":
			b.readDetails(val)
		case "retry_after", "retry_after_ms":
			b.readWait(string(key), val)
		}
		return true
	})
	b.readInner(inner)
}

func (b *ErrorBody) readInner(inner call.Value) {
	switch inner.Kind() {
	case '{':
		outer := b.Type
		b.Type = "" // around an error object it only says "error"
		b.readMembers(inner)
		if outer != "error" {
			b.Type = first(b.Type, outer)
		}
	case '"':
		b.Message = first(inner.Text(), b.Message)
	}
}

// readDetail reads "detail": a sentence, an object, or a list of what is wrong.
func (b *ErrorBody) readDetail(v call.Value) {
	text := v.Text()
	if v.Kind() == '[' {
		text = firstObject(v).Get("msg").Text()
	}
	if v.Kind() == '{' {
		text = v.Get("message").Text()
		b.Type = first(b.Type, v.Get("type").Text())
	}
	b.Message = first(b.Message, text)
}

// readCode keeps words. A code that is a number is an HTTP status once more.
func (b *ErrorBody) readCode(v call.Value) {
	if n, ok := statusNumber(v); ok {
		b.Status = n
		return
	}
	b.Code = first(v.Text(), b.Code)
}

// readStatus reads a number as an HTTP status, a word as Google's type.
func (b *ErrorBody) readStatus(v call.Value) {
	if n, ok := statusNumber(v); ok {
		b.Status = n
		return
	}
	b.Type = first(b.Type, v.Text())
}

func statusNumber(v call.Value) (int, bool) {
	n, ok := v.Int()
	if !ok && v.Kind() == '"' && len(v) == 5 {
		n, ok = call.Value(v[1 : len(v)-1]).Int()
	}
	return n, ok && n >= 100 && n <= 599
}

// readDetails reads Anthropic's object, or Google's list of typed details.
func (b *ErrorBody) readDetails(v call.Value) {
	if v.Kind() == '{' {
		b.Detail = first(v.Get("error_code").Text(), b.Detail)
		return
	}
	_ = v.Elements(func(e call.Value) bool {
		b.Detail = first(b.Detail, e.Get("reason").Text())
		if d, err := time.ParseDuration(e.Get("retryDelay").Text()); err == nil && d >= 0 {
			b.Wait, b.HasWait = d, true
		}
		return true
	})
}

func (b *ErrorBody) readWait(name string, v call.Value) {
	text := string(v)
	if v.Kind() == '"' {
		text = v.Text()
	}
	unit := time.Second
	if strings.HasSuffix(name, "_ms") {
		unit = time.Millisecond
	}
	if d, ok := number(text, unit); ok {
		b.Wait, b.HasWait = d, true
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// lastPart shortens "com.amazon.coral.service#ThrottlingException".
func lastPart(s string) string { return s[strings.LastIndexByte(s, '#')+1:] }
