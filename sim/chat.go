package sim

import (
	"encoding/json"

	"github.com/holdfast-gateway/holdfast/fault"
)

// dialectVoice says one answer in one dialect, frame by frame. Each method returns whole
// frames, to be flushed one by one, and is called once, in this order: start, open, token
// for each token, finish, end.
type dialectVoice interface {
	start() [][]byte                // that work has begun, where the dialect says so
	open() [][]byte                 // what stands before the first token
	token(s string) []byte          // one piece of content
	finish() [][]byte               // why it is over, and usage
	end() []byte                    // the terminator
	keepAlive() []byte              // at any time before finish
	failure(e fault.Error) [][]byte // an in-band error, instead of all that would follow
	whole() json.RawMessage         // the answer that is not streamed
}

// voiceIn returns the voice of a's dialect.
func voiceIn(a answer) dialectVoice {
	switch a.req.dialect {
	case fault.Responses:
		return &responsesVoice{answer: a}
	case fault.Messages:
		return &messagesVoice{a}
	}
	return &chatVoice{a}
}

// chatVoice speaks Chat Completions.
type chatVoice struct{ answer }

func (v *chatVoice) start() [][]byte { return nil }

func (v *chatVoice) open() [][]byte {
	switch v.ending {
	case toolCall:
		first := object("index", 0, "id", v.callID(), "type", "function",
			"function", object("name", v.tool, "arguments", ""))
		return [][]byte{v.chunk(object("role", "assistant", "content", nil, "tool_calls", array(first)), nil)}
	case refused:
		return [][]byte{v.chunk(object("role", "assistant", "content", nil, "refusal", ""), nil)}
	}
	return [][]byte{v.chunk(object("role", "assistant", "content", "", "refusal", nil), nil)}
}

func (v *chatVoice) token(s string) []byte {
	switch v.ending {
	case toolCall:
		piece := object("index", 0, "function", object("arguments", s))
		return v.chunk(object("tool_calls", array(piece)), nil)
	case refused:
		return v.chunk(object("refusal", s), nil)
	}
	return v.chunk(object("content", s), nil)
}

func (v *chatVoice) finish() [][]byte {
	frames := [][]byte{v.chunk(object(), v.reason())}
	if v.req.includeUsage {
		frames = append(frames, event("", v.envelope("chat.completion.chunk", array(), v.usage())))
	}
	return frames
}

func (v *chatVoice) end() []byte { return []byte("data: [DONE]\n\n") }

func (v *chatVoice) keepAlive() []byte { return []byte(": keep-alive\n\n") }

func (v *chatVoice) failure(e fault.Error) [][]byte { return [][]byte{e.Event(fault.Chat, 0)} }

func (v *chatVoice) whole() json.RawMessage {
	message := []any{"role", "assistant", "content", v.text(), "refusal", nil, "annotations", array()}
	switch v.ending {
	case toolCall:
		calls := array(object("id", v.callID(), "type", "function",
			"function", object("name", v.tool, "arguments", v.text())))
		message = []any{"role", "assistant", "content", nil, "tool_calls", calls, "refusal", nil, "annotations", array()}
	case refused:
		message = []any{"role", "assistant", "content", nil, "refusal", v.text(), "annotations", array()}
	}
	choice := object("index", 0, "message", object(message...), "logprobs", nil, "finish_reason", v.reason())
	return v.envelope("chat.completion", array(choice), v.usage())
}

// chunk is one frame of the stream; reason is nil but at the end.
func (v *chatVoice) chunk(delta json.RawMessage, reason any) []byte {
	choice := object("index", 0, "delta", delta, "logprobs", nil, "finish_reason", reason)
	return event("", v.envelope("chat.completion.chunk", array(choice), nil))
}

func (v *chatVoice) envelope(kind string, choices json.RawMessage, usage any) json.RawMessage {
	pairs := []any{"id", "chatcmpl-" + v.id, "object", kind, "created", int(v.created.Unix()),
		"model", v.req.model, "service_tier", "default", "system_fingerprint", "fp_sim", "choices", choices}
	if usage != nil || v.req.includeUsage { // with include_usage every chunk has the field
		pairs = append(pairs, "usage", usage)
	}
	return object(pairs...)
}

func (v *chatVoice) usage() json.RawMessage {
	return object("prompt_tokens", v.input, "completion_tokens", len(v.tokens), "total_tokens", v.input+len(v.tokens),
		"prompt_tokens_details", object("cached_tokens", v.cached, "audio_tokens", 0),
		"completion_tokens_details", object("reasoning_tokens", 0, "audio_tokens", 0,
			"accepted_prediction_tokens", 0, "rejected_prediction_tokens", 0))
}

func (v *chatVoice) reason() string {
	switch v.ending {
	case lengthEnd:
		return "length"
	case filtered:
		return "content_filter"
	case toolCall:
		return "tool_calls"
	}
	return "stop" // a refusal too
}

func (v *chatVoice) callID() string { return "call_" + v.id[:24] }
