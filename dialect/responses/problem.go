package responses

import (
	"github.com/holdfast-gateway/holdfast/call"
)

// told is an error of the OpenAI dialects. Param and code are null, not absent,
// when unknown: SDKs read the members without asking.
type told struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func tell(p call.Problem) (status int, t told) {
	status, typ, code := p.OpenAI()
	return status, told{p.Message, typ, orNull(p.Param), orNull(code)}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Refusal returns OpenAI's error body and the status that goes with it.
func (dialect) Refusal(p call.Problem) (status int, body []byte) {
	status, t := tell(p)
	return status, call.Encode(map[string]told{"error": t})
}

// failed is the event that clients like Codex wait for.
type failed struct {
	Type     string `json:"type"`
	Sequence int64  `json:"sequence_number"`
	Response struct {
		ID     string     `json:"id"`
		Object string     `json:"object"`
		Status string     `json:"status"`
		Model  string     `json:"model,omitempty"`
		Output []struct{} `json:"output"`
		Error  struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"response"`
}

// raised is the event that SDKs raise: some read it flat, some nested.
type raised struct {
	Type     string  `json:"type"`
	Sequence int64   `json:"sequence_number"`
	Code     *string `json:"code"`
	Message  string  `json:"message"`
	Param    *string `json:"param"`
	Error    told    `json:"error"`
}

// ErrorEvent returns response.failed, unless the provider has sent one, and an
// "error" event that is flat and nested at once.
func (dialect) ErrorEvent(p call.Problem, s *call.Stream) []byte {
	_, t := tell(p)
	var sequence int64
	if s.Started {
		sequence = s.Sequence + 1
	}
	var out []byte
	if !s.Failed {
		out = appendEvent(out, "response.failed", failure(t, sequence, s))
		sequence++
	}
	return appendEvent(out, "error", raised{"error", sequence, t.Code, t.Message, t.Param, t})
}

func failure(t told, sequence int64, s *call.Stream) failed {
	f := failed{Type: "response.failed", Sequence: sequence}
	f.Response.ID, f.Response.Object, f.Response.Status = s.ID, "response", "failed"
	f.Response.Model = s.Model
	f.Response.Output = []struct{}{}
	f.Response.Error.Message, f.Response.Error.Code = t.Message, t.Type
	if t.Code != nil {
		f.Response.Error.Code = *t.Code
	}
	return f
}

func appendEvent(out []byte, name string, data any) []byte {
	out = append(out, "event: "+name+"\ndata: "...)
	out = append(out, call.Encode(data)...)
	return append(out, "\n\n"...)
}
