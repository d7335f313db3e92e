package server

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
)

// A request that says its length twice, by Content-Length and by
// Transfer-Encoding, is read by one server this way and by the next one that
// way: what lies between is a request that only one of them sees. net/http drops
// the one header without a word, so that a handler cannot refuse it. Hence this
// file: it follows the framing of HTTP/1 on the connection and lets net/http
// answer 400, and close, what it would have accepted:
//
//   - Content-Length together with Transfer-Encoding,
//   - Transfer-Encoding in HTTP/1.0, which net/http ignores,
//   - a header line that continues the one before (RFC 9112 5.2).

// refusal stands in for the rest of a refused request: no header line begins
// with NUL, so that net/http answers 400 in the order of the requests and closes.
const refusal = "\x00\r\n\r\n"

// framedListener follows the framing on every connection it accepts.
type framedListener struct{ net.Listener }

// Accept waits for the next connection.
func (l framedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return framed(c), nil
}

// framed returns c with its framing followed. Only one goroutine may read it at
// a time, as net/http does.
func framed(c net.Conn) net.Conn {
	f := &framedConn{Conn: c}
	if t, ok := c.(*tls.Conn); ok {
		return &framedTLS{f, t}
	}
	return f
}

type framedConn struct {
	net.Conn
	frames framing
	left   []byte // of the refusal, still to be read
}

// Read reads what the caller sent, up to a request that is refused.
func (c *framedConn) Read(p []byte) (int, error) {
	if len(c.left) > 0 {
		n := copy(p, c.left)
		c.left = c.left[n:]
		return n, nil
	}
	if c.frames.refused {
		return 0, io.EOF // what follows a refused request is not one
	}
	n, err := c.Conn.Read(p)
	good := c.frames.follow(p[:n])
	if !c.frames.refused {
		return n, err
	}
	m := copy(p[good:], refusal)
	c.left = []byte(refusal[m:])
	return good + m, nil
}

// CloseWrite lets net/http end its side first, so that a last answer arrives.
func (c *framedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// framedTLS tells net/http of the encryption that it cannot see.
type framedTLS struct {
	*framedConn
	tls *tls.Conn
}

// ConnectionState returns what was agreed on.
func (c *framedTLS) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// part is where in a request the next byte stands.
type part uint8

const (
	requestLine part = iota
	headerLine
	content    // left bytes of it
	chunkLine  // the length of the next chunk
	chunkData  // left bytes of it, its line end included
	trailers   // lines up to an empty one
	unfollowed // HTTP/2, or nothing that net/http will go on with
)

// maxLine is how much of a line is kept, in bytes. net/http refuses longer heads.
const maxLine = 128 << 10

// framing follows the requests on one connection. It reads as net/http does:
// where it is in doubt, net/http refuses and closes.
type framing struct {
	part    part
	line    []byte // the part of an open line that came before
	left    int64
	old     bool // HTTP/1.0
	length  int64
	sized   bool // Content-Length seen
	chunked bool // Transfer-Encoding seen
	refused bool
}

// follow looks at the next bytes of the connection. It returns how many of them
// may pass: all, unless refused is set.
func (f *framing) follow(b []byte) (good int) {
	for good < len(b) && f.part != unfollowed {
		if f.part == content || f.part == chunkData {
			good += f.skip(int64(len(b) - good))
			continue
		}
		end := bytes.IndexByte(b[good:], '\n')
		if end < 0 {
			f.keep(b[good:])
			return len(b)
		}
		line := b[good : good+end]
		if len(f.line) > 0 {
			f.keep(line)
			line = f.line
		}
		good += end + 1
		f.take(bytes.TrimSuffix(line, []byte("\r")))
		f.line = f.line[:0]
		if f.refused {
			return good
		}
	}
	return len(b)
}

// keep stores the part of a line whose end has not come.
func (f *framing) keep(b []byte) {
	if len(f.line)+len(b) > maxLine {
		f.part = unfollowed
		return
	}
	f.line = append(f.line, b...)
}

// skip passes over at most n bytes of a body.
func (f *framing) skip(n int64) int {
	n = min(n, f.left)
	if f.left -= n; f.left == 0 {
		if f.part == chunkData {
			f.part = chunkLine
		} else {
			f.next()
		}
	}
	return int(n)
}

// next waits for another request.
func (f *framing) next() { *f = framing{line: f.line[:0]} }

// take looks at one whole line.
func (f *framing) take(line []byte) {
	switch f.part {
	case requestLine:
		f.begin(line)
	case headerLine:
		f.header(line)
	case chunkLine:
		f.chunk(line)
	case trailers:
		if len(line) == 0 {
			f.next()
		}
	}
}

func (f *framing) begin(line []byte) {
	switch line = bytes.TrimLeft(line, "\r"); {
	case len(line) == 0: // net/http allows a line end after the body of a POST
	case string(line) == "PRI * HTTP/2.0":
		f.part = unfollowed
	default:
		f.part, f.old = headerLine, bytes.HasSuffix(line, []byte("HTTP/1.0"))
	}
}

func (f *framing) header(line []byte) {
	if len(line) == 0 {
		f.body()
		return
	}
	if line[0] == ' ' || line[0] == '\t' {
		f.refused = true
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case equalFold(name, "content-length"):
		n, err := strconv.ParseUint(strings.Trim(string(value), " \t"), 10, 63)
		if err != nil || f.sized && int64(n) != f.length {
			f.part = unfollowed // net/http answers 400
		}
		f.sized, f.length = true, int64(n)
	case equalFold(name, "transfer-encoding"):
		f.chunked = true
	}
	f.refused = f.chunked && (f.sized || f.old)
}

// equalFold is strings.EqualFold for ASCII, as headers' names are: the Kelvin
// sign is no k.
func equalFold(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// body follows the head that has ended.
func (f *framing) body() {
	switch {
	case f.chunked:
		f.part = chunkLine
	case f.sized && f.length > 0:
		f.part, f.left = content, f.length
	default:
		f.next()
	}
}

// chunk reads the line before a chunk: its length in hexadecimal digits, and
// maybe extensions.
func (f *framing) chunk(line []byte) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimRight(digits, " \t\r")), 16, 62)
	switch {
	case err != nil:
		f.part = unfollowed // net/http reads no further
	case n == 0:
		f.part = trailers
	default:
		f.part, f.left = chunkData, int64(n)+2
	}
}
