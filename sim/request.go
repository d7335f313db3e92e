package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-gateway/holdfast/fault"
)

// request is what the provider understands of a body, in any dialect. Fields that it
// does not know are ignored, as vendors do with most of them.
type request struct {
	dialect      fault.Dialect
	model        string
	stream       bool
	includeUsage bool
	store        bool
	maxTokens    int // 0: the caller named no limit
	choices      int // answers asked for, which are charged; one is given
	turns        []turn
	tools        []tool
	toolChoice   json.RawMessage
	structure    json.RawMessage // the JSON schema of the answer; nil: words
	user         string
	previous     string // previous_response_id
	input        json.RawMessage
	encoding     string // of embeddings: "", "float" or "base64"
	dimensions   int
}

// turn is one message of the conversation, the system prompt included.
type turn struct {
	role string
	text string
	rest []byte // content that is not text, as it came: tool results, images
}

// tool is one function the caller offers, in the shape of any dialect.
type tool struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
	Schema     json.RawMessage `json:"input_schema"`
	Function   *tool           `json:"function"`
}

// badRequest is a 400 with the name of the field that caused it.
type badRequest struct{ param, message string }

func (e badRequest) Error() string { return "sim: " + e.param + ": " + e.message }

// parseRequest reads a body. Even with an error it returns what it understood, so that a
// fault named by the model works on an otherwise bad request. The error is a badRequest.
func parseRequest(d fault.Dialect, body []byte) (request, error) {
	req := request{dialect: d, store: true}
	f := fields{}
	if err := json.Unmarshal(body, &f.raw); err != nil {
		return req, badRequest{"", "The body of your request is not valid JSON."}
	}
	f.get("model", &req.model)
	f.get("stream", &req.stream)
	f.get("user", &req.user)
	f.get("tools", &req.tools)
	f.get("store", &req.store)
	f.get("previous_response_id", &req.previous)
	f.get("encoding_format", &req.encoding)
	f.get("dimensions", &req.dimensions)
	req.toolChoice = f.raw["tool_choice"]
	req.input = f.raw["input"]
	req.includeUsage = f.includeUsage()
	req.structure = f.structure(d)
	req.maxTokens = f.maxTokens(d)
	req.choices = 1
	f.get("n", &req.choices)
	if user := f.metadataUser(); user != "" {
		req.user = user
	}
	req.turns = f.turns(d)
	if f.err == nil && req.model == "" {
		f.fail("model", "you must provide a model parameter")
	}
	return req, f.err
}

// fields is the top level of a body. Names are compared exactly, as vendors do;
// encoding/json alone would take "Model" for "model".
type fields struct {
	raw map[string]json.RawMessage
	err error
}

func (f *fields) fail(param, message string) {
	if f.err == nil {
		f.err = badRequest{param, message}
	}
}

// get decodes one field into p; absent and null leave p alone.
func (f *fields) get(name string, p any) {
	if raw, ok := f.raw[name]; ok && json.Unmarshal(raw, p) != nil {
		f.fail(name, fmt.Sprintf("Invalid type for '%s'.", name))
	}
}

func (f *fields) includeUsage() bool {
	var options struct {
		IncludeUsage bool `json:"include_usage"`
	}
	f.get("stream_options", &options)
	return options.IncludeUsage
}

// maxTokens reads the caller's limit under the dialect's names, the newer name first.
func (f *fields) maxTokens(d fault.Dialect) int {
	names := []string{"max_completion_tokens", "max_tokens"}
	switch d {
	case fault.Responses:
		names = []string{"max_output_tokens"}
	case fault.Messages:
		names = []string{"max_tokens"}
	}
	for _, name := range names {
		var n *int
		f.get(name, &n)
		if n == nil {
			continue
		}
		if *n < 1 {
			f.fail(name, "must be at least 1")
		}
		return *n
	}
	return 0
}

func (f *fields) metadataUser() string {
	var metadata map[string]any
	f.get("metadata", &metadata)
	user, _ := metadata["user_id"].(string)
	return user
}

func (f *fields) turns(d fault.Dialect) []turn {
	var turns []turn
	for _, name := range []string{"system", "instructions"} {
		if t := turnOf("system", f.raw[name]); t.text != "" {
			turns = append(turns, t)
		}
	}
	switch d {
	case fault.Chat, fault.Messages:
		return append(turns, f.messages("messages")...)
	case fault.Responses:
		return append(turns, f.responsesInput()...)
	}
	return turns
}

func (f *fields) messages(name string) []turn {
	var messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
		Output  json.RawMessage `json:"output"`     // of a function_call_output
		Call    json.RawMessage `json:"arguments"`  // of a function_call
		Calls   json.RawMessage `json:"tool_calls"` // of an assistant's message
	}
	f.get(name, &messages)
	if len(messages) == 0 {
		f.fail(name, fmt.Sprintf("Missing required parameter: '%s'.", name))
	}
	turns := make([]turn, len(messages))
	for i, m := range messages {
		turns[i] = turnOf(m.Role, m.Content)
		turns[i].rest = slices.Concat(turns[i].rest, m.Output, m.Call, m.Calls)
	}
	return turns
}

// responsesInput reads input, which is one text or a list of items.
func (f *fields) responsesInput() []turn {
	if raw := bytes.TrimSpace(f.raw["input"]); len(raw) > 0 && raw[0] == '"' {
		return []turn{turnOf("user", raw)}
	}
	return f.messages("input")
}

// turnOf reads content, which is a text or a list of parts.
func turnOf(role string, content json.RawMessage) turn {
	t := turn{role: role}
	if json.Unmarshal(content, &t.text) == nil {
		return t
	}
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		t.rest = content
		return t
	}
	var text strings.Builder
	for _, raw := range parts {
		var part struct {
			Text *string `json:"text"`
		}
		if json.Unmarshal(raw, &part) == nil && part.Text != nil {
			text.WriteString(*part.Text)
		} else {
			t.rest = append(t.rest, raw...)
		}
	}
	t.text = text.String()
	return t
}

// prefill splits an assistant's unfinished last message off the conversation.
func (r request) prefill() (turns []turn, prefill string) {
	last := len(r.turns) - 1
	if last < 0 || r.turns[last].role != "assistant" || r.turns[last].text == "" {
		return r.turns, ""
	}
	return r.turns[:last], r.turns[last].text
}

// digest is a fingerprint of a conversation. It is the same in every dialect.
func digest(turns []turn) [sha256.Size]byte {
	h := sha256.New()
	for _, t := range turns {
		role := t.role
		if role == "developer" {
			role = "system"
		}
		fmt.Fprintf(h, "%q %q %q\n", role, t.text, t.rest)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// inputTokens estimates the prompt at four bytes a token, and never at nothing.
func (r request) inputTokens() int {
	n := len(r.input)
	if len(r.turns) > 0 {
		n = 0
	}
	for _, t := range r.turns {
		n += len(t.text) + len(t.rest)
	}
	for _, t := range r.tools {
		n += len(t.name()) + len(t.schema())
	}
	return max(1, (n+3)/4)
}

func (t tool) name() string {
	if t.Function != nil {
		return t.Function.Name
	}
	return t.Name
}

func (t tool) schema() json.RawMessage {
	if t.Function != nil {
		return t.Function.Parameters
	}
	if t.Schema != nil {
		return t.Schema
	}
	return t.Parameters
}

// wantsTool returns the tool that the answer shall call, if any: one the caller forces, or
// the first where the user's last words hold "tool". After a tool's result it is text again.
func (r request) wantsTool() (tool, bool) {
	choice := r.choice()
	for _, t := range r.tools {
		name := t.name()
		if name == "" || choice == "none" {
			continue
		}
		if choice == name || choice == "required" || choice == "any" || r.asksForTool() && !r.names(choice) {
			return t, true
		}
	}
	return tool{}, false
}

func (r request) asksForTool() bool {
	if len(r.turns) == 0 {
		return false
	}
	last := r.turns[len(r.turns)-1]
	return last.role == "user" && strings.Contains(strings.ToLower(last.text), "tool")
}

// names reports whether choice is the name of one of the tools.
func (r request) names(choice string) bool {
	for _, t := range r.tools {
		if t.name() == choice {
			return true
		}
	}
	return false
}

// choice returns tool_choice as a word (auto, none, required, any) or the name of a tool.
func (r request) choice() string {
	var word string
	if json.Unmarshal(r.toolChoice, &word) == nil {
		return word
	}
	var object struct {
		Type     string `json:"type"`
		Name     string `json:"name"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	_ = json.Unmarshal(r.toolChoice, &object) // an odd choice is no choice
	switch {
	case object.Function.Name != "":
		return object.Function.Name
	case object.Name != "":
		return object.Name
	}
	return object.Type
}
