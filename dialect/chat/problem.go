package chat

import (
	"github.com/holdfast-gateway/holdfast/call"
)

// told is the error body of the OpenAI dialects. Param and code are null, not
// absent, when unknown: SDKs read the members without asking.
type told struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

func tell(p call.Problem) (status int, body []byte) {
	status, typ, code := p.OpenAI()
	var t told
	t.Error.Message, t.Error.Type = p.Message, typ
	t.Error.Param, t.Error.Code = orNull(p.Param), orNull(code)
	return status, call.Encode(t)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Refusal returns OpenAI's error body and the status that goes with it.
func (dialect) Refusal(p call.Problem) (status int, body []byte) { return tell(p) }

// ErrorEvent returns the chunk that OpenAI's SDKs raise as an error. No [DONE]
// follows it.
func (dialect) ErrorEvent(p call.Problem, _ *call.Stream) []byte {
	_, body := tell(p)
	event := append([]byte("data: "), body...)
	return append(event, "\n\n"...)
}
