package sim

import (
	"encoding/json"

	"github.com/holdfast-gateway/holdfast/fault"
)

// responsesVoice speaks OpenAI's Responses.
type responsesVoice struct {
	answer
	sequence int // of the next event
}

func (v *responsesVoice) start() [][]byte {
	return [][]byte{
		v.event("response.created", "response", v.response("in_progress", nil, nil)),
		v.event("response.in_progress", "response", v.response("in_progress", nil, nil)),
	}
}

func (v *responsesVoice) open() [][]byte {
	frames := [][]byte{v.event("response.output_item.added", "output_index", 0, "item", v.item("in_progress"))}
	if v.ending != toolCall {
		frames = append(frames, v.event("response.content_part.added", append(v.place(), "part", v.part(""))...))
	}
	return frames
}

func (v *responsesVoice) token(s string) []byte {
	switch v.ending {
	case toolCall:
		return v.event("response.function_call_arguments.delta", "item_id", v.itemID(), "output_index", 0, "delta", s)
	case refused:
		return v.event("response.refusal.delta", append(v.place(), "delta", s)...)
	}
	return v.event("response.output_text.delta", append(v.place(), "delta", s, "logprobs", array())...)
}

func (v *responsesVoice) finish() [][]byte {
	var frames [][]byte
	switch v.ending {
	case toolCall:
		frames = append(frames, v.event("response.function_call_arguments.done",
			"item_id", v.itemID(), "output_index", 0, "name", v.tool, "arguments", v.text()))
	case refused:
		frames = append(frames, v.event("response.refusal.done", append(v.place(), "refusal", v.text())...))
	default:
		frames = append(frames, v.event("response.output_text.done", append(v.place(), "text", v.text(), "logprobs", array())...))
	}
	if v.ending != toolCall {
		frames = append(frames, v.event("response.content_part.done", append(v.place(), "part", v.part(v.text()))...))
	}
	return append(frames, v.event("response.output_item.done", "output_index", 0, "item", v.item(v.status())))
}

func (v *responsesVoice) end() []byte {
	return v.event("response."+v.status(), "response", v.whole())
}

func (v *responsesVoice) keepAlive() []byte { return []byte(": keep-alive\n\n") }

// failure is the flat error event, and once the response was created also its failed end,
// as the vendor sends them.
func (v *responsesVoice) failure(e fault.Error) [][]byte {
	begun := v.sequence > 0
	frames := [][]byte{e.Event(fault.Responses, v.sequence)}
	v.sequence++
	if begun {
		failed := v.response("failed", nil, json.RawMessage(e.FailedError()))
		frames = append(frames, v.event("response.failed", "response", failed))
	}
	return frames
}

func (v *responsesVoice) whole() json.RawMessage {
	return v.response(v.status(), v.item(v.status()), nil)
}

// event is one numbered event: its type, its sequence_number, then pairs.
func (v *responsesVoice) event(kind string, pairs ...any) []byte {
	data := object(append([]any{"type", kind, "sequence_number", v.sequence}, pairs...)...)
	v.sequence++
	return event(kind, data)
}

// place is where in the response a content event belongs.
func (v *responsesVoice) place() []any {
	return []any{"item_id", v.itemID(), "output_index", 0, "content_index", 0}
}

// item is the one thing the answer consists of; it is empty while in progress.
func (v *responsesVoice) item(status string) json.RawMessage {
	text, content := v.text(), array(v.part(v.text()))
	if status == "in_progress" {
		text, content = "", array()
	}
	if v.ending == toolCall {
		return object("id", v.itemID(), "type", "function_call", "status", status,
			"arguments", text, "call_id", "call_"+v.id[:24], "name", v.tool)
	}
	return object("id", v.itemID(), "type", "message", "status", status, "content", content, "role", "assistant")
}

func (v *responsesVoice) part(text string) json.RawMessage {
	if v.ending == refused {
		return object("type", "refusal", "refusal", text)
	}
	return object("type", "output_text", "annotations", array(), "logprobs", array(), "text", text)
}

// response is the object that frames carry: without an item it has no output and no usage.
func (v *responsesVoice) response(status string, item json.RawMessage, failure any) json.RawMessage {
	output, usage := array(), any(nil)
	if item != nil {
		output, usage = array(item), v.usage()
	}
	return object("id", v.responseID(), "object", "response", "created_at", int(v.created.Unix()), "status", status,
		"background", false, "error", failure, "incomplete_details", v.incomplete(status), "instructions", nil,
		"max_output_tokens", orNil(v.req.maxTokens), "max_tool_calls", nil, "model", v.req.model, "output", output,
		"parallel_tool_calls", true, "previous_response_id", orNil(v.req.previous), "prompt_cache_key", nil,
		"reasoning", object("effort", nil, "summary", nil), "safety_identifier", nil, "service_tier", "default",
		"store", v.req.store, "temperature", 1, "text", object("format", object("type", "text"), "verbosity", "medium"),
		"tool_choice", "auto", "tools", array(), "top_logprobs", 0, "top_p", 1, "truncation", "disabled",
		"usage", usage, "user", nil, "metadata", object())
}

func (v *responsesVoice) incomplete(status string) any {
	switch {
	case status != "incomplete":
		return nil
	case v.ending == filtered:
		return object("reason", "content_filter")
	}
	return object("reason", "max_output_tokens")
}

func (v *responsesVoice) usage() json.RawMessage {
	return object("input_tokens", v.input, "input_tokens_details", object("cached_tokens", v.cached),
		"output_tokens", len(v.tokens), "output_tokens_details", object("reasoning_tokens", 0),
		"total_tokens", v.input+len(v.tokens))
}

func (v *responsesVoice) status() string {
	if v.ending == lengthEnd || v.ending == filtered {
		return "incomplete"
	}
	return "completed"
}

func (v *responsesVoice) responseID() string { return "resp_" + v.id }

func (v *responsesVoice) itemID() string {
	if v.ending == toolCall {
		return "fc_" + v.id
	}
	return "msg_" + v.id
}

// orNil turns a zero value into JSON's null.
func orNil[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}
