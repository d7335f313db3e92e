package edge

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// payload is the body of a request on its way to the Transport: buffered, so
// that it can be sent again, or the caller's own stream.
type payload struct {
	buffered []byte
	stream   io.ReadCloser
	length   int64 // of the stream; -1 unknown
	decoded  bool  // Content-Encoding was undone
}

// body is a buffered request body. The Transport finds the bytes with Bytes and
// need not copy them.
type body struct {
	*bytes.Reader
	content []byte
}

// Bytes returns the whole body, however much of it has been read.
func (b body) Bytes() []byte { return b.content }

// Close does nothing.
func (body) Close() error { return nil }

// attach gives the body to a request.
func (p *payload) attach(r *http.Request) {
	if p.decoded {
		r.Header.Del("Content-Encoding")
	}
	r.Header.Del("Content-Length") // the request's field says it
	switch {
	case p.stream != nil:
		r.Body, r.ContentLength = p.stream, p.length
	case len(p.buffered) == 0:
		r.Body, r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	default:
		r.ContentLength = int64(len(p.buffered))
		r.GetBody = func() (io.ReadCloser, error) { return body{bytes.NewReader(p.buffered), p.buffered}, nil }
		r.Body, _ = r.GetBody()
	}
}

// readBody takes the request's body in. release gives the memory back; it must
// be called once the answer is over. On paths whose bodies are read for routing
// a body is always buffered; on others one that is multipart, too large or of
// unknown length is streamed.
func (h *Handler) readBody(out *reply, r *http.Request) (body *payload, release func(), problem *call.Problem) {
	none, limit := func() {}, h.maxBody()
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return &payload{}, none, nil
	}
	paced := out.asked
	if !isGuarded(r) && (r.ContentLength < 0 || r.ContentLength > limit || isMultipart(r)) {
		return h.begin(paced, r.ContentLength)
	}
	if r.ContentLength > limit {
		return nil, none, tooLarge(limit)
	}
	paced.end = time.Now().Add(h.config.BodyTime)
	from, decoded, problem := decoding(r, paced)
	if problem != nil {
		return nil, none, problem
	}
	buffered, held, problem := h.buffer(from, r.ContentLength)
	if problem != nil {
		h.buffers.give(held)
		return nil, none, problem
	}
	return &payload{buffered: buffered, decoded: decoded}, func() { h.buffers.give(held) }, nil
}

// The first piece of memory for a body, in bytes. A length that was only claimed
// takes no more, so that callers who claim much and send little cannot take all.
const (
	firstPiece   = 16 << 10 // of a body of unknown length
	claimedPiece = 1 << 20  // of one whose length is told
)

// buffer reads a body to its end, within its own bound and the budget of all. It
// never has more than twice the bound in its hands.
func (h *Handler) buffer(from io.Reader, length int64) (content []byte, held int64, problem *call.Problem) {
	limit, size := h.maxBody(), int64(firstPiece)
	if length > 0 {
		size = min(length, claimedPiece)
	}
	for {
		size = min(size, limit)
		if !h.buffers.take(size - held) {
			return nil, held, noRoom()
		}
		held = size
		grown := make([]byte, len(content), size+1) // one more, so that the end shows without growing
		copy(grown, content)
		var err error
		content, err = fill(from, grown)
		switch {
		case int64(len(content)) > limit:
			return nil, held, tooLarge(limit)
		case err == io.EOF:
			return content, held, nil
		case err != nil:
			return nil, held, unreadable(err)
		}
		if size *= 2; length > size { // who sent so much of what was claimed is believed more of it
			size = min(4*size, length)
		}
	}
}

// readAhead is how much of a streamed body has to be here before the call is let
// in, in bytes: a body that drips would hold a place at the provider meanwhile.
const readAhead = 64 << 10

// begin reads the first part of a body that is streamed.
func (h *Handler) begin(from *paced, length int64) (*payload, func(), *call.Problem) {
	size := int64(readAhead)
	if length > 0 {
		size = min(size, length)
	}
	if !h.buffers.take(size) {
		return nil, func() {}, noRoom()
	}
	release := func() { h.buffers.give(size) }
	first, err := fill(from, make([]byte, 0, size))
	if err != nil && err != io.EOF {
		release()
		return nil, func() {}, unreadable(err)
	}
	return &payload{stream: &begun{first: first, paced: from}, length: length}, release, nil
}

// begun is a body whose first part has been read already.
type begun struct {
	first []byte // what is left of it
	*paced
}

// Read gives the first part, then the rest as it comes.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.paced.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

// fill reads until b's capacity is full or the reader has ended.
func fill(from io.Reader, b []byte) ([]byte, error) {
	for len(b) < cap(b) {
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// decoding undoes the body's content encoding, as nobody behind us could read
// it otherwise.
func decoding(r *http.Request, body io.Reader) (from io.Reader, decoded bool, problem *call.Problem) {
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); {
	case encoding == "" || encoding == "identity" || !isGuarded(r):
		return body, false, nil
	case encoding == "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, false, unreadable(err)
		}
		return unzipped, true, nil
	}
	return nil, false, &call.Problem{Status: http.StatusUnsupportedMediaType, Type: invalid, Code: "unsupported_encoding",
		Message: "Request bodies may be sent plain or with Content-Encoding: gzip."}
}

func isMultipart(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return strings.HasPrefix(kind, "multipart/")
}

func tooLarge(limit int64) *call.Problem {
	return &call.Problem{Reason: call.ReasonTooLarge,
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit)}
}

func noRoom() *call.Problem {
	return &call.Problem{Reason: call.ReasonShed,
		Message: "The gateway holds too many request bodies at once; try again."}
}

// unreadable words why a body could not be read. A body that stops half way
// comes from a caller who is gone; nobody reads the answer.
func unreadable(err error) *call.Problem {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &call.Problem{Status: http.StatusRequestTimeout, Type: invalid, Code: "request_timeout",
			Message: "The request body came too slowly."}
	}
	return &call.Problem{Reason: call.ReasonBadRequest,
		Message: "The request body could not be read."}
}

// budget bounds the bytes that all buffered bodies hold together.
type budget struct {
	mu   sync.Mutex
	left int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}
