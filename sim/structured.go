package sim

import (
	"encoding/json"

	"github.com/holdfast-gateway/holdfast/fault"
)

// structure returns the JSON schema that the caller wants the answer to have,
// under the dialect's name for it; nil for free text.
func (f *fields) structure(d fault.Dialect) json.RawMessage {
	var format struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"` // Responses and Messages
		Nested struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"` // Chat
	}
	switch d {
	case fault.Chat:
		f.get("response_format", &format)
	case fault.Responses:
		f.within("text").get("format", &format)
	case fault.Messages:
		f.within("output_config").get("format", &format)
	}
	if format.Type != "json_schema" {
		return nil
	}
	if format.Nested.Schema != nil {
		return format.Nested.Schema
	}
	return format.Schema
}

// within is the object that a field holds; empty for any other value.
func (f *fields) within(name string) *fields {
	inner := &fields{}
	f.get(name, &inner.raw)
	return inner
}
