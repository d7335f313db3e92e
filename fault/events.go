package fault

import "fmt"

// Dialect is the language of one endpoint.
type Dialect string

// The dialects that have streams of their own.
const (
	Chat      Dialect = "chat"      // POST /v1/chat/completions
	Responses Dialect = "responses" // POST /v1/responses
	Messages  Dialect = "messages"  // POST /v1/messages
)

// Style returns the error style of the dialect's vendor; OpenAI's for an unknown one.
func (d Dialect) Style() Style {
	if d == Messages {
		return Anthropic
	}
	return OpenAI
}

// Event returns e as the in-band error frame of dialect d, complete with its blank line.
// sequence is the frame's sequence_number, which only Responses carries. After it the
// vendor closes; no terminator follows.
func (e Error) Event(d Dialect, sequence int) []byte {
	switch d {
	case Messages:
		return frame("error", encode(anthropicBody{Type: "error", Error: e.anthropic()}))
	case Responses:
		return frame("error", encode(flatError{Type: "error", Code: orNull(e.inBandCode()), Message: e.Message, Sequence: sequence}))
	}
	return frame("", encode(openAIBody{Error: e.openAI()}))
}

// FailedError returns the value of error inside the object of a response.failed event.
func (e Error) FailedError() []byte {
	return encode(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{e.inBandCode(), e.Message})
}

// inBandCode is the code that a Responses stream gives: it has no type field, so that an
// error without a code shows its type there.
func (e Error) inBandCode() string {
	if e.Code != "" {
		return e.Code
	}
	return e.Type
}

// flatError is the error event of the Responses dialect, which is not nested.
type flatError struct {
	Type     string  `json:"type"`
	Code     *string `json:"code"`
	Message  string  `json:"message"`
	Param    *string `json:"param"`
	Sequence int     `json:"sequence_number"`
}

// frame returns one server-sent event. data holds no line end.
func frame(name string, data []byte) []byte {
	if name == "" {
		return fmt.Appendf(nil, "data: %s\n\n", data)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data)
}
