package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Framing splits the bytes of one answer into frames. It remembers how far it
// has looked, so it serves one answer; it is not safe for concurrent use.
type Framing interface {
	// Next looks for the end of the first frame in buf and returns its length,
	// boundary included, with the event name and payload inside it; n is 0 while
	// the frame is incomplete. Until a frame was returned the next call must be
	// given the same bytes again, with more behind them; after that, buf starts
	// at the following frame. event and data share buf or scratch memory and are
	// valid until the next call.
	Next(buf []byte) (n int, event, data []byte, err error)

	// Rest reads what is left when the body has ended cleanly. ok is false when
	// it is no whole frame.
	Rest(buf []byte) (event, data []byte, ok bool)

	// Limit is how many bytes one frame may have before it is passed on without
	// being looked at.
	Limit() int
}

// ErrFrame reports bytes that are no frame of the expected kind.
var ErrFrame = errors.New("stream: not a frame")

// MaxFrame is the largest frame that is held until it is complete, in bytes.
const MaxFrame = 1 << 20

// SSE splits a text/event-stream (WHATWG HTML, "Server-sent events"): frames end
// with an empty line; lines end with LF, CRLF or CR; a byte order mark may lead.
type SSE struct {
	line   int // where the unfinished line starts
	seen   int // bytes already searched for a line end
	event  span
	data   span
	many   bool // more than one data line: joined in scratch
	joined []byte
	gap    bool // Skip: the line is empty so far
	cr     bool // Skip: the last byte was a CR
}

type span struct{ from, to int }

func (s span) of(buf []byte) []byte { return buf[s.from:s.to] }

// NewSSE returns a Framing for text/event-stream.
func NewSSE() *SSE { return &SSE{} }

// Limit returns MaxFrame.
func (s *SSE) Limit() int { return MaxFrame }

// Next implements Framing.
func (s *SSE) Next(buf []byte) (int, []byte, []byte, error) {
	if s.seen == 0 && s.line == 0 {
		if n, event, data := plainFrame(buf); n > 0 {
			return n, event, data, nil
		}
	}
	return s.lines(buf)
}

// plainFrame reads the frame that nearly every provider sends: a data line, before
// it perhaps an event line, and an empty one, all with LF. n is 0 for what is not
// here as a whole, or looks otherwise.
func plainFrame(buf []byte) (n int, event, data []byte) {
	from, to := 0, bytes.IndexByte(buf, '\n')
	if to > 0 && bytes.HasPrefix(buf, eventField) {
		event = fieldValue(buf[len(eventField):to])
		from = to + 1
		to = from + bytes.IndexByte(buf[from:], '\n')
	}
	if to < from || to+1 >= len(buf) || buf[to+1] != '\n' || !bytes.HasPrefix(buf[from:], dataField) ||
		bytes.IndexByte(buf[:to], '\r') >= 0 {
		return 0, nil, nil
	}
	return to + 2, event, fieldValue(buf[from+len(dataField) : to])
}

var eventField, dataField = []byte("event:"), []byte("data:")

// fieldValue is what follows the colon of a line.
func fieldValue(v []byte) []byte {
	if len(v) > 0 && v[0] == ' ' {
		return v[1:]
	}
	return v
}

// lines reads a frame line by line, as many as have come.
func (s *SSE) lines(buf []byte) (int, []byte, []byte, error) {
	for {
		end, next := s.lineEnd(buf)
		if next == 0 {
			return 0, nil, nil, nil
		}
		empty := end == s.line
		s.field(buf, s.line, end)
		s.line, s.seen = next, next
		if empty {
			event, data := s.payload(buf)
			s.reset()
			return next, event, data, nil
		}
	}
}

// lineEnd finds the end of the unfinished line: where its text ends and where
// the next line starts. next is 0 when the line is not complete yet. A CR that
// is the last byte may be half of a CRLF, so it waits for one more byte.
func (s *SSE) lineEnd(buf []byte) (end, next int) {
	rest := buf[s.seen:]
	lf := bytes.IndexByte(rest, '\n')
	if lf >= 0 {
		rest = rest[:lf]
	}
	if cr := bytes.IndexByte(rest, '\r'); cr >= 0 {
		at := s.seen + cr
		switch {
		case at+1 == len(buf):
			s.seen = at
			return 0, 0
		case buf[at+1] == '\n':
			return at, at + 2
		default:
			return at, at + 1
		}
	}
	if lf < 0 {
		s.seen = len(buf)
		return 0, 0
	}
	return s.seen + lf, s.seen + lf + 1
}

var bom = []byte("\xef\xbb\xbf")

// field reads one line: "event: x", "data: y", anything else is nothing to us.
func (s *SSE) field(buf []byte, from, to int) {
	if from == 0 && bytes.HasPrefix(buf[:to], bom) {
		from += len(bom)
	}
	line := buf[from:to]
	value := func(name string) (span, bool) {
		if len(line) < len(name) || string(line[:len(name)]) != name {
			return span{}, false
		}
		at := from + len(name)
		if at == to {
			return span{at, at}, true
		}
		if buf[at] != ':' {
			return span{}, false
		}
		at++
		if at < to && buf[at] == ' ' {
			at++
		}
		return span{at, to}, true
	}
	if v, ok := value("data"); ok {
		s.addData(buf, v)
	} else if v, ok := value("event"); ok {
		s.event = v
	}
}

func (s *SSE) addData(buf []byte, v span) {
	switch {
	case s.many:
		s.joined = append(append(s.joined, '\n'), v.of(buf)...)
	case s.data != span{}:
		s.many = true
		s.joined = append(s.joined[:0], s.data.of(buf)...)
		s.joined = append(append(s.joined, '\n'), v.of(buf)...)
	default:
		s.data = v
	}
}

func (s *SSE) payload(buf []byte) (event, data []byte) {
	if s.many {
		return s.event.of(buf), s.joined
	}
	return s.event.of(buf), s.data.of(buf)
}

func (s *SSE) reset() {
	joined := s.joined
	*s = SSE{joined: joined}
}

// Head returns what is known of the frame that begins at buf and is not
// complete: its event name and the beginning of its payload.
func (s *SSE) Head(buf []byte) (event, data []byte) {
	event = s.event.of(buf)
	if s.data != (span{}) {
		return event, s.data.of(buf)
	}
	var open SSE
	open.field(buf, s.line, len(buf))
	return event, open.data.of(buf)
}

// Skip looks for the end of a frame whose beginning was given up, in bytes that
// follow what Next or Skip was given before. It returns the number of bytes up
// to and including its boundary, or -1 when it is not among them.
func (s *SSE) Skip(buf []byte) int {
	for i, c := range buf {
		switch {
		case c == '\n' && s.cr:
			s.cr = false // the second half of a CRLF
		case (c == '\n' || c == '\r') && s.gap:
			s.reset()
			if c == '\r' && i+1 < len(buf) && buf[i+1] == '\n' {
				i++
			}
			return i + 1
		default:
			s.gap = c == '\n' || c == '\r'
			s.cr = c == '\r'
		}
	}
	return -1
}

// Rest implements Framing: the last event counts although its empty line is
// missing, provided its last line is ended or is a comment or whole field; SDKs
// dispatch it too. Blank rests are whole.
func (s *SSE) Rest(buf []byte) (event, data []byte, ok bool) {
	if len(bytes.TrimSpace(buf)) == 0 {
		return nil, nil, true
	}
	whole := append(bytes.Clone(buf), "\n\n"...)
	s.reset()
	n, event, data, _ := s.Next(whole)
	return event, data, n > 0
}

// NDJSON splits newline-delimited JSON: every line is a frame.
type NDJSON struct{ seen int }

// NewNDJSON returns a Framing for application/x-ndjson.
func NewNDJSON() *NDJSON { return &NDJSON{} }

// Limit returns MaxFrame.
func (f *NDJSON) Limit() int { return MaxFrame }

// Next implements Framing.
func (f *NDJSON) Next(buf []byte) (int, []byte, []byte, error) {
	at := bytes.IndexByte(buf[f.seen:], '\n')
	if at < 0 {
		f.seen = len(buf)
		return 0, nil, nil, nil
	}
	n := f.seen + at + 1
	f.seen = 0
	return n, nil, bytes.TrimSpace(buf[:n]), nil
}

// Rest implements Framing: a last line without its newline is a frame.
func (f *NDJSON) Rest(buf []byte) (event, data []byte, ok bool) {
	return nil, bytes.TrimSpace(buf), true
}

// EventStream splits the binary application/vnd.amazon.eventstream: a prelude of
// total and header length with a checksum, headers, payload, and a checksum.
type EventStream struct{}

// NewEventStream returns a Framing for application/vnd.amazon.eventstream.
func NewEventStream() *EventStream { return &EventStream{} }

// Limit is 16 MiB, the largest message the format allows.
func (*EventStream) Limit() int { return 16 << 20 }

// Next implements Framing. event is the :event-type or :exception-type header.
// It returns ErrFrame when a length or checksum is wrong.
func (f *EventStream) Next(buf []byte) (int, []byte, []byte, error) {
	const prelude, trailer = 12, 4
	if len(buf) < prelude {
		return 0, nil, nil, nil
	}
	total := int(binary.BigEndian.Uint32(buf))
	headers := int(binary.BigEndian.Uint32(buf[4:]))
	if crc32.ChecksumIEEE(buf[:8]) != binary.BigEndian.Uint32(buf[8:]) {
		return 0, nil, nil, ErrFrame
	}
	if total < prelude+trailer+headers || total > f.Limit() || headers > total {
		return 0, nil, nil, ErrFrame
	}
	if len(buf) < total {
		return 0, nil, nil, nil
	}
	if crc32.ChecksumIEEE(buf[:total-trailer]) != binary.BigEndian.Uint32(buf[total-trailer:]) {
		return 0, nil, nil, ErrFrame
	}
	event, ok := eventType(buf[prelude : prelude+headers])
	if !ok {
		return 0, nil, nil, ErrFrame
	}
	return total, event, buf[prelude+headers : total-trailer], nil
}

// eventType finds the header that names the event.
func eventType(h []byte) (name []byte, ok bool) {
	fixed := [...]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
	for len(h) > 0 {
		n := int(h[0])
		if len(h) < n+2 {
			return nil, false
		}
		key, kind := h[1:1+n], h[1+n]
		h = h[2+n:]
		var size, skip int
		switch {
		case kind == 6 || kind == 7:
			if len(h) < 2 {
				return nil, false
			}
			size, skip = int(binary.BigEndian.Uint16(h)), 2
		case int(kind) < len(fixed):
			size = fixed[kind]
		default:
			return nil, false
		}
		if len(h) < skip+size {
			return nil, false
		}
		if kind == 7 && (string(key) == ":event-type" || string(key) == ":exception-type") {
			name = h[skip : skip+size]
		}
		h = h[skip+size:]
	}
	return name, true
}

// Rest implements Framing: a message is whole or it is nothing.
func (*EventStream) Rest(buf []byte) (event, data []byte, ok bool) {
	return nil, nil, len(buf) == 0
}

// Whole takes the entire body, one JSON document, as one frame.
type Whole struct {
	limit   int
	seen    int  // bytes looked at
	depth   int  // open brackets
	text    bool // inside a string
	escaped bool // after a backslash in a string
	done    bool // the document was returned; white space may follow
}

// NewWhole returns a Framing for a body that is one document, held up to limit
// bytes.
func NewWhole(limit int) *Whole { return &Whole{limit: limit} }

// Limit is the size up to which the document is held.
func (f *Whole) Limit() int { return f.limit }

// Next implements Framing: the document is complete at its last bracket, even if
// the body never ends. It returns ErrFrame as soon as the bytes cannot be one
// JSON object or array: a page of HTML is not read to its end.
func (f *Whole) Next(buf []byte) (int, []byte, []byte, error) {
	if f.done {
		if len(bytes.TrimSpace(buf)) > 0 {
			return 0, nil, nil, ErrFrame
		}
		return 0, nil, nil, nil
	}
	for i := f.seen; i < len(buf); i++ {
		c := buf[i]
		switch {
		case f.escaped:
			f.escaped = false
		case f.text:
			f.escaped = c == '\\'
			f.text = c != '"'
		case c == '{' || c == '[':
			f.depth++
		case f.depth == 0 && c != ' ' && c != '\n' && c != '\r' && c != '\t':
			return 0, nil, nil, ErrFrame
		case c == '"':
			f.text = true
		case c == '}' || c == ']':
			if f.depth--; f.depth == 0 {
				f.done = true
				return i + 1, nil, buf[:i+1], nil
			}
		}
	}
	f.seen = len(buf)
	return 0, nil, nil, nil
}

// Rest implements Framing: white space may follow the document, nothing else.
func (f *Whole) Rest(buf []byte) (event, data []byte, ok bool) {
	return nil, nil, f.done && len(bytes.TrimSpace(buf)) == 0
}
