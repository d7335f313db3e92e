package sim

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// object returns a JSON object with its keys in the order given, as vendors send them:
// key, value, key, value. Values are strings, ints, bools, nil, raw JSON, or anything
// that encoding/json can marshal.
func object(pairs ...any) json.RawMessage {
	b := append(make([]byte, 0, 48*len(pairs)), '{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, pairs[i])
		b = append(b, ':')
		b = appendValue(b, pairs[i+1])
	}
	return append(b, '}')
}

// array returns a JSON array.
func array(values ...json.RawMessage) json.RawMessage {
	b := append([]byte{'['}, bytes.Join(toBytes(values), []byte{','})...)
	return append(b, ']')
}

func toBytes(values []json.RawMessage) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		if isPlain(v) {
			return append(append(append(b, '"'), v...), '"')
		}
	case json.RawMessage:
		return append(b, v...)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case bool:
		return strconv.AppendBool(b, v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, slices and structs of this package only
	}
	return append(b, raw...)
}

// isPlain reports whether s stands in JSON as it is. Most of what we say does, and the
// provider must be faster than what it is used to measure.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// event returns one server-sent event; name may be empty.
func event(name string, data json.RawMessage) []byte {
	b := make([]byte, 0, len(data)+len(name)+24)
	if name != "" {
		b = append(append(append(b, "event: "...), name...), '\n')
	}
	b = append(append(b, "data: "...), data...)
	return append(b, "\n\n"...)
}
