package server

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/holdfast-gateway/holdfast/internal/pipenet"
)

// wire is a connection from which a text is read, n bytes at a time.
type wire struct {
	net.Conn
	io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }

// through returns what net/http would read of a text.
func through(text string, oneByOne bool) string {
	var r io.Reader = strings.NewReader(text)
	if oneByOne {
		r = iotest.OneByteReader(r)
	}
	got, _ := io.ReadAll(framed(wire{Reader: r}))
	return string(got)
}

const (
	plainGet  = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	sizedPost = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	chunkPost = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n12345\r\n0\r\nX: y\r\n\r\n"
)

func TestRequestsThatSayTheirLengthOncePassUntouched(t *testing.T) {
	for _, text := range []string{
		plainGet, sizedPost, chunkPost, plainGet + sizedPost + chunkPost + plainGet, chunkPost + chunkPost,
		"\r\n" + plainGet,
		"POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi" + plainGet,
		"POST / HTTP/1.1\r\nContent-Length: 64\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0123456789012345",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 2*maxLine) + "\r\n\r\n",
	} {
		for _, oneByOne := range []bool{false, true} {
			if got := through(text, oneByOne); got != text {
				t.Errorf("%.80q came through as %.80q", text, got)
			}
		}
	}
}

func TestARequestThatSaysItsLengthTwiceIsCutAndMadeABadOne(t *testing.T) {
	for name, test := range map[string]struct{ passes, rest string }{
		"length first":      {"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Host: a\r\n\r\n0\r\n\r\n"},
		"coding first":      {"POST / HTTP/1.1\r\ntransfer-ENCODING:\tchunked\r\ncontent-length:4\r\n", "\r\n0\r\n\r\n"},
		"bare line feeds":   {"POST / HTTP/1.1\nContent-Length: 4\nTransfer-Encoding: chunked\n", "\n"},
		"no length at all":  {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length:\r\n", "\r\n"},
		"HTTP/1.0":          {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "\r\n0\r\n\r\n"},
		"a continued line":  {"POST / HTTP/1.1\r\nX: a\r\n b\r\n", "\r\n"},
		"behind a good one": {sizedPost + chunkPost + plainGet + "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", "\r\n" + plainGet},
	} {
		for _, oneByOne := range []bool{false, true} {
			got := through(test.passes+test.rest, oneByOne)
			if want := test.passes + refusal; got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

func TestNetHTTPAnswers400ToARefusedRequestAfterTheGoodOnes(t *testing.T) {
	served := 0
	l := pipenet.Listen()
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served++
		_, _ = io.Copy(io.Discard, r.Body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(framedListener{l}) }()
	defer func() { _ = server.Close(); <-done }()
	conn, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // the server reads no further than it must
		_, _ = io.WriteString(conn, chunkPost+sizedPost+"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+plainGet)
	}()
	all, _ := io.ReadAll(conn)
	if n := strings.Count(string(all), "HTTP/1.1 200 OK"); n != 2 || served != 2 || strings.Count(string(all), "HTTP/1.1 400 Bad Request") != 1 {
		t.Errorf("%d served, answers %q", served, all)
	}
}

// accepted returns where each request ends that net/http takes from r, which
// holds text, and whether one of them says its length twice.
func accepted(text []byte, r io.Reader) (ends []int, twice bool) {
	counting := &counter{Reader: r}
	in := bufio.NewReader(counting)
	start := 0
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return ends, twice
		}
		head, _, _ := bytes.Cut(text[start:], []byte("\r\n\r\n"))
		if shorter, _, ok := bytes.Cut(text[start:], []byte("\n\n")); ok && len(shorter) < len(head) {
			head = shorter
		}
		lines := "\n" + strings.ToLower(string(head))
		twice = twice || strings.Contains(lines, "\ncontent-length:") && strings.Contains(lines, "\ntransfer-encoding:") && req.TransferEncoding != nil
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return ends, twice
		}
		start = counting.n - in.Buffered()
		ends = append(ends, start)
	}
}

type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func FuzzFramingAgreesWithNetHTTP(f *testing.F) {
	for _, seed := range []string{
		plainGet + sizedPost + chunkPost,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0a ;x\r\n0123456789\r\n00\r\nA: b\r\n\r\n" + plainGet,
		"POST / HTTP/1.1\nHost: a\nContent-Length: 04\nContent-Length: 4\n\n1234" + plainGet,
		"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, piece uint8) {
		pieces := func() io.Reader { return &slicer{bytes.NewReader(text), int(piece) + 1} }
		ends, _ := accepted(text, pieces())
		var frames framing
		good := 0
		for buf := make([]byte, int(piece)+1); !frames.refused; {
			n, err := next(text, good, buf)
			if err != nil {
				break
			}
			good += frames.follow(buf[:n])
		}
		if _, twice := accepted(text, framed(wire{Reader: pieces()})); twice {
			t.Errorf("net/http took a request that says its length twice: %q", text)
		}
		if !frames.refused {
			return
		}
		// What was refused stands behind the requests that are good, or is itself
		// one that net/http would have taken but we do not.
		for _, end := range ends {
			if good < end && !suspicious(text[:end]) {
				t.Errorf("refused at %d of a request that is good up to %d: %q", good, end, text)
			}
		}
	})
}

// suspicious reports whether a text has something that we refuse and net/http
// does not.
func suspicious(text []byte) bool {
	s := strings.ToLower(string(text))
	return strings.Contains(s, "transfer-encoding") || strings.Contains(s, "\n ") || strings.Contains(s, "\n\t")
}

// next is a Read at a place of a text.
func next(text []byte, at int, buf []byte) (int, error) {
	if at >= len(text) {
		return 0, io.EOF
	}
	return copy(buf, text[at:]), nil
}

type slicer struct {
	*bytes.Reader
	n int
}

func (s *slicer) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.n)]) }
