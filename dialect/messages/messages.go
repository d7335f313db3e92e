package messages

import (
	"github.com/holdfast-gateway/holdfast/call"
)

type dialect struct{}

// New returns the Messages dialect. It holds no state.
func New() call.Dialect { return dialect{} }

// Name returns "messages".
func (dialect) Name() string { return "messages" }

// Read fills r from a request.
func (dialect) Read(body []byte, r *call.Request) error {
	if err := call.CheckBody(body); err != nil {
		return err
	}
	*r = call.Request{Choices: 1}
	err := call.Value(body).Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "model":
			r.Model = val.Text()
		case "stream":
			r.Stream = val.True()
		case "max_tokens":
			r.MaxTokens = r.Limit(val)
		case "tools":
			r.Offer(val)
		case "container": // an id, or an object with one
			r.Refer(val)
			r.Refer(val.Get("id"))
		}
		return true
	})
	if err != nil {
		return call.BodyError(body)
	}
	return readStrings(body, r)
}

// readStrings finds uploaded files and signed or sealed thinking, and how much
// text there is. It asks for the member around them, because the input of a
// tool may hold any name.
func readStrings(body []byte, r *call.Request) error {
	blobs := 0
	err := call.Value(body).Strings(func(parent, key []byte, s call.Value) {
		blobs += s.Blob()
		inContent := string(parent) == "content"
		switch {
		case string(key) == "file_id" && (inContent || string(parent) == "source"):
			r.Refer(s)
		case inContent && string(key) == "signature":
			r.Sealed(s)
		case inContent && string(key) == "type" && s.Is("redacted_thinking"):
			r.Pinned = true
		}
	})
	r.InputTokens = call.TextTokens(len(body), blobs)
	return err
}

// Ended reports whether the stream was complete: message_stop was seen or,
// unless strict, a stop reason.
func (dialect) Ended(s *call.Stream, strict bool) bool {
	return s.Ended || !strict && s.Finishes > 0
}
