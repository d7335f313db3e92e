package chat

import (
	"github.com/holdfast-gateway/holdfast/call"
)

type dialect struct{}

// New returns the Chat Completions dialect. It holds no state.
func New() call.Dialect { return dialect{} }

// Name returns "chat".
func (dialect) Name() string { return "chat" }

// Read fills r from a chat or embeddings request.
func (dialect) Read(body []byte, r *call.Request) error {
	if err := call.CheckBody(body); err != nil {
		return err
	}
	*r = call.Request{Choices: 1}
	var limit, oldLimit int
	err := call.Value(body).Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "model":
			r.Model = val.Text()
		case "stream":
			r.Stream = val.True()
		case "max_completion_tokens":
			limit = r.Limit(val)
		case "max_tokens":
			oldLimit = r.Limit(val)
		case "n":
			n, _ := val.Int()
			r.Choices = max(1, r.Choices, n)
		case "tools", "functions":
			r.Offer(val)
		}
		return true
	})
	if err != nil {
		return call.BodyError(body)
	}
	if r.MaxTokens = limit; limit == 0 {
		r.MaxTokens = oldLimit
	}
	return readStrings(body, r)
}

// readStrings finds what refers to a provider's memory, and how much text there
// is. File ids stand in {"file":{"file_id"}}, an answer spoken before in
// {"audio":{"id"}}.
func readStrings(body []byte, r *call.Request) error {
	blobs := 0
	err := call.Value(body).Strings(func(parent, key []byte, s call.Value) {
		blobs += s.Blob()
		if string(parent) == "file" && string(key) == "file_id" || string(parent) == "audio" && string(key) == "id" {
			r.Refer(s)
		}
	})
	r.InputTokens = call.TextTokens(len(body), blobs)
	return err
}

// Ended reports whether the stream was complete: [DONE] was seen or, unless
// strict, as many choices have finished as were asked for.
func (dialect) Ended(s *call.Stream, strict bool) bool {
	if s.Ended || strict {
		return s.Ended
	}
	asked := 1
	if s.Request != nil {
		asked = max(1, s.Request.Choices)
	}
	return s.Finishes >= asked
}
