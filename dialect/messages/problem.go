package messages

import (
	"github.com/holdfast-gateway/holdfast/call"
)

type told struct {
	Type    string `json:"type"`
	Error   failed `json:"error"`
	Request string `json:"request_id,omitempty"`
}

type failed struct {
	Type    string   `json:"type"`
	Message string   `json:"message"`
	Details *details `json:"details,omitempty"`
}

type details struct {
	Code string `json:"error_code"`
}

func tell(p call.Problem) (status int, body []byte) {
	status, typ := p.Anthropic()
	t := told{Type: "error", Error: failed{Type: typ, Message: p.Message}, Request: p.Request}
	if p.Reason == call.ReasonQuotaExhausted && p.Code != "" {
		t.Error.Details = &details{p.Code} // 429 rate_limit_error alone reads as "try again"
	}
	return status, call.Encode(t)
}

// Refusal returns Anthropic's error body and the status that goes with it.
func (dialect) Refusal(p call.Problem) (status int, body []byte) { return tell(p) }

// ErrorEvent returns the event that Anthropic's SDKs raise as an error. No
// message_stop follows it.
func (dialect) ErrorEvent(p call.Problem, _ *call.Stream) []byte {
	_, body := tell(p)
	event := append([]byte("event: error\ndata: "), body...)
	return append(event, "\n\n"...)
}
