package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-gateway/holdfast/fault"
)

// vendor is one vendor as its clients meet it: its paths, its key's header, the
// shape of its errors and the habits of its streams. Where it says nothing, the
// provider is OpenAI.
type vendor struct {
	name    string
	prefix  string                                   // of its paths, before /v1/
	bare    bool                                     // its paths have no /v1/
	path    func(*url.URL) (string, bool)            // instead of prefix and bare: the path as OpenAI has it
	keys    []string                                 // headers in which it takes a credential; none: Authorization
	refusal func(fault.Error) (int, json.RawMessage) // its error bodies; nil: OpenAI's
	voice   func(dialectVoice) dialectVoice          // its streams; nil: OpenAI's
	answer  func(*call)                              // what it answers on any path, when it is no model
	only    func(method, path string) (known bool)   // paths it has; nil: all of the provider's
}

// Vendors returns the names that Config.Vendor takes, in alphabetical order.
func Vendors() []string {
	var names []string
	for _, p := range vendors {
		names = append(names, p.name)
	}
	return names
}

var vendors = []*vendor{
	{name: "anthropic", keys: []string{"X-Api-Key"}, only: isMessages},
	{name: "azure", path: azurePath, keys: []string{"Api-Key", "Authorization"}, refusal: azureError, voice: azureVoice},
	{name: "compatible", voice: unterminated},
	{name: "deepseek", bare: true, refusal: deepseekError, voice: commenting},
	{name: "fireworks", prefix: "/inference", refusal: fireworksError},
	{name: "groq", prefix: "/openai", voice: groqVoice},
	{name: "http", answer: (*call).useTool},
	{name: "llamacpp", refusal: llamaError},
	{name: "lmstudio", refusal: sentenceError},
	{name: "mistral", refusal: mistralError},
	{name: "ollama", refusal: ollamaError},
	{name: "openai"},
	{name: "openrouter", prefix: "/api", refusal: routerError, voice: commenting},
	{name: "perplexity", bare: true, refusal: perplexityError, voice: unterminated},
	{name: "together", refusal: togetherError},
	{name: "vllm", refusal: vllmError},
	{name: "xai", refusal: xaiError},
}

func vendorNamed(name string) *vendor {
	i := slices.IndexFunc(vendors, func(p *vendor) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return vendors[i]
}

// asked keeps the path of the request for the journal.
type asked struct{}

// as returns r as OpenAI would have been asked, or false for a path that this
// vendor does not have.
func (p *vendor) as(r *http.Request) (*http.Request, bool) {
	path, ok := p.canonical(r.URL)
	if p.only != nil {
		ok = ok && p.only(r.Method, path)
	}
	if !ok {
		path = "/not-of-this-vendor"
	}
	clone := r.WithContext(context.WithValue(r.Context(), asked{}, r.URL.EscapedPath()))
	u := *r.URL
	u.Path, u.RawPath = path, ""
	clone.URL = &u
	return clone, ok
}

func (p *vendor) canonical(u *url.URL) (string, bool) {
	switch {
	case p.path != nil:
		return p.path(u)
	case p.bare:
		return "/v1" + u.Path, !strings.HasPrefix(u.Path, "/v1/")
	}
	path, ok := strings.CutPrefix(u.Path, p.prefix)
	return path, ok && (strings.HasPrefix(path, "/v1/") || p.answer != nil)
}

func pathAsked(r *http.Request) string {
	if path, ok := r.Context().Value(asked{}).(string); ok {
		return path
	}
	return r.URL.Path
}

func isMessages(_, path string) bool {
	return strings.HasPrefix(path, "/v1/messages") || strings.HasPrefix(path, "/v1/models") || strings.HasPrefix(path, "/v1/files")
}

// azurePath knows the versioned paths, which need their api-version, and the v1
// paths.
func azurePath(u *url.URL) (string, bool) {
	path := u.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/openai/v1/"); ok {
		return "/v1/" + rest, true
	}
	versioned := u.Query().Get("api-version") != ""
	if rest, ok := strings.CutPrefix(path, "/openai/deployments/"); ok {
		deployment, operation, _ := strings.Cut(rest, "/")
		return "/v1/" + operation, versioned && deployment != ""
	}
	if rest, ok := strings.CutPrefix(path, "/models/"); ok {
		return "/v1/" + rest, versioned
	}
	rest, ok := strings.CutPrefix(path, "/openai/")
	return "/v1/" + rest, ok && versioned
}

// stray reports whether a request carries a credential that is not for this
// provider: in a header that it does not take, or another key than the one that
// it requires.
func (p *vendor) stray(h http.Header, required string) bool {
	keys := p.keys
	if len(keys) == 0 {
		keys = []string{"Authorization"}
	}
	for _, name := range []string{"Api-Key", "Authorization", "X-Api-Key", "X-Goog-Api-Key", "Cookie", "Proxy-Authorization"} {
		value := h.Get(name)
		if value == "" {
			continue
		}
		if !slices.Contains(keys, name) || required != "" && !sameKey(keyOf(http.Header{name: {value}}), required) {
			return true
		}
	}
	return false
}

// useTool answers as a tool does: it says what it was asked.
func (c *call) useTool() {
	c.whole(object("ok", true, "method", c.r.Method, "path", clip(pathAsked(c.r))), 0)
}

// ---- error bodies ----

// kindOf says in one word what an OpenAI error is about.
func kindOf(e fault.Error) string {
	switch {
	case e.Code == "content_policy_violation":
		return "policy"
	case e.Code == "context_length_exceeded":
		return "length"
	case e.Code == "model_not_found":
		return "model"
	case e.Type == "insufficient_quota":
		return "quota"
	case e.Status == http.StatusUnauthorized:
		return "key"
	case e.Status == http.StatusTooManyRequests:
		return "rate"
	}
	return ""
}

func wrapped(pairs ...any) json.RawMessage { return object("error", object(pairs...)) }

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func azureError(e fault.Error) (int, json.RawMessage) {
	switch kindOf(e) {
	case "policy":
		safe := object("filtered", false, "severity", "safe")
		results := object("hate", safe, "self_harm", safe, "sexual", safe, "violence", object("filtered", true, "severity", "high"))
		return http.StatusBadRequest, wrapped("message", "The prompt was filtered.", "type", nil, "param", "prompt", "code", "content_filter",
			"status", http.StatusBadRequest, "innererror", object("code", "ResponsibleAIPolicyViolation", "content_filter_result", results))
	case "model":
		return http.StatusNotFound, wrapped("type", "invalid_request_error", "code", "DeploymentNotFound", "message", "There is no such deployment.")
	case "key":
		return http.StatusUnauthorized, wrapped("code", "401", "message", "Access denied: the key is not valid for this resource.")
	case "rate":
		return http.StatusTooManyRequests, wrapped("code", "RateLimitReached", "message", "The deployment is past its rate limit.", "details", "The deployment is past its rate limit.")
	}
	return e.Status, wrapped("message", e.Message, "type", text(e.Type), "param", text(e.Param), "code", text(e.Code))
}

func mistralError(e fault.Error) (int, json.RawMessage) {
	kind, code := e.Type, any(nil)
	switch kindOf(e) {
	case "key":
		return e.Status, object("detail", "Invalid API Key")
	case "rate":
		kind, code = "rate_limited", "1300"
	case "model":
		return http.StatusBadRequest, object("object", "error", "message", "Invalid model", "type", "invalid_model", "param", nil, "code", "1500")
	case "length":
		code = "3051"
	}
	return e.Status, object("object", "error", "message", e.Message, "type", kind, "param", nil, "code", code)
}

// xaiError: a bad key is a 400, and one code stands for the account and for what
// was asked.
func xaiError(e fault.Error) (int, json.RawMessage) {
	switch kindOf(e) {
	case "key":
		return http.StatusBadRequest, object("code", "invalid-argument", "error", "Incorrect API key provided.")
	case "policy":
		return http.StatusForbidden, object("code", "permission-denied", "error", "Content violates usage guidelines.")
	case "quota":
		return http.StatusForbidden, object("code", "personal-team-blocked:spending-limit", "error", "Nothing is left to spend.")
	case "length":
		return http.StatusBadRequest, object("code", "invalid-argument", "error", "This model's maximum prompt length is 131072 but the request contains more.")
	}
	return e.Status, object("code", "error", "error", e.Message)
}

func routerError(e fault.Error) (int, json.RawMessage) {
	status, message := e.Status, e.Message
	switch kindOf(e) {
	case "policy":
		status, message = http.StatusForbidden, "The model requires moderation and your input was flagged."
	case "quota":
		status, message = http.StatusPaymentRequired, "Insufficient credits."
	case "model":
		message = "No endpoints found for this model."
	}
	return status, wrapped("message", message, "code", status)
}

func deepseekError(e fault.Error) (int, json.RawMessage) {
	switch kindOf(e) {
	case "policy":
		return http.StatusBadRequest, wrapped("message", "Content Exists Risk", "type", "invalid_request_error", "param", nil, "code", "invalid_request_error")
	case "quota":
		return http.StatusPaymentRequired, wrapped("message", "Insufficient Balance", "type", "unknown_error", "param", nil, "code", "invalid_request_error")
	case "key":
		return e.Status, wrapped("message", "Authentication Fails", "type", "authentication_error", "param", nil, "code", "invalid_request_error")
	}
	return e.Status, wrapped("message", e.Message, "type", e.Type, "param", nil, "code", "invalid_request_error")
}

func fireworksError(e fault.Error) (int, json.RawMessage) {
	switch kindOf(e) {
	case "quota":
		return http.StatusPreconditionFailed, wrapped("message", "The account is suspended.", "param", nil, "code", "PRECONDITION_FAILED", "type", "error")
	case "length":
		return e.Status, wrapped("object", "error", "type", "invalid_request_error", "message", "The prompt is too long: 131072, model maximum context length: 128000")
	}
	return e.Status, wrapped("message", e.Message, "type", text(e.Type), "param", nil, "code", text(e.Code))
}

func llamaError(e fault.Error) (int, json.RawMessage) {
	kind := e.Type
	if kindOf(e) == "length" {
		kind = "exceed_context_size_error"
	}
	return e.Status, wrapped("code", e.Status, "message", e.Message, "type", kind)
}

func sentenceError(e fault.Error) (int, json.RawMessage) { return e.Status, object("error", e.Message) }

func ollamaError(e fault.Error) (int, json.RawMessage) {
	return e.Status, wrapped("message", e.Message, "type", "api_error", "param", nil, "code", nil)
}

func perplexityError(e fault.Error) (int, json.RawMessage) {
	kind := e.Type
	if kindOf(e) == "key" {
		kind = "invalid_api_key"
	}
	return e.Status, wrapped("message", e.Message, "type", kind, "code", e.Status)
}

func togetherError(e fault.Error) (int, json.RawMessage) {
	if kindOf(e) == "quota" {
		return http.StatusPaymentRequired, wrapped("message", "Credit limit exceeded.", "type", "credit_limit", "param", nil, "code", nil)
	}
	return e.Status, wrapped("message", e.Message, "type", text(e.Type), "param", text(e.Param), "code", text(e.Code))
}

func vllmError(e fault.Error) (int, json.RawMessage) {
	return e.Status, object("object", "error", "message", e.Message, "type", "BadRequestError", "param", nil, "code", e.Status)
}

// ---- streams ----

// azureVoice begins with a chunk about the prompt, without choices.
func azureVoice(v dialectVoice) dialectVoice {
	if _, ok := v.(*chatVoice); !ok {
		return v
	}
	safe := object("filtered", false, "severity", "safe")
	results := array(object("prompt_index", 0, "content_filter_results", object("hate", safe, "self_harm", safe, "sexual", safe, "violence", safe)))
	first := event("", object("choices", array(), "created", 0, "id", "", "model", "", "object", "", "prompt_filter_results", results))
	return beginning{v, [][]byte{first}}
}

// commenting sends comments before the first chunk.
func commenting(v dialectVoice) dialectVoice {
	comment := []byte(": PROCESSING\n\n")
	return beginning{v, [][]byte{comment, comment}}
}

// beginning is a voice with frames before its own.
type beginning struct {
	dialectVoice
	first [][]byte
}

func (v beginning) start() [][]byte { return append(slices.Clone(v.first), v.dialectVoice.start()...) }

// unterminated never says [DONE].
func unterminated(v dialectVoice) dialectVoice {
	if _, ok := v.(*chatVoice); !ok {
		return v
	}
	return open{v}
}

type open struct{ dialectVoice }

func (open) end() []byte { return nil }

// groqVoice counts tokens in x_groq, whether or not it was asked to.
func groqVoice(v dialectVoice) dialectVoice {
	chat, ok := v.(*chatVoice)
	if !ok {
		return v
	}
	return groq{chat}
}

type groq struct{ *chatVoice }

func (v groq) finish() [][]byte {
	choice := object("index", 0, "delta", object(), "logprobs", nil, "finish_reason", v.reason())
	last := object("id", "chatcmpl-"+v.id, "object", "chat.completion.chunk", "created", int(v.created.Unix()), "model", v.req.model,
		"choices", array(choice), "x_groq", object("id", "req_"+v.id, "usage", v.usage()))
	return [][]byte{event("", last)}
}
