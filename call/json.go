package call

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is how deep a JSON text may nest before the scanner refuses it.
const MaxDepth = 1000

// ErrJSON reports a text that is not JSON, or nests deeper than MaxDepth.
var ErrJSON = errors.New("not a JSON text")

// Value is one raw JSON value inside a larger text; nil means absent. It shares
// the bytes it was found in.
type Value []byte

// Kind returns '{', '[', '"', 't', 'f', 'n', '0' (any number), or 0 when absent.
func (v Value) Kind() byte {
	if len(v) == 0 {
		return 0
	}
	switch c := v[0]; {
	case c == '-' || c >= '0' && c <= '9':
		return '0'
	default:
		return c
	}
}

// Text returns the string a JSON string holds, "" for any other kind.
func (v Value) Text() string {
	if v.Kind() != '"' {
		return ""
	}
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// Is reports whether v is the JSON string s. It does not allocate for strings
// without escapes.
func (v Value) Is(s string) bool {
	if v.Kind() != '"' {
		return false
	}
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == s
	}
	return v.Text() == s
}

// Int returns a JSON number as an int, and whether it is one: whole, not
// negative and below 2^53. Everything else a provider may send is not a count.
func (v Value) Int() (int, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(v), 64)
		if ferr != nil || f != float64(int64(f)) {
			return 0, false
		}
		n = int64(f)
	}
	if n < 0 || n >= 1<<53 {
		return 0, false
	}
	return int(n), true
}

// True reports whether v is the literal true.
func (v Value) True() bool { return v.Kind() == 't' }

// Filled reports whether v holds something: not absent, null, "", [] or {}.
func (v Value) Filled() bool {
	switch v.Kind() {
	case 0, 'n':
		return false
	case '"':
		return len(v) > 2
	case '[', '{':
		return len(bytes.TrimSpace(v[1:len(v)-1])) > 0
	}
	return true
}

// Get returns the value at a path of object members. Where a member stands
// twice the last one counts, as in the parsers providers use. It returns nil
// when a step is missing or the text is broken before it is decided.
func (v Value) Get(path ...string) Value {
	for _, name := range path {
		var found Value
		err := v.Members(func(key []byte, val Value) bool {
			if string(key) == name {
				found = val
			}
			return true
		})
		if err != nil || found == nil {
			return nil
		}
		v = found
	}
	return v
}

// Members calls f for each member of the object v, in order, until f returns
// false. Keys come unescaped. It returns ErrJSON when v is not an object or is
// broken; then some members may have been seen already.
func (v Value) Members(f func(key []byte, val Value) bool) error {
	return v.members(func(key []byte, _ int, val Value) bool { return f(key, val) })
}

func (v Value) members(f func(key []byte, at int, val Value) bool) error {
	p := PassOf(v)
	if !p.Enter('{') {
		return ErrJSON
	}
	for key := p.Key(); key != nil; key = p.Key() {
		val := p.Value()
		if val == nil {
			return ErrJSON
		}
		if !f(key, p.at-len(val), val) {
			return nil
		}
	}
	if !p.Done() {
		return ErrJSON
	}
	return nil
}

// Elements calls f for each element of the array v, in order, until f returns
// false. It returns ErrJSON when v is not an array or is broken.
func (v Value) Elements(f func(val Value) bool) error {
	i := space(v, 0)
	if i >= len(v) || v[i] != '[' {
		return ErrJSON
	}
	i = space(v, i+1)
	if i < len(v) && v[i] == ']' {
		return trailing(v, i+1)
	}
	for {
		end := skipValue(v, i)
		if end < 0 {
			return ErrJSON
		}
		if !f(v[i:end:end]) {
			return nil
		}
		i = space(v, end)
		if i >= len(v) {
			return ErrJSON
		}
		if v[i] == ']' {
			return trailing(v, i+1)
		}
		if v[i] != ',' {
			return ErrJSON
		}
		i = space(v, i+1)
	}
}

// Well reports whether v is one complete JSON value with nothing but white
// space around it. Numbers and escapes are checked loosely: this finds cut and
// corrupted events, it is no validator.
func (v Value) Well() bool {
	i := space(v, 0)
	end := skipValue(v, i)
	return end >= 0 && trailing(v, end) == nil
}

// Splice returns the object text with the string member name at its top level
// replaced by text, in parts that share the bytes of v and are to be sent in
// order; every other byte stays. All members of that name are replaced, so that
// no parser sees the old one. ok is false when the object has no such string
// member.
func (v Value) Splice(name, text string) (parts [][]byte, ok bool) {
	quoted, err := json.Marshal(text)
	if err != nil {
		return nil, false
	}
	last := 0
	err = v.members(func(key []byte, at int, val Value) bool {
		if string(key) == name && val.Kind() == '"' {
			parts = append(parts, v[last:at:at], quoted)
			last = at + len(val)
		}
		return true
	})
	if err != nil || parts == nil {
		return nil, false
	}
	return append(parts, v[last:]), true
}

func unescapedKey(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	return []byte(Value(quoted).Text())
}

func trailing(v []byte, i int) error {
	if space(v, i) != len(v) {
		return ErrJSON
	}
	return nil
}

func space(v []byte, i int) int {
	for i < len(v) && (v[i] == ' ' || v[i] == '\n' || v[i] == '\r' || v[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at i, or -1.
func skipString(v []byte, i int) int {
	if i >= len(v) || v[i] != '"' {
		return -1
	}
	for i++; i < len(v); i++ {
		j := bytes.IndexByte(v[i:], '"')
		if j < 0 {
			return -1
		}
		i += j
		slashes := 0
		for k := i - 1; k >= 0 && v[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return -1
}

// skipValue returns the index after the value that starts at i, or -1.
func skipValue(v []byte, i int) int { return skipWithin(v, i, MaxDepth) }

// skipWithin is skipValue where no more than limit levels may nest.
func skipWithin(v []byte, i, limit int) int {
	if i >= len(v) {
		return -1
	}
	switch v[i] {
	case '"':
		return skipString(v, i)
	case '{', '[':
		return skipNested(v, i, limit)
	default:
		return skipLiteral(v, i)
	}
}

// skipNested walks a bracketed value without recursion, so that no nesting can
// exhaust the stack. It checks the grammar: what may follow what.
func skipNested(v []byte, i, limit int) int {
	var stack [(MaxDepth + 63) / 64]uint64 // one bit per level: 1 object, 0 array
	depth := 0
	const (
		wantValue = iota
		wantValueOrClose
		wantKeyOrClose
		wantKey
		wantCommaOrClose
	)
	state := wantValue
	inObject := func() bool { d := depth - 1; return stack[d/64]>>(d%64)&1 == 1 }
	for {
		i = space(v, i)
		if i >= len(v) {
			return -1
		}
		switch c := v[i]; {
		case (state == wantValue || state == wantValueOrClose) && (c == '{' || c == '['):
			if depth >= limit {
				return -1
			}
			bit := uint64(1) << (depth % 64)
			if c == '{' {
				stack[depth/64] |= bit
				state = wantKeyOrClose
			} else {
				stack[depth/64] &^= bit
				state = wantValueOrClose
			}
			depth++
			i++
		case (c == '}' || c == ']') && (state == wantCommaOrClose || state == wantKeyOrClose || state == wantValueOrClose):
			if inObject() != (c == '}') {
				return -1
			}
			depth--
			i++
			if depth == 0 {
				return i
			}
			state = wantCommaOrClose
		case c == ',' && state == wantCommaOrClose:
			state = wantValue
			if inObject() {
				state = wantKey
			}
			i++
		case c == '"' && (state == wantKey || state == wantKeyOrClose):
			if i = skipString(v, i); i < 0 {
				return -1
			}
			i = space(v, i)
			if i >= len(v) || v[i] != ':' {
				return -1
			}
			i++
			state = wantValue
		case state == wantValue || state == wantValueOrClose:
			if c == '"' {
				i = skipString(v, i)
			} else {
				i = skipLiteral(v, i)
			}
			if i < 0 {
				return -1
			}
			state = wantCommaOrClose
		default:
			return -1
		}
	}
}

func skipLiteral(v []byte, i int) int {
	switch v[i] {
	case 't':
		return skipWord(v, i, "true")
	case 'f':
		return skipWord(v, i, "false")
	case 'n':
		return skipWord(v, i, "null")
	}
	j := i
	for j < len(v) && (v[j] >= '0' && v[j] <= '9' || v[j] == '-' || v[j] == '+' || v[j] == '.' || v[j] == 'e' || v[j] == 'E') {
		j++
	}
	if j == i || v[i] == '+' || v[i] == '.' || v[i] == 'e' || v[i] == 'E' {
		return -1
	}
	return j
}

func skipWord(v []byte, i int, word string) int {
	if len(v)-i < len(word) || string(v[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}
