package call

import (
	"errors"
	"fmt"
)

// ErrDepth is an ErrJSON: the text nests deeper than MaxDepth.
var ErrDepth = fmt.Errorf("%w: nested deeper than %d levels", ErrJSON, MaxDepth)

// What CheckBody finds wrong. The texts never hold a part of the body.
var (
	ErrEmptyBody = errors.New("the request body is empty")
	ErrEncoding  = errors.New("the request body is not UTF-8 without a byte order mark")
	ErrNotObject = errors.New("the request body is not a JSON object")
)

// CheckBody reports what is visibly wrong with a request body before anything
// in it is looked at: ErrEmptyBody, ErrEncoding or ErrNotObject. It reads a few
// bytes only; a text that breaks further on is found by who reads it.
func CheckBody(body []byte) error {
	i := space(body, 0)
	switch {
	case i == len(body):
		return ErrEmptyBody
	case body[0] == 0xEF || body[0] == 0xFE || body[0] == 0xFF || body[0] == 0:
		return ErrEncoding // a byte order mark, or UTF-16/32 big endian
	case body[i] == '{' && i+1 < len(body) && body[i+1] == 0:
		return ErrEncoding // UTF-16/32 little endian
	case body[i] != '{':
		return ErrNotObject
	}
	return nil
}

// BodyError says why the members of a body could not be read: ErrDepth, or
// ErrNotObject for everything else.
func BodyError(body []byte) error {
	if err := Value(body).Strings(func(_, _ []byte, _ Value) {}); errors.Is(err, ErrDepth) {
		return err
	}
	return ErrNotObject
}

// Strings calls f for every string in v that is no member name, in order, in
// one pass and without recursion. key names the member the string stands in
// (for an element of an array: the array's), parent the member that holds the
// object around it; both are raw, and nil at the top. Strings trusts the
// grammar: use Members or Well to check it. It returns ErrDepth, or ErrJSON when
// brackets or quotes do not close; f may have been called before.
func (v Value) Strings(f func(parent, key []byte, s Value)) error {
	type bracket struct{ name, key []byte } // the member that holds it; the member read last
	var room [16]bracket
	open := append(room[:0], bracket{})
	for i := 0; i < len(v); {
		top := &open[len(open)-1]
		switch v[i] {
		case '{', '[':
			if len(open) > MaxDepth {
				return ErrDepth
			}
			open = append(open, bracket{top.key, top.key})
			if v[i] == '[' {
				open[len(open)-1].name = top.name // an array adds no name of its own
			}
		case '}', ']':
			if open = open[:len(open)-1]; len(open) == 0 {
				return ErrJSON
			}
		case '"':
			end := skipString(v, i)
			if end < 0 {
				return ErrJSON
			}
			if colon := space(v, end); colon < len(v) && v[colon] == ':' {
				top.key = v[i+1 : end-1]
			} else {
				f(top.name, top.key, v[i:end:end])
			}
			i = end
			continue
		}
		i++
	}
	if len(open) != 1 {
		return ErrJSON
	}
	return nil
}

// blob is the length from which a string may be data and not text.
const blob = 512

// TextTokens estimates what n bytes of request hold in tokens when blobs of
// them are encoded data: a quarter of the rest.
func TextTokens(n, blobs int) int { return max(0, n-blobs) / 4 }

// Blob returns the length of a string value that is encoded data (a data: URL,
// or long base64), and 0 for text. It looks at the beginning only.
func (v Value) Blob() int {
	if v.Kind() != '"' || len(v) < blob {
		return 0
	}
	inner := v[1 : len(v)-1]
	if len(inner) > 5 && string(inner[:5]) == "data:" {
		return len(v)
	}
	for _, c := range inner[:blob/2] {
		if !base64Byte(c) {
			return 0
		}
	}
	return len(v)
}

func base64Byte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '+' || c == '/' || c == '-' || c == '_' || c == '='
}

// Bounds on what is remembered of the ids in one request.
const (
	maxRef  = 256 // no provider's id is longer
	maxRefs = 64
)

// Refer notes the id of something that lives at one provider account. What is no
// string, empty or too long to be an id is ignored. A request with very many ids
// is marked as Pinned instead of remembering them all.
func (r *Request) Refer(id Value) {
	switch {
	case id.Kind() != '"' || !id.Filled() || len(id) > maxRef:
	case len(r.Refs) == maxRefs:
		r.Pinned = true
	default:
		r.Refs = append(r.Refs, id.Text())
	}
}
