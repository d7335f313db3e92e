package sim

import (
	"encoding/json"

	"github.com/holdfast-gateway/holdfast/fault"
)

// messagesVoice speaks Anthropic's Messages.
type messagesVoice struct{ answer }

func (v *messagesVoice) start() [][]byte {
	message := v.message(array(), nil, nil, 1)
	block := object("type", "text", "text", "")
	if v.ending == toolCall {
		block = object("type", "tool_use", "id", v.callID(), "name", v.tool, "input", object())
	}
	return [][]byte{
		event("message_start", object("type", "message_start", "message", message)),
		event("content_block_start", object("type", "content_block_start", "index", 0, "content_block", block)),
		v.keepAlive(),
	}
}

func (v *messagesVoice) open() [][]byte { return nil }

func (v *messagesVoice) token(s string) []byte {
	delta := object("type", "text_delta", "text", s)
	if v.ending == toolCall {
		delta = object("type", "input_json_delta", "partial_json", s)
	}
	return event("content_block_delta", object("type", "content_block_delta", "index", 0, "delta", delta))
}

func (v *messagesVoice) finish() [][]byte {
	delta := object("stop_reason", v.reason(), "stop_sequence", nil, "stop_details", v.details())
	usage := object("input_tokens", v.input-v.cached, "cache_creation_input_tokens", 0, "cache_read_input_tokens", v.cached,
		"output_tokens", len(v.tokens))
	return [][]byte{
		event("content_block_stop", object("type", "content_block_stop", "index", 0)),
		event("message_delta", object("type", "message_delta", "delta", delta, "usage", usage)),
	}
}

func (v *messagesVoice) end() []byte { return event("message_stop", object("type", "message_stop")) }

func (v *messagesVoice) keepAlive() []byte { return event("ping", object("type", "ping")) }

func (v *messagesVoice) failure(e fault.Error) [][]byte { return [][]byte{e.Event(fault.Messages, 0)} }

func (v *messagesVoice) whole() json.RawMessage {
	block := object("type", "text", "text", v.text())
	if v.ending == toolCall {
		block = object("type", "tool_use", "id", v.callID(), "name", v.tool, "input", json.RawMessage(v.text()))
	}
	return v.message(array(block), v.reason(), v.details(), len(v.tokens))
}

func (v *messagesVoice) message(content json.RawMessage, reason, details any, output int) json.RawMessage {
	return object("id", "msg_"+v.id, "type", "message", "role", "assistant", "model", v.req.model,
		"content", content, "stop_reason", reason, "stop_sequence", nil, "stop_details", details,
		"usage", object("input_tokens", v.input-v.cached, "cache_creation_input_tokens", 0, "cache_read_input_tokens", v.cached,
			"output_tokens", output, "service_tier", "standard"))
}

func (v *messagesVoice) reason() string {
	switch v.ending {
	case lengthEnd:
		return "max_tokens"
	case filtered, refused:
		return "refusal"
	case toolCall:
		return "tool_use"
	}
	return "end_turn"
}

// details says why a classifier stopped the answer, or nothing.
func (v *messagesVoice) details() any {
	if v.reason() != "refusal" {
		return nil
	}
	return object("type", "refusal", "category", "general_harms", "explanation", "A classifier stopped this answer.")
}

func (v *messagesVoice) callID() string { return "toolu_" + v.id[:24] }
