package responses

import (
	"github.com/holdfast-gateway/holdfast/call"
)

type dialect struct{}

// New returns the Responses dialect. It holds no state.
func New() call.Dialect { return dialect{} }

// Name returns "responses".
func (dialect) Name() string { return "responses" }

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
		case "max_output_tokens":
			r.MaxTokens = r.Limit(val)
		case "tools":
			r.Offer(val)
		case "previous_response_id":
			r.Refer(val)
		case "conversation": // an id, or an object with one
			r.Refer(val)
			r.Refer(val.Get("id"))
		case "prompt": // a stored template
			r.Refer(val.Get("id"))
		case "input":
			readInput(val, r)
		}
		return true
	})
	if err != nil {
		return call.BodyError(body)
	}
	return readStrings(body, r)
}

// readInput finds items that stand for stored ones: item references, whose type
// may be left out, and reasoning that carries an id and no content of its own.
func readInput(input call.Value, r *call.Request) {
	if input.Kind() != '[' {
		return
	}
	_ = input.Elements(func(item call.Value) bool {
		var id, typ call.Value
		var role, sealed bool
		_ = item.Members(func(key []byte, val call.Value) bool {
			switch string(key) {
			case "id":
				id = val
			case "type":
				typ = val
			case "role":
				role = true
			case "encrypted_content":
				sealed = val.Filled()
			}
			return true
		})
		if typ.Is("item_reference") || !typ.Filled() && !role || typ.Is("reasoning") && !sealed {
			r.Refer(id)
		}
		return true
	})
}

// readStrings finds what refers to an account's files, stores, containers and
// sealed reasoning wherever it stands, and how much text there is.
func readStrings(body []byte, r *call.Request) error {
	blobs := 0
	err := call.Value(body).Strings(func(parent, key []byte, s call.Value) {
		blobs += s.Blob()
		if string(parent) == "metadata" {
			return // the caller's own labels
		}
		switch string(key) {
		case "file_id", "file_ids", "vector_store_ids", "container":
			r.Refer(s)
		case "encrypted_content":
			r.Sealed(s)
		}
	})
	r.InputTokens = call.TextTokens(len(body), blobs)
	return err
}

// Ended reports whether a terminal event was seen. There is no other end.
func (dialect) Ended(s *call.Stream, _ bool) bool { return s.Ended }
