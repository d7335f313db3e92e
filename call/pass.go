package call

import "unicode/utf8"

// Pass reads a JSON text once, from its first byte to its last, for who has to
// look into nested values: with Members each level is read again. What it skips
// it checks as strictly as Members does. It serves one reader and does not
// allocate, but for keys with escapes.
type Pass struct {
	text  []byte
	at    int
	depth int  // brackets that are open
	fresh bool // nothing was read yet since the bracket that is open
	lost  bool
}

// PassOf returns a Pass that stands before the first byte of text.
func PassOf(text []byte) Pass { return Pass{text: text} }

// Enter goes into the object or array that comes next, '{' or '['. It returns
// false, and stays, when something else comes next.
func (p *Pass) Enter(bracket byte) bool {
	p.at = space(p.text, p.at)
	if p.lost || p.at >= len(p.text) || p.text[p.at] != bracket {
		return false
	}
	p.at++
	p.depth++
	p.fresh = true
	return true
}

// Key goes to the next member of the object and returns its name, unescaped. It
// returns nil, and has left the object, when there is none.
func (p *Pass) Key() []byte {
	if !p.next('}') {
		return nil
	}
	text, i := p.text, p.at
	if i >= len(text) || text[i] != '"' {
		return p.lose()
	}
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' || text[i] >= utf8.RuneSelf {
			return p.oddKey()
		}
	}
	key := text[p.at+1 : min(i, len(text))]
	if i = space(text, i+1); i >= len(text) || text[i] != ':' {
		return p.lose()
	}
	p.at = i + 1
	return key
}

// oddKey is Key for a name that may stand there otherwise than it is.
func (p *Pass) oddKey() []byte {
	end := skipString(p.text, p.at)
	if end < 0 {
		return p.lose()
	}
	key := unescapedKey(p.text[p.at:end])
	if end = space(p.text, end); end >= len(p.text) || p.text[end] != ':' {
		return p.lose()
	}
	p.at = end + 1
	return key
}

// Element goes to the next element of the array. It returns false, and has left
// the array, when there is none.
func (p *Pass) Element() bool { return p.next(']') }

// next goes to what follows within a bracket that ends with last.
func (p *Pass) next(last byte) bool {
	i := space(p.text, p.at)
	fresh := p.fresh
	p.fresh = false
	switch {
	case p.lost || i >= len(p.text):
		p.lost = true
		return false
	case p.text[i] == last:
		p.at = i + 1
		p.depth--
		return false
	case fresh:
		p.at = i
		return true
	case p.text[i] != ',':
		p.lost = true
		return false
	}
	p.at = space(p.text, i+1)
	return true
}

// Value skips the value that comes next and returns it, nil when there is none.
func (p *Pass) Value() Value {
	p.fresh = false
	from := space(p.text, p.at)
	end := -1
	if !p.lost {
		end = skipWithin(p.text, from, min(MaxDepth, MaxDepth+1-p.depth)) // the bracket around all is not counted
	}
	if end < 0 {
		return p.lose()
	}
	p.at = end
	return p.text[from:end:end]
}

// Done reports whether the text was read to its end and is one value with
// nothing but white space around it.
func (p *Pass) Done() bool { return !p.lost && space(p.text, p.at) == len(p.text) }

func (p *Pass) lose() []byte {
	p.lost = true
	return nil
}
