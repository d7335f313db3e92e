package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/http1"
)

// answer is what a server sends, byte by byte, before it closes the connection.
type answer struct {
	name   string
	raw    string
	method string // of the request; GET
	// stricter says why we refuse what http.Transport accepts. "" where both do the
	// same: they return the same, or both refuse.
	stricter string
}

const (
	smuggling = "two readers could disagree where it ends"
	injection = "whoever writes it on could write another line"
	notHTTP1  = "it is not HTTP/1.x as anybody speaks it"
	tooMany   = "nobody sends so many header lines"
	unasked   = "who asked would wait for an answer that has no end"
)

func head(lines ...string) string {
	return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func chunkedBody(body string) string { return head("Transfer-Encoding: chunked") + body }

// answers are shapes that servers send, and shapes that only an attacker does.
func answers() []answer {
	long := strings.Repeat("x", 100_000)
	list := []answer{
		{name: "a body with a length", raw: head("Content-Length: 5") + "hello"},
		{name: "an empty body", raw: head("Content-Length: 0")},
		{name: "a long body with a length", raw: head("Content-Length: 100000") + long},
		{name: "a body cut short", raw: head("Content-Length: 10") + "hello"},
		{name: "a body with a length and more", raw: head("Content-Length: 5") + "hello, world"},
		{name: "a body until the end", raw: head("Content-Type: text/plain") + "hello"},
		{name: "a long body until the end", raw: head("Content-Type: text/plain") + long},
		{name: "no header at all", raw: "HTTP/1.1 200 OK\r\n\r\nhello"},
		{name: "no reason", raw: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "an empty reason", raw: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi"},
		{name: "a reason of many words", raw: "HTTP/1.1 429 Too Many Requests, Really\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "a reason in UTF-8", raw: "HTTP/1.1 200 schön\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "two spaces before the status", raw: "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "a status of two digits", raw: "HTTP/1.1 20 OK\r\n\r\n"},
		{name: "a status of four digits", raw: "HTTP/1.1 2000 OK\r\n\r\n"},
		{name: "a status of letters", raw: "HTTP/1.1 abc OK\r\n\r\n"},
		{name: "a status with a sign", raw: "HTTP/1.1 +20 OK\r\n\r\n", stricter: notHTTP1},
		{name: "a negative status", raw: "HTTP/1.1 -20 OK\r\n\r\n"},
		{name: "a status below 100", raw: "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi", stricter: notHTTP1},
		{name: "status 599", raw: "HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "status 999", raw: "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "no status", raw: "HTTP/1.1\r\n\r\n"},
		{name: "version 1.0", raw: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "version 1.0 kept alive", raw: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "version 1.0 closed", raw: "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "version 1.0 until the end", raw: "HTTP/1.0 200 OK\r\n\r\nhello"},
		{name: "version 1.2", raw: "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi", stricter: notHTTP1},
		{name: "version 2.0", raw: "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", stricter: notHTTP1},
		{name: "version 0.9", raw: "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi", stricter: notHTTP1},
		{name: "a version of letters", raw: "HTTP/x.y 200 OK\r\n\r\n"},
		{name: "a version in lower case", raw: "http/1.1 200 OK\r\n\r\n"},
		{name: "another protocol", raw: "SSH-2.0-OpenSSH_9.2p1\r\n"},
		{name: "a TLS alert", raw: "\x15\x03\x01\x00\x02\x02\x16"},
		{name: "nothing", raw: ""},
		{name: "a single byte", raw: "H"},
		{name: "a head cut short", raw: "HTTP/1.1 200 OK\r\nContent-Len"},
		{name: "a head without its end", raw: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"},
		{name: "an empty line first", raw: "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{name: "a space first", raw: " HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{name: "lines that end in LF", raw: "HTTP/1.1 200 OK\nContent-Length: 2\nX-A: b\n\nhi"},
		{name: "lines that end in both", raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\nX-A: b\r\n\nhi"},
		{name: "a CR within a value", raw: head("X-A: b\rX-B: c", "Content-Length: 2") + "hi"},
		{name: "two CRs at a line's end", raw: "HTTP/1.1 200 OK\r\nX-A: b\r\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "a CR within the reason", raw: "HTTP/1.1 200 OK\rX-B: c\r\nContent-Length: 2\r\n\r\nhi", stricter: injection},
		{name: "a NUL within the reason", raw: "HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nhi", stricter: injection},
		{name: "a NUL within a value", raw: head("X-A: b\x00c", "Content-Length: 2") + "hi"},
		{name: "a NUL within a name", raw: head("X\x00A: b", "Content-Length: 2") + "hi"},
		{name: "a DEL within a value", raw: head("X-A: b\x7fc", "Content-Length: 2") + "hi"},
		{name: "a tab within a value", raw: head("X-A: b\tc", "Content-Length: 2") + "hi"},
		{name: "a value in UTF-8", raw: head("X-A: schön", "Content-Length: 2") + "hi"},
		{name: "a value in Latin-1", raw: head("X-A: sch\xf6n", "Content-Length: 2") + "hi"},
		{name: "an empty value", raw: head("X-A:", "Content-Length: 2") + "hi"},
		{name: "a value of spaces", raw: head("X-A:    ", "Content-Length: 2") + "hi"},
		{name: "spaces around a value", raw: head("X-A: \t b \t ", "Content-Length: 2") + "hi"},
		{name: "colons in a value", raw: head("X-A: b:c:d", "Content-Length: 2") + "hi"},
		{name: "a line without a colon", raw: head("X-A", "Content-Length: 2") + "hi"},
		{name: "a line without a name", raw: head(": b", "Content-Length: 2") + "hi"},
		{name: "a space before the colon", raw: head("X-A : b", "Content-Length: 2") + "hi", stricter: smuggling},
		{name: "a space before the length's colon", raw: head("Content-Length : 2", "Content-Length: 5") + "hello", stricter: smuggling},
		{name: "a tab before the colon", raw: head("X-A\t: b", "Content-Length: 2") + "hi"},
		{name: "a space within a name", raw: head("X A: b", "Content-Length: 2") + "hi", stricter: smuggling},
		{name: "a space before the first name", raw: head(" X-A: b", "Content-Length: 2") + "hi"},
		{name: "a folded line", raw: head("X-A: b", " c", "Content-Length: 2") + "hi", stricter: smuggling},
		{name: "a line folded with a tab", raw: head("X-A: b", "\tc", "Content-Length: 2") + "hi", stricter: smuggling},
		{name: "a folded length", raw: head("Content-Length:", " 2") + "hi", stricter: smuggling},
		{name: "a line of spaces", raw: head("X-A: b", "   ", "Content-Length: 2") + "hi", stricter: smuggling},
		{name: "quotes in a name", raw: head(`X"A: b`, "Content-Length: 2") + "hi"},
		{name: "braces in a name", raw: head("X{A}: b", "Content-Length: 2") + "hi"},
		{name: "odd characters that a name may have", raw: head("x!#$%&'*+-.^_`|~9: b", "Content-Length: 2") + "hi"},
		{name: "names in lower case", raw: head("x-request-id: a", "content-length: 2", "x-REQUEST-id: b", "WWW-authenticate: c") + "hi"},
		{name: "a name many times", raw: head("Set-Cookie: a", "Set-Cookie: b", "X-A: 1", "set-cookie: c", "Content-Length: 2") + "hi"},
		{name: "a long value", raw: head("X-A: "+strings.Repeat("v", 20_000), "Content-Length: 2") + "hi"},
		{name: "many lines", raw: head(strings.Repeat("X-A: b\r\n", 900)+"Content-Length: 2") + "hi"},
		{name: "too many lines", raw: head(strings.Repeat("X-A: b\r\n", 1001)+"Content-Length: 2") + "hi", stricter: tooMany},
		{name: "a head that is too large", raw: head("X-A: "+strings.Repeat("v", 70_000), "Content-Length: 2") + "hi"},
		{name: "a head that never ends", raw: "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("v", 300_000)},

		{name: "a length with spaces", raw: head("Content-Length:   5  ") + "hello"},
		{name: "a length with a sign", raw: head("Content-Length: +5") + "hello"},
		{name: "a negative length", raw: head("Content-Length: -5") + "hello"},
		{name: "a hexadecimal length", raw: head("Content-Length: 0x5") + "hello"},
		{name: "a length with a point", raw: head("Content-Length: 5.0") + "hello"},
		{name: "a length with an underscore", raw: head("Content-Length: 1_0") + "hello"},
		{name: "a length with leading zeros", raw: head("Content-Length: 0005") + "hello"},
		{name: "a length that is too large", raw: head("Content-Length: 9223372036854775808") + "hello"},
		{name: "the largest length", raw: head("Content-Length: 9223372036854775807") + "hello"},
		{name: "an empty length", raw: head("Content-Length:") + "hello"},
		{name: "a list of lengths", raw: head("Content-Length: 5, 5") + "hello"},
		{name: "two equal lengths", raw: head("Content-Length: 5", "Content-Length: 5") + "hello"},
		{name: "two lengths that differ", raw: head("Content-Length: 5", "Content-Length: 6") + "hello!"},
		{name: "two lengths that only look different", raw: head("Content-Length: 5", "Content-Length: 05") + "hello"},
		{name: "a length and chunks", raw: head("Content-Length: 5", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", stricter: smuggling},
		{name: "chunks and a length", raw: head("Transfer-Encoding: chunked", "Content-Length: 100") + "5\r\nhello\r\n0\r\n\r\n", stricter: smuggling},
		{name: "chunks and a bad length", raw: head("Transfer-Encoding: chunked", "Content-Length: x") + "0\r\n\r\n"},
		{name: "chunks in version 1.0", raw: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", stricter: smuggling},
		{name: "chunks in mixed case", raw: head("Transfer-Encoding: Chunked") + "5\r\nhello\r\n0\r\n\r\n"},
		{name: "gzip and chunks", raw: head("Transfer-Encoding: gzip, chunked") + "5\r\nhello\r\n0\r\n\r\n"},
		{name: "chunks twice", raw: head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n"},
		{name: "identity", raw: head("Transfer-Encoding: identity") + "hello"},
		{name: "an empty transfer encoding", raw: head("Transfer-Encoding:") + "hello"},
		{name: "a transfer encoding with a vertical tab", raw: head("Transfer-Encoding: \vchunked") + "0\r\n\r\n"},
		{name: "a transfer encoding in quotes", raw: head(`Transfer-Encoding: "chunked"`) + "0\r\n\r\n"},

		{name: "one chunk", raw: chunkedBody("5\r\nhello\r\n0\r\n\r\n")},
		{name: "many chunks", raw: chunkedBody("5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n")},
		{name: "a large chunk", raw: chunkedBody(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(long), long))},
		{name: "no chunk", raw: chunkedBody("0\r\n\r\n")},
		{name: "upper case sizes", raw: chunkedBody("A\r\n0123456789\r\n0\r\n\r\n")},
		{name: "sizes with leading zeros", raw: chunkedBody("0005\r\nhello\r\n000\r\n\r\n")},
		{name: "a size with spaces behind", raw: chunkedBody("5  \r\nhello\r\n0\r\n\r\n")},
		{name: "a size with a space before", raw: chunkedBody(" 5\r\nhello\r\n0\r\n\r\n")},
		{name: "an extension", raw: chunkedBody("5;a=b\r\nhello\r\n0;c\r\n\r\n")},
		{name: "a space before an extension", raw: chunkedBody("5 ;a=b\r\nhello\r\n0\r\n\r\n")},
		{name: "an extension in quotes", raw: chunkedBody("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n")},
		{name: "an extension with a CR", raw: chunkedBody("5;a\rb\r\nhello\r\n0\r\n\r\n")},
		{name: "a long extension", raw: chunkedBody("5;" + strings.Repeat("e", 3000) + "\r\nhello\r\n0\r\n\r\n")},
		{name: "an extension that is too long", raw: chunkedBody("5;" + strings.Repeat("e", 5000) + "\r\nhello\r\n0\r\n\r\n")},
		{name: "too many extensions", raw: chunkedBody(strings.Repeat("1;"+strings.Repeat("e", 2000)+"\r\nx\r\n", 20) + "0\r\n\r\n")},
		{name: "many small chunks", raw: chunkedBody(strings.Repeat("1\r\nx\r\n", 10_000) + "0\r\n\r\n")},
		{name: "an empty size", raw: chunkedBody("\r\nhello\r\n0\r\n\r\n")},
		{name: "only an extension", raw: chunkedBody(";a\r\nhello\r\n0\r\n\r\n")},
		{name: "a negative size", raw: chunkedBody("-5\r\nhello\r\n0\r\n\r\n")},
		{name: "a size with a sign", raw: chunkedBody("+5\r\nhello\r\n0\r\n\r\n")},
		{name: "a size with a prefix", raw: chunkedBody("0x5\r\nhello\r\n0\r\n\r\n")},
		{name: "a size that is no number", raw: chunkedBody("hello\r\n")},
		{name: "a size that is too large", raw: chunkedBody("10000000000000005\r\nhello\r\n0\r\n\r\n")},
		{name: "a size that wraps", raw: chunkedBody("ffffffffffffffff\r\nhello\r\n0\r\n\r\n")},
		{name: "a size line that ends in LF", raw: chunkedBody("5\nhello\r\n0\r\n\r\n")},
		{name: "a chunk that ends in LF", raw: chunkedBody("5\r\nhello\n0\r\n\r\n")},
		{name: "a chunk that is longer than it said", raw: chunkedBody("5\r\nhello!\r\n0\r\n\r\n")},
		{name: "a chunk that is shorter than it said", raw: chunkedBody("6\r\nhello\r\n0\r\n\r\n")},
		{name: "chunks without an end", raw: chunkedBody("5\r\nhello\r\n")},
		{name: "chunks cut within a chunk", raw: chunkedBody("5\r\nhel")},
		{name: "chunks cut within a size", raw: chunkedBody("5\r\nhello\r\n1")},
		{name: "chunks cut after a chunk", raw: chunkedBody("5\r\nhello")},
		{name: "chunks cut before the trailer", raw: chunkedBody("5\r\nhello\r\n0\r\n")},
		{name: "chunks that never begin", raw: chunkedBody("")},

		{name: "a trailer", raw: head("Transfer-Encoding: chunked", "Trailer: X-Sum") + "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{name: "a trailer nobody announced", raw: chunkedBody("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")},
		{name: "trailers", raw: head("Transfer-Encoding: chunked", "Trailer: X-Sum, x-other") + "0\r\nx-sum: 1\r\nX-Other: 2\r\nX-Other: 3\r\n\r\n"},
		{name: "an announced trailer that stays away", raw: head("Transfer-Encoding: chunked", "Trailer: X-Sum") + "0\r\n\r\n"},
		{name: "a trailer without chunks", raw: head("Content-Length: 2", "Trailer: X-Sum") + "hi"},
		{name: "a trailer that frames", raw: head("Transfer-Encoding: chunked", "Trailer: Content-Length") + "0\r\n\r\n"},
		{name: "a trailer without a colon", raw: chunkedBody("0\r\nX-Sum\r\n\r\n")},
		{name: "a trailer with a control character", raw: chunkedBody("0\r\nX-Sum: \x01\r\n\r\n")},
		{name: "a trailer cut short", raw: chunkedBody("0\r\nX-Sum: 1\r\n")},
		{name: "a trailer that is too long", raw: chunkedBody("0\r\nX-Sum: " + strings.Repeat("v", 5000) + "\r\n\r\n")},
		{name: "a folded trailer", raw: chunkedBody("0\r\nX-Sum: 1\r\n 2\r\n\r\n"), stricter: smuggling},
		{name: "a trailer with a space in its name", raw: chunkedBody("0\r\nX Sum: 1\r\n\r\n"), stricter: smuggling},

		{name: "HEAD with a length", method: "HEAD", raw: head("Content-Length: 5")},
		{name: "HEAD with chunks", method: "HEAD", raw: head("Transfer-Encoding: chunked")},
		{name: "HEAD without either", method: "HEAD", raw: head("X-A: b")},
		{name: "HEAD with a body", method: "HEAD", raw: head("Content-Length: 5") + "hello"},
		{name: "HEAD with a bad length", method: "HEAD", raw: head("Content-Length: x")},
		{name: "204", raw: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "204 with a length", raw: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "204 with chunks", raw: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{name: "304 with a length", raw: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
		{name: "205 with a body", raw: "HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nhi"},
		{name: "302", raw: "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{name: "POST", method: "POST", raw: head("Content-Length: 2") + "hi"},
		{name: "PUT without an answer's length", method: "PUT", raw: head("X-A: b") + "hi"},

		{name: "100 first", raw: "HTTP/1.1 100 Continue\r\n\r\n" + head("Content-Length: 2") + "hi"},
		{name: "102 first", raw: "HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n" + head("Content-Length: 2") + "hi"},
		{name: "103 first, twice", raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 2) + head("Content-Length: 2") + "hi"},
		{name: "103 with a length", raw: "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + head("Content-Length: 2") + "hi"},
		{name: "103 without end", raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 20_000)},
		{name: "103 and nothing else", raw: "HTTP/1.1 103 Early Hints\r\n\r\n"},
		{name: "101 without an upgrade", raw: "HTTP/1.1 101 Switching Protocols\r\n\r\n", stricter: unasked},
		{name: "101 that nobody asked for", raw: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", stricter: unasked},

		{name: "an answer that closes", raw: head("Connection: close", "Content-Length: 2") + "hi"},
		{name: "an answer that closes among others", raw: head("Connection: X-A, CLOSE", "Content-Length: 2") + "hi"},
		{name: "an answer that is kept", raw: head("Connection: keep-alive", "Keep-Alive: timeout=5", "Content-Length: 2") + "hi"},
		{name: "gzip nobody asked for", raw: head("Content-Encoding: gzip", "Content-Length: 2") + "hi"},
		{name: "Pragma without Cache-Control", raw: head("Cache-Control: private", "Pragma: no-cache", "Content-Length: 2") + "hi"},
	}
	return list
}

// seen is what a client makes of an answer.
type seen struct {
	refused bool // by RoundTrip
	broken  bool // while its body was read
	status  string
	code    int
	proto   string
	header  http.Header
	coding  []string
	length  int64
	close   bool
	body    string
	trailer http.Header
}

func ask(t *testing.T, client http.RoundTripper, a answer) (s seen, err error) {
	t.Helper()
	method := a.method
	if method == "" {
		method = "GET"
	}
	var body io.Reader
	if method == "POST" || method == "PUT" {
		body = strings.NewReader("question")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+serveRaw(t, a.raw)+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		return seen{refused: true}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return seen{broken: err != nil, status: resp.Status, code: resp.StatusCode, proto: resp.Proto, header: resp.Header, coding: resp.TransferEncoding,
		length: resp.ContentLength, close: resp.Close, body: string(text), trailer: resp.Trailer}, err
}

// serveRaw answers the first request with raw bytes, and then closes.
func serveRaw(t *testing.T, raw string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, raw)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
	}()
	return l.Addr().String()
}

func TestAnswersAreReadAsTheStandardLibraryReadsThem(t *testing.T) {
	list := answers()
	if len(list) < 100 {
		t.Fatalf("%d answers are compared, want at least 100", len(list))
	}
	log.SetOutput(io.Discard) // the standard library tells of bytes after an answer
	defer log.SetOutput(os.Stderr)
	standard := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: 64 << 10}
	lean := &http1.Transport{}
	defer standard.CloseIdleConnections()
	defer lean.CloseIdleConnections()
	for _, a := range list {
		t.Run(a.name, func(t *testing.T) {
			want, wantErr := ask(t, standard, a)
			got, gotErr := ask(t, lean, a)
			if a.stricter != "" {
				if want.refused || want.broken || !got.refused && !got.broken {
					t.Fatalf("not a difference (%s):\ngot  %+v %v\nwant %+v %v", a.stricter, got, gotErr, want, wantErr)
				}
				return
			}
			if got.broken && want.broken && strings.HasPrefix(want.body, got.body) { // what came before the fault may be told or not
				got.body, got.trailer = want.body, want.trailer
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("\ngot  %.500s\nwant %.500s", fmt.Sprintf("%+v %v", got, gotErr), fmt.Sprintf("%+v %v", want, wantErr))
			}
		})
	}
}
