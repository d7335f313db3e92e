package http1

import (
	"bytes"
	"io"
	"sync"
)

// window is how much of an answer is read ahead, in bytes. A head that needs
// more gets it; the body does not.
const window = 4 << 10

var windows = sync.Pool{New: func() any { b := make([]byte, window); return &b }}

// reader reads ahead from a connection. It holds a buffer only while an answer
// is being read.
type reader struct {
	src  io.Reader
	own  *[]byte // from windows; nil: none
	buf  []byte  // *own, or larger
	r, w int     // buf[r:w] has been read ahead
}

func (r *reader) buffered() []byte { return r.buf[r.r:r.w] }

// release gives the buffer back. What was read ahead is lost.
func (r *reader) release() {
	if r.own != nil {
		windows.Put(r.own)
	}
	r.own, r.buf, r.r, r.w = nil, nil, 0, 0
}

// fill reads once. It makes room as it needs, by growing where nothing else is
// left.
func (r *reader) fill() error {
	switch {
	case r.buf == nil:
		r.own = windows.Get().(*[]byte)
		r.buf = *r.own
	case r.r == r.w:
		r.r, r.w = 0, 0
	case r.w == len(r.buf) && r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	case r.w == len(r.buf):
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := readSome(r.src, r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil // an error that came with bytes comes again
	}
	return err
}

// readSome reads until there is a byte or an error.
func readSome(src io.Reader, p []byte) (int, error) {
	for range 100 {
		if n, err := src.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// read reads up to len(p) bytes: what was read ahead, else straight into p where
// p is large, else what one read ahead brings. The caller wants no byte beyond p.
func (r *reader) read(p []byte) (int, error) {
	if r.r == r.w {
		if len(p) >= window/2 {
			return readSome(r.src, p)
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

// block returns an answer's head up to and with its empty line. It is valid until
// the next read.
func (r *reader) block(limit int) ([]byte, error) {
	for seen := 0; ; {
		b := r.buffered()
		if !bytes.HasPrefix(b, version[:min(len(b), len(version))]) {
			return nil, malformed("it does not begin with HTTP/1.")
		}
		if end := headEnd(b, seen); end > 0 && end <= limit {
			r.r += end
			return b[:end], nil
		} else if end > limit || len(b) >= limit {
			return nil, ErrTooLarge
		}
		seen = max(0, len(b)-3)
		if err := r.fill(); err != nil {
			if err == io.EOF && len(b) > 0 { //nolint:errorlint // io.Reader returns it as it is
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

var version = []byte("HTTP/1.")

// headEnd returns the length of the head in b, 0 if it is not complete. from is
// where to look: nothing before it ends a head.
func headEnd(b []byte, from int) int {
	for {
		at := bytes.IndexByte(b[from:], '\n')
		if at < 0 {
			return 0
		}
		from += at + 1
		switch {
		case from < len(b) && b[from] == '\n':
			return from + 1
		case from+1 < len(b) && b[from] == '\r' && b[from+1] == '\n':
			return from + 2
		}
	}
}

// maxLine is the longest line within a chunked body, in bytes, with its end.
const maxLine = window

// line returns a line that ends in CRLF, without it. It is valid until the next
// read.
func (r *reader) line() ([]byte, error) {
	for {
		b := r.buffered()
		if at := bytes.IndexByte(b, '\n'); at >= 0 && at < maxLine {
			if at == 0 || b[at-1] != '\r' {
				return nil, malformed("a line of a chunked body ends in a bare LF")
			}
			if bytes.IndexByte(b, '\r') != at-1 {
				return nil, malformed("a bare CR in a chunked body")
			}
			r.r += at + 1
			return b[:at-1], nil
		}
		if len(b) >= maxLine {
			return nil, malformed("a line of a chunked body is too long")
		}
		if err := r.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// unexpected is err where an end of file is none that was agreed on.
func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // io.Reader returns it as it is
		return io.ErrUnexpectedEOF
	}
	return err
}
