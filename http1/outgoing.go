package http1

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// invalid is an ErrRequest that says why, without quoting the request.
func invalid(why string) error { return fmt.Errorf("%w: %s", ErrRequest, why) }

// outgoing is how a request goes out.
type outgoing struct {
	req     *http.Request
	method  string
	body    io.ReadCloser // nil without
	length  int64         // -1: chunked
	last    bool          // the request ends the connection
	expect  bool          // the body waits for 100
	upgrade bool          // it asks for another protocol
}

// describe decides how a request's body goes out.
func (o *outgoing) describe(req *http.Request) error {
	*o = outgoing{req: req, method: req.Method, body: req.Body, length: req.ContentLength}
	if o.method == "" {
		o.method = http.MethodGet
	}
	if o.body == http.NoBody {
		o.body = nil
	}
	switch {
	case o.body == nil && o.length > 0:
		return invalid("it has a length and no body")
	case o.body == nil:
		o.length = 0
	case o.length <= 0:
		o.length = -1
	}
	o.upgrade = hasToken(req.Header["Connection"], "upgrade")
	o.last = req.Close || hasToken(req.Header["Connection"], "close")
	o.expect = o.body != nil && hasToken(req.Header["Expect"], "100-continue")
	return nil
}

// repeatable reports whether the body can be had again.
func (o *outgoing) repeatable() bool { return o.body == nil || o.req.GetBody != nil }

// idempotent reports whether the request may be received twice.
func (o *outgoing) idempotent() bool {
	switch o.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := o.req.Header["Idempotency-Key"]
	_, xkey := o.req.Header["X-Idempotency-Key"]
	return key || xkey
}

func (o *outgoing) close() {
	if o.body != nil {
		_ = o.body.Close()
	}
}

// onePiece is up to how large a request may be to be sent by one write in the
// caller's goroutine, in bytes. The send and receive buffers of two sockets that
// wait for a request hold that much, so that the write does not wait for the
// server to read: one that answers early is heard.
const onePiece = 32 << 10

// buffer is where a head, or a piece of a body, is put together.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 4<<10)} }}

func (b *buffer) release() {
	if cap(b.b) <= 2*onePiece {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// head writes the request's head, or says what must not be sent.
func (o *outgoing) head() (*buffer, error) {
	b := buffers.Get().(*buffer)
	text, err := o.appendHead(b.b)
	b.b = text
	if err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

func (o *outgoing) appendHead(b []byte) ([]byte, error) {
	if !isToken(o.method) {
		return b, invalid("its method is not a token")
	}
	b = append(append(b, o.method...), ' ')
	from := len(b)
	b = appendTarget(b, o.req)
	for _, c := range b[from:] {
		if c <= ' ' || c == 0x7f {
			return b, invalid("a space or control character in its URL")
		}
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b, err := appendHost(b, o.req)
	if err != nil {
		return b, err
	}
	b = append(b, "\r\n"...)
	agent, said := o.req.Header["User-Agent"]
	if !said {
		agent = standardAgent
	}
	if len(agent) > 0 && agent[0] != "" {
		if b, err = appendField(b, "User-Agent", agent[0]); err != nil {
			return b, err
		}
	}
	b = o.appendFraming(b)
	if b, err = appendFields(b, o.req.Header); err != nil {
		return b, err
	}
	if b, err = o.appendTrailerNames(b); err != nil {
		return b, err
	}
	return append(b, "\r\n"...), nil
}

var standardAgent = []string{"Go-http-client/1.1"}

// appendTarget writes what url.URL.RequestURI says.
func appendTarget(b []byte, req *http.Request) []byte {
	u := req.URL
	if u.Opaque != "" {
		return append(b, u.RequestURI()...)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	b = append(b, path...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}

// appendHost writes the Host, without the zone of an IPv6 address, which means
// nothing to the server.
func appendHost(b []byte, req *http.Request) ([]byte, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if end := strings.LastIndexByte(host, ']'); end > 0 && host[0] == '[' {
		if zone := strings.LastIndexByte(host[:end], '%'); zone > 0 {
			host = host[:zone] + host[end:]
		}
	}
	if host == "" || req.URL.Host == "" {
		return b, invalid("it has no host")
	}
	for i := range len(host) {
		if !hostByte[host[i]] {
			return b, invalid("a character in its host that belongs to no host")
		}
	}
	return append(b, host...), nil
}

// hostByte holds the characters of a Host: those of names, addresses and ports,
// not "@", which would be somebody's name.
var hostByte = func() (t [256]bool) {
	for _, c := range "!$%&'()*+,-.:;=[]_~" {
		t[c] = true
	}
	for c := range 128 {
		t[c] = t[c] || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	return t
}()

// appendFraming writes how the body ends.
func (o *outgoing) appendFraming(b []byte) []byte {
	switch {
	case o.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case o.length > 0 || o.method == http.MethodPost || o.method == http.MethodPut || o.method == http.MethodPatch:
		b = strconv.AppendInt(append(b, "Content-Length: "...), o.length, 10)
		b = append(b, "\r\n"...)
	}
	if o.req.Close && !hasToken(o.req.Header["Connection"], "close") {
		b = append(b, "Connection: close\r\n"...)
	}
	return b
}

// appendFields writes a header in the order of its names, without the fields that
// are written elsewhere: whatever their spelling, they would frame the request a
// second time.
func appendFields(b []byte, h http.Header) (_ []byte, err error) {
	var few [24]string
	names := few[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !isToken(name) {
			return b, invalid("a header name is not a token")
		}
		if ours(name) {
			continue
		}
		for _, value := range h[name] {
			if b, err = appendField(b, name, value); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

// ours reports whether a field is written by this package.
func ours(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("User-Agent"):
		return strings.EqualFold(name, "User-Agent")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

func appendField(b []byte, name, value string) ([]byte, error) {
	if !printable(value) {
		return b, invalid("a control character in the value of a header")
	}
	b = append(append(b, name...), ": "...)
	b = append(b, strings.Trim(value, " \t")...)
	return append(b, "\r\n"...), nil
}

// appendTrailerNames announces the fields that follow a chunked body.
func (o *outgoing) appendTrailerNames(b []byte) ([]byte, error) {
	if o.length >= 0 || len(o.req.Trailer) == 0 {
		return b, nil
	}
	names := make([]string, 0, len(o.req.Trailer))
	for name := range o.req.Trailer {
		if !isToken(name) || ours(name) {
			return b, invalid("a trailer that is not one")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return appendField(b, "Trailer", strings.Join(names, ","))
}

func isToken(s string) bool {
	for i := range len(s) {
		if !token[s[i]] {
			return false
		}
	}
	return s != ""
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 128 {
			return false
		}
	}
	return true
}
