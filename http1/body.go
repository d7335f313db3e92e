package http1

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// What Close reads of a body that was not read to its end, so that its connection
// can serve again: so many bytes, and no longer than this.
const (
	drainBytes = 256 << 10
	drainTime  = 5 * time.Millisecond
)

// body is an answer's body. It is read by its caller, straight from the
// connection; Close may come at any time and from anywhere.
type body struct {
	x *exchange
	framing
	at     position // within a chunked body
	excess int64    // bytes that were no data, beyond what is usual

	mu      sync.Mutex
	reading bool
	closed  bool
	err     error // what every further Read returns
}

// position is what comes next in a chunked body.
type position uint8

const (
	atSize position = iota
	inData
	afterData
	atTrailer
)

// Read reads what has come, and waits only if nothing has. The connection is free
// for others as soon as the last byte was read.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	if err := b.refusal(); err != nil {
		b.mu.Unlock()
		return 0, err
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if b.closed { // while we read: Close has left the rest to us
		b.x.done(false)
		return n, ErrBodyClosed
	}
	if err != nil {
		b.err = b.finish(err)
	}
	return n, b.err
}

// refusal is why nothing can be read any more. mu is held.
func (b *body) refusal() error {
	if b.closed {
		return ErrBodyClosed
	}
	return b.err
}

// finish ends the exchange at the body's end. It returns what its reader is told.
func (b *body) finish(err error) error {
	if err == io.EOF { //nolint:errorlint // ours, as it is
		b.x.done(b.keep)
		return err
	}
	b.x.done(false)
	if cause := context.Cause(b.x.ctx); cause != nil {
		return cause
	}
	return err
}

// Close gives the connection back if little is left of the body and it is there;
// else it closes the connection. It always returns nil.
func (b *body) Close() error {
	b.mu.Lock()
	before := b.closed
	b.closed = true
	over := before || b.err != nil
	if b.reading && !before {
		b.x.conn.hangUp() // ends the Read
	}
	mine := !over && !b.reading
	b.mu.Unlock()
	if mine {
		b.x.done(b.keep && b.drain())
	}
	return nil
}

// drain reads the rest of a body, and reports whether it came at once.
func (b *body) drain() bool {
	in := &b.x.conn.in
	if b.x.ctx.Err() != nil || b.kind == counted && b.left > drainBytes {
		return false
	}
	if b.kind != counted || int64(len(in.buffered())) < b.left {
		if b.x.conn.raw.SetReadDeadline(time.Now().Add(drainTime)) != nil {
			return false
		}
		defer func() { _ = b.x.conn.raw.SetReadDeadline(time.Time{}) }()
	}
	scrap := windows.Get().(*[]byte)
	defer windows.Put(scrap)
	for total := 0; total <= drainBytes; {
		n, err := b.read(*scrap)
		total += n
		if err != nil {
			return err == io.EOF //nolint:errorlint // ours, as it is
		}
	}
	return false
}

// read reads some of the body. io.EOF is the end that was agreed on.
func (b *body) read(p []byte) (int, error) {
	switch b.kind {
	case counted:
		return b.readCounted(p)
	case chunked:
		return b.readChunked(p)
	default:
		return b.x.conn.in.read(p)
	}
}

func (b *body) readCounted(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.x.conn.in.read(p)
	b.left -= int64(n)
	if b.left == 0 {
		return n, io.EOF
	}
	return n, unexpected(err)
}

// readChunked reads the data of as many chunks as have come and have room in p:
// what the server sent together is passed on together.
func (b *body) readChunked(p []byte) (n int, err error) {
	in := &b.x.conn.in
	for err == nil {
		switch b.at {
		case inData:
			if n == len(p) || n > 0 && len(in.buffered()) == 0 {
				return n, nil
			}
			room := p[n:]
			if int64(len(room)) > b.left {
				room = room[:b.left]
			}
			var m int
			m, err = in.read(room)
			n, err = n+m, unexpected(err)
			if b.left -= int64(m); b.left == 0 {
				b.at = afterData
			}
		default:
			if n > 0 && !in.ready(b.at) {
				return n, nil
			}
			err = b.pass()
		}
	}
	return n, err
}

// ready reports whether what stands between chunks has come.
func (r *reader) ready(at position) bool {
	b := r.buffered()
	if at == afterData {
		return len(b) >= 2
	}
	return bytes.IndexByte(b, '\n') >= 0
}

// pass reads what stands between the data of two chunks.
func (b *body) pass() error {
	in := &b.x.conn.in
	switch b.at {
	case afterData:
		for len(in.buffered()) < 2 {
			if err := in.fill(); err != nil {
				return unexpected(err)
			}
		}
		if end := in.buffered(); end[0] != '\r' || end[1] != '\n' {
			return malformed("a chunk does not end where it said")
		}
		in.r += 2
		b.at = atSize
	case atSize:
		size, err := b.chunkSize()
		if err != nil {
			return err
		}
		b.left, b.at = size, inData
		if size == 0 {
			b.at, b.excess = atTrailer, 0
		}
	default:
		return b.trailer()
	}
	return nil
}

// maxExcess is how many bytes may come for nothing, beyond sixteen for each chunk
// and two for each byte of data.
const maxExcess = 16 << 10

// chunkSize reads the line before a chunk. Extensions are ignored, as long as
// they are not what is sent.
func (b *body) chunkSize() (int64, error) {
	line, err := b.x.conn.in.line()
	if err != nil {
		return 0, err
	}
	size, err := parseSize(line)
	if err != nil {
		return 0, err
	}
	b.excess = max(0, b.excess+int64(len(line))+2-16-2*min(size, maxExcess))
	if b.excess > maxExcess {
		return 0, malformed("more chunk extensions than data")
	}
	return size, nil
}

// parseSize reads a chunk's size: hexadecimal digits, then perhaps an extension.
func parseSize(line []byte) (size int64, err error) {
	digits := len(line)
	for i, c := range line {
		if c == ';' {
			digits = i
			break
		}
	}
	if digits == len(line) {
		for digits > 0 && (line[digits-1] == ' ' || line[digits-1] == '\t') {
			digits--
		}
	}
	if digits == 0 || digits > 15 {
		return 0, malformed("the size of a chunk")
	}
	for _, c := range line[:digits] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, malformed("the size of a chunk")
		}
		size = size<<4 | int64(c)
	}
	return size, nil
}

// trailer reads one line of what follows the last chunk; io.EOF after the last.
func (b *body) trailer() error {
	line, err := b.x.conn.in.line()
	if err != nil {
		return err
	}
	if len(line) == 0 {
		return io.EOF
	}
	if b.excess += int64(len(line)) + 2; b.excess > maxLine {
		return malformed("a trailer that is too long")
	}
	name, value, ok := strings.Cut(string(line), ":")
	if !ok || !isToken(name) || !printable(value) {
		return malformed("a line of a trailer that is no header")
	}
	if b.x.resp.Trailer == nil {
		b.x.resp.Trailer = http.Header{}
	}
	b.x.resp.Trailer.Add(textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t"))
	return nil
}

// tunnel is a connection that speaks another protocol now. It is its caller's.
type tunnel struct{ conn *conn }

// Read reads what was read ahead first.
func (t *tunnel) Read(p []byte) (int, error) {
	in := &t.conn.in
	if len(in.buffered()) > 0 {
		return in.read(p)
	}
	return t.conn.wire.Read(p)
}

// Write writes to the connection.
func (t *tunnel) Write(p []byte) (int, error) { return t.conn.wire.Write(p) }

// Close closes the connection.
func (t *tunnel) Close() error {
	t.conn.hangUp()
	return nil
}
