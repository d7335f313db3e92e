package http1

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// maxFields is how many header lines an answer may have.
const maxFields = 1000

// malformed is an ErrMalformed that says why.
func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }

// framing says how an answer's body ends.
type framing struct {
	kind kind
	left int64 // bytes, of a body with a length
	keep bool  // the connection may serve again
}

type kind uint8

const (
	empty kind = iota
	counted
	chunked
	untilClose
	switched // the connection speaks another protocol from here
)

// parseHead reads an answer's head into resp. block is the head with its empty
// line; names in it are made canonical in place, so that one copy serves for all.
func parseHead(block []byte, method string, resp *http.Response) (framing, error) {
	n := bytes.Count(block, []byte{'\n'}) - 2
	if n > maxFields {
		return framing{}, malformed("it has too many header lines")
	}
	if err := canonicalize(block); err != nil {
		return framing{}, err
	}
	text := string(block)
	line, text := cutLine(text)
	if err := statusLine(line, resp); err != nil {
		return framing{}, err
	}
	resp.Header = make(http.Header, n+8) // who asked adds some of its own
	values := make([]string, n)
	for line, text = cutLine(text); line != ""; line, text = cutLine(text) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if known, ok := resp.Header[name]; ok {
			resp.Header[name] = append(known, value)
			continue
		}
		values[0] = value
		resp.Header[name], values = values[:1:1], values[1:]
	}
	return frame(method, resp)
}

// cutLine cuts a line off, and its CRLF or LF.
func cutLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// canonicalize checks the header lines of a block and makes their names
// canonical. The first line is the status line; the last is empty.
func canonicalize(block []byte) error {
	_, rest, _ := bytes.Cut(block, []byte{'\n'})
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			return nil
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return malformed("a header line has no name")
		}
		if !canonical(line[:colon]) {
			return malformed("a header name is not a token")
		}
		if !printable(line[colon+1:]) {
			return malformed("a control character in a header value")
		}
	}
	return nil
}

// canonical writes a header name as http.CanonicalHeaderKey would, and reports
// whether it is a token.
func canonical(name []byte) bool {
	upper := true
	for i, c := range name {
		if !token[c] {
			return false
		}
		switch {
		case upper && 'a' <= c && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !upper && 'A' <= c && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
	return true
}

// token holds the characters of names and methods.
var token = func() (t [256]bool) {
	for c := range t {
		t[c] = '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
			c < 128 && strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) && c > ' '
	}
	return t
}()

// printable reports whether a text has no control characters but tabs.
func printable[T string | []byte](text T) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// statusLine reads "HTTP/1.1 200 OK".
func statusLine(line string, resp *http.Response) error {
	proto, status, ok := strings.Cut(line, " ")
	switch {
	case !ok:
		return malformed("its first line has no status")
	case proto == "HTTP/1.1":
		resp.ProtoMinor = 1
	case proto != "HTTP/1.0":
		return malformed("its version is neither HTTP/1.1 nor HTTP/1.0")
	}
	resp.Proto, resp.ProtoMajor = proto, 1
	status = strings.TrimLeft(status, " ")
	code, _, _ := strings.Cut(status, " ")
	n, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || n < 100 {
		return malformed("its status is no number of three digits")
	}
	if !printable(status) {
		return malformed("a control character in its status line")
	}
	resp.Status, resp.StatusCode = status, int(n)
	return nil
}

// frame decides how the body ends, and takes the fields that say so out of the
// header as http.ReadResponse does.
func frame(method string, resp *http.Response) (f framing, err error) {
	f.keep = keepsAlive(resp)
	resp.Close = !f.keep
	coded, err := transferCoded(resp.Header)
	if err != nil {
		return f, err
	}
	length, err := contentLength(resp.Header)
	switch {
	case err != nil:
		return f, err
	case coded && length >= 0:
		return f, malformed("it has a length and a transfer encoding")
	case coded && resp.ProtoMinor == 0:
		return f, malformed("a transfer encoding in HTTP/1.0")
	}
	resp.ContentLength = length
	switch code := resp.StatusCode; {
	case code == http.StatusSwitchingProtocols && hasToken(resp.Header["Connection"], "upgrade"):
		f.kind, f.keep, resp.ContentLength = switched, false, 0
	case method == http.MethodHead:
		f.kind = empty
	case code < 200 || code == http.StatusNoContent || code == http.StatusNotModified:
		f.kind, resp.ContentLength = empty, 0
	case coded:
		f.kind = chunked
	case length == 0:
		f.kind = empty
	case length > 0:
		f.kind, f.left = counted, length
	default:
		f.kind, f.keep, resp.Close = untilClose, false, true
	}
	if coded {
		resp.TransferEncoding = []string{"chunked"}
		err = announceTrailer(resp)
	}
	return f, err
}

// keepsAlive reports whether the server will read another request.
func keepsAlive(resp *http.Response) bool {
	said := resp.Header["Connection"]
	if resp.ProtoMinor == 0 {
		return !hasToken(said, "close") && hasToken(said, "keep-alive")
	}
	if hasToken(said, "close") {
		delete(resp.Header, "Connection")
		return false
	}
	return true
}

// transferCoded reports whether a body is chunked. Nothing else is understood.
func transferCoded(h http.Header) (bool, error) {
	said, ok := h["Transfer-Encoding"]
	if !ok {
		return false, nil
	}
	delete(h, "Transfer-Encoding")
	if len(said) != 1 || !strings.EqualFold(said[0], "chunked") {
		return false, malformed("a transfer encoding other than chunked")
	}
	return true, nil
}

// contentLength returns the length, -1 for none.
func contentLength(h http.Header) (int64, error) {
	said, ok := h["Content-Length"]
	if !ok {
		return -1, nil
	}
	for _, other := range said[1:] {
		if other != said[0] {
			return 0, malformed("two lengths that differ")
		}
	}
	h["Content-Length"] = said[:1]
	n, err := strconv.ParseUint(said[0], 10, 63)
	if err != nil {
		return 0, malformed("its length is no number")
	}
	return int64(n), nil //nolint:gosec // 63 bits
}

// announceTrailer makes resp.Trailer of the field that announces one.
func announceTrailer(resp *http.Response) error {
	said, ok := resp.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(resp.Header, "Trailer")
	for _, line := range said {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			switch name {
			case "":
				continue
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return malformed("a trailer that would frame the body")
			}
			if resp.Trailer == nil {
				resp.Trailer = http.Header{}
			}
			resp.Trailer[name] = nil
		}
	}
	return nil
}

// hasToken reports whether a word stands in a list of words, in any case.
func hasToken(lines []string, word string) bool {
	for _, line := range lines {
		for line != "" {
			var one string
			one, line, _ = strings.Cut(line, ",")
			if strings.EqualFold(strings.Trim(one, " \t"), word) {
				return true
			}
		}
	}
	return false
}
