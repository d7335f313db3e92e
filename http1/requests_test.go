package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/holdfast-gateway/holdfast/http1"
	"github.com/holdfast-gateway/holdfast/internal/pipenet"
)

// question is a request, made anew for each client.
type question struct {
	name string
	make func(at string) *http.Request
}

func request(method, url string, body io.Reader, header ...string) *http.Request {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	return req
}

func questions() []question {
	plain := func(method, path string, body func() io.Reader, header ...string) func(string) *http.Request {
		return func(at string) *http.Request {
			var b io.Reader
			if body != nil {
				b = body()
			}
			return request(method, at+path, b, header...)
		}
	}
	text := func(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }
	change := func(f func(*http.Request)) func(string) *http.Request {
		return func(at string) *http.Request {
			req := request("POST", at+"/p", strings.NewReader("body"))
			f(req)
			return req
		}
	}
	return []question{
		{"GET", plain("GET", "/a/b", nil)},
		{"GET without a path", plain("GET", "", nil)},
		{"GET with a query", plain("GET", "/a?b=c&d=%20", nil)},
		{"GET with an empty query", plain("GET", "/a?", nil)},
		{"GET with an escaped path", plain("GET", "/a%2Fb/sch%C3%B6n/c d", nil)},
		{"GET with a fragment", plain("GET", "/a#b", nil)},
		{"HEAD", plain("HEAD", "/", nil)},
		{"DELETE", plain("DELETE", "/x", nil)},
		{"OPTIONS", plain("OPTIONS", "/x", nil)},
		{"a method of one's own", plain("PURGE", "/x", nil)},
		{"POST with a body", plain("POST", "/x", text("hello"), "Content-Type", "text/plain")},
		{"POST with an empty body", plain("POST", "/x", text(""))},
		{"POST without a body", plain("POST", "/x", nil)},
		{"PUT without a body", plain("PUT", "/x", nil)},
		{"PATCH without a body", plain("PATCH", "/x", nil)},
		{"GET with a body", plain("GET", "/x", text("hello"))},
		{"DELETE with a body", plain("DELETE", "/x", text("hello"))},
		{"a body of unknown length", plain("POST", "/x", func() io.Reader { return iotest.OneByteReader(strings.NewReader("hello")) })},
		{"many headers", plain("GET", "/", nil, "B", "1", "A", "2", "C", "3", "A", "4", "X-Empty", "")},
		{"a header with spaces around", plain("GET", "/", nil, "A", "  b\t")},
		{"a header in lower case", plain("GET", "/", nil, "x-a", "b")},
		{"a header in UTF-8", plain("GET", "/", nil, "X-A", "schön")},
		{"a user agent", plain("GET", "/", nil, "User-Agent", "me/1")},
		{"no user agent", plain("GET", "/", nil, "User-Agent", "")},
		{"headers that frame", plain("POST", "/", text("hello"), "Content-Length", "3", "Transfer-Encoding", "chunked", "Host", "other.example", "Trailer", "X-A")},
		{"Connection: close in the header", plain("GET", "/", nil, "Connection", "close")},
		{"Accept-Encoding", plain("GET", "/", nil, "Accept-Encoding", "identity")},
		{"another host", change(func(r *http.Request) { r.Host = "other.example:81" })},
		{"no method", change(func(r *http.Request) { r.Method, r.Body, r.ContentLength = "", nil, 0 })},
		{"close", change(func(r *http.Request) { r.Close = true })},
		{"http.NoBody", change(func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 })},
		{"a user in the URL", change(func(r *http.Request) { r.URL.User = url.UserPassword("me", "secret") })},
		{"an opaque URL", change(func(r *http.Request) { r.URL.Opaque = "/opaque%2Fpath" })},
		{"a length without GetBody", change(func(r *http.Request) { r.GetBody = nil })},
		{"a trailer", change(func(r *http.Request) {
			r.ContentLength, r.GetBody = -1, nil
			r.Trailer = http.Header{"X-Sum": {"1"}, "X-Other": {"2"}}
		})},
	}
}

// heard is what a server heard of a request: its lines but the order of the
// fields, its body and its trailer.
func heardFrom(t *testing.T, client http.RoundTripper, q question) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			heard <- err.Error()
			return
		}
		defer c.Close()
		var raw bytes.Buffer
		req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
		if err != nil {
			heard <- err.Error()
			return
		}
		body, err := io.ReadAll(req.Body)
		top, _, _ := strings.Cut(raw.String(), "\r\n\r\n")
		lines := strings.Split(strings.ReplaceAll(top, l.Addr().String(), "HOST"), "\r\n")
		slices.Sort(lines[1:])
		heard <- fmt.Sprintf("%s\n%q %v %v", strings.Join(lines, "\n"), body, err, req.Trailer)
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	}()
	resp, err := client.RoundTrip(q.make("http://" + l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return <-heard
}

func TestRequestsAreWrittenAsTheStandardLibraryWritesThem(t *testing.T) {
	standard := &http.Transport{DisableCompression: true}
	lean := &http1.Transport{}
	for _, q := range questions() {
		t.Run(q.name, func(t *testing.T) {
			want, got := heardFrom(t, standard, q), heardFrom(t, lean, q)
			// The standard library names announced trailers in an order of its own.
			if got != want && strings.ReplaceAll(want, "X-Sum,X-Other", "X-Other,X-Sum") != got {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestRequestsThatWouldBreakOutOfTheirLineAreRefusedBeforeAnythingIsDone(t *testing.T) {
	cases := []question{
		{"a line break in a value", func(at string) *http.Request { return request("GET", at, nil, "A", "b\r\nC: d") }},
		{"a CR in a value", func(at string) *http.Request { return request("GET", at, nil, "A", "b\rC") }},
		{"a NUL in a value", func(at string) *http.Request { return request("GET", at, nil, "A", "b\x00") }},
		{"a line break in a name", func(at string) *http.Request { return request("GET", at, nil, "A: b\r\nC", "d") }},
		{"a space in a name", func(at string) *http.Request { return request("GET", at, nil, "A B", "d") }},
		{"a colon in a name", func(at string) *http.Request { return request("GET", at, nil, "A:", "d") }},
		{"an empty name", func(at string) *http.Request { return request("GET", at, nil, "", "d") }},
		{"a name that is not ASCII", func(at string) *http.Request { return request("GET", at, nil, "Schön", "d") }},
		{"a line break in the user agent", func(at string) *http.Request { return request("GET", at, nil, "User-Agent", "a\nb: c") }},
		{"a space in the method", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.Method = "GET /evil HTTP/1.1\r\nA: "
			return r
		}},
		{"a space in the query", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.URL.RawQuery = "a HTTP/1.1\r\nB: c"
			return r
		}},
		{"a line break in an opaque URL", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.URL.Opaque = "/a\r\nB: c"
			return r
		}},
		{"a line break in the host", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.Host = "a\r\nB: c"
			return r
		}},
		{"a user in the host", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.Host = "me@provider.example"
			return r
		}},
		{"a path in the host", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.Host = "provider.example/path"
			return r
		}},
		{"a host that is not ASCII", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.Host = "schön.example"
			return r
		}},
		{"no host", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.URL.Host, r.Host = "", ""
			return r
		}},
		{"another scheme", func(string) *http.Request { return request("GET", "ftp://provider.example/", nil) }},
		{"CONNECT", func(at string) *http.Request { return request("CONNECT", at, nil) }},
		{"no URL", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.URL = nil
			return r
		}},
		{"no header", func(at string) *http.Request {
			r := request("GET", at, nil)
			r.Header = nil
			return r
		}},
		{"a length and no body", func(at string) *http.Request {
			r := request("POST", at, nil)
			r.ContentLength = 5
			return r
		}},
		{"a trailer that would frame", func(at string) *http.Request {
			r := request("POST", at, iotest.OneByteReader(strings.NewReader("x")))
			r.Trailer = http.Header{"Content-Length": {"5"}}
			return r
		}},
		{"a trailer with a bad name", func(at string) *http.Request {
			r := request("POST", at, iotest.OneByteReader(strings.NewReader("x")))
			r.Trailer = http.Header{"A B": {"5"}}
			return r
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			lean := &http1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				t.Error("a connection was made")
				return nil, errors.New("no")
			}}
			req, closed := c.make("http://provider.example/"), &atomic.Bool{}
			if req.Body != nil {
				req.Body = &watched{Reader: req.Body, closed: closed}
			}
			if _, err := lean.RoundTrip(req); !errors.Is(err, http1.ErrRequest) {
				t.Fatalf("got %v, want ErrRequest", err)
			}
			if req.Body != nil && !closed.Load() {
				t.Error("the body was not closed")
			}
		})
	}
}

// watched is a body that remembers that it was closed.
type watched struct {
	io.Reader
	closed *atomic.Bool
}

func (w *watched) Close() error { w.closed.Store(true); return nil }

// stages are the connections a request may have to leave by: a socket, TLS, and
// one without any buffer.
func stages(t *testing.T, h http.Handler) map[string]func() (client *http1.Transport, at string) {
	return map[string]func() (*http1.Transport, string){
		"tcp": func() (*http1.Transport, string) {
			s := httptest.NewServer(h)
			t.Cleanup(s.Close)
			return &http1.Transport{}, s.URL
		},
		"tls": func() (*http1.Transport, string) {
			s := httptest.NewUnstartedServer(h)
			s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that were cancelled
			s.StartTLS()
			t.Cleanup(s.Close)
			return &http1.Transport{TLS: s.Client().Transport.(*http.Transport).TLSClientConfig}, s.URL
		},
		"pipe": func() (*http1.Transport, string) {
			l := pipenet.Listen()
			s := &http.Server{Handler: h}
			go func() { _ = s.Serve(l) }()
			t.Cleanup(func() { _ = s.Close() })
			return &http1.Transport{DialContext: l.DialContext}, "http://pipe"
		},
	}
}

// bodies are the ways in which a body may come to us.
var bodies = map[string]func(req *http.Request, text []byte){
	"bytes": func(req *http.Request, text []byte) {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(text))
	},
	"parts": func(req *http.Request, text []byte) {
		half := len(text) / 2
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(text[:half]), bytes.NewReader(text[half:]))), nil
		}
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(text))
	},
	"a reader with a length": func(req *http.Request, text []byte) {
		req.Body, req.ContentLength = io.NopCloser(iotest.HalfReader(bytes.NewReader(text))), int64(len(text))
	},
	"a reader without a length": func(req *http.Request, text []byte) {
		req.Body, req.ContentLength = io.NopCloser(iotest.HalfReader(bytes.NewReader(text))), -1
	},
	"a writer without a length": func(req *http.Request, text []byte) {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(text)), -1
	},
	"after 100": func(req *http.Request, text []byte) {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		req.Header.Set("Expect", "100-continue")
	},
}

func TestBodiesOfEverySizeArriveHoweverTheyCome(t *testing.T) {
	var connections atomic.Int64
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	})
	for name, stage := range stages(t, echo) {
		client, at := stage()
		for kind, set := range bodies {
			t.Run(name+"/"+kind, func(t *testing.T) {
				for _, size := range []int{1, 2000, 32 << 10, 33 << 10, 64<<10 + 1, 3 << 20} {
					text := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
						if !i.Reused {
							connections.Add(1)
						}
					}})
					req, _ := http.NewRequestWithContext(ctx, "POST", at, nil)
					set(req, text)
					resp, err := client.RoundTrip(req)
					if err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
					got, err := io.ReadAll(resp.Body)
					if want := fmt.Sprintf("%d %x <nil>", size, sha256.Sum256(text)); string(got) != want || err != nil {
						t.Fatalf("%d bytes: got %q %v, want %q", size, got, err, want)
					}
				}
			})
		}
		client.CloseIdleConnections()
	}
	if n := connections.Load(); n > 3 {
		t.Errorf("%d connections were made, want one for each stage", n)
	}
}

func TestABodyThatIsNotWhatItSaidEndsTheRequest(t *testing.T) {
	own := errors.New("the disk is gone")
	cases := map[string]struct {
		body io.Reader
		mem  bool
		want string
	}{
		"too short":                {strings.NewReader("hi"), false, "shorter"},
		"too long":                 {strings.NewReader("hello, world"), false, "longer"},
		"too short, in memory":     {strings.NewReader("hi"), true, "shorter"},
		"too long, in memory":      {strings.NewReader("hello, world"), true, "longer"},
		"a fault of its own":       {io.MultiReader(strings.NewReader("hi"), iotest.ErrReader(own)), false, own.Error()},
		"a fault of its own first": {iotest.ErrReader(own), false, own.Error()},
	}
	for name, stage := range stages(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })) {
		client, at := stage()
		for what, c := range cases {
			t.Run(name+"/"+what, func(t *testing.T) {
				body := c.body
				if r, ok := body.(*strings.Reader); ok {
					_, _ = r.Seek(0, io.SeekStart)
				}
				req := request("POST", at, nil)
				closed := &atomic.Bool{}
				req.Body, req.ContentLength = &watched{body, closed}, 5
				if c.mem {
					req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body), nil }
				}
				resp, err := client.RoundTrip(req)
				if err == nil { // it was all there, and more: the server had answered
					resp.Body.Close()
				}
				if c.want != "longer" && (err == nil || !strings.Contains(err.Error(), c.want)) || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %q in it", err, c.want)
				}
				eventually(t, "the body is closed", closed.Load)
			})
		}
		client.CloseIdleConnections()
	}
}

func TestTheAnswerToAnUnsentRequestIsHeard(t *testing.T) {
	// What the server does after it has answered, without reading the body.
	over := make(chan struct{})
	defer close(over)
	after := map[string]func(c net.Conn){
		"and the server closes":       func(c net.Conn) {},
		"and the server never reads":  func(c net.Conn) { <-over },
		"and the server reads it all": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	}
	for what, then := range after {
		t.Run(what, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						in := bufio.NewReader(c)
						for line, err := in.ReadString('\n'); err == nil && line != "\r\n"; line, err = in.ReadString('\n') {
						}
						_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
						_ = c.(*net.TCPConn).CloseWrite()
						then(c)
					}()
				}
			}()
			client := &http1.Transport{}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body := bytes.Repeat([]byte("x"), 32<<20)
			req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+l.Addr().String(), bytes.NewReader(body))
			resp, err := client.RoundTrip(req)
			if err != nil {
				if what == "and the server closes" { // with bytes unread the system may throw the answer away
					return
				}
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 413 || string(got) != "no" || err != nil {
				t.Fatalf("got %d %q %v", resp.StatusCode, got, err)
			}
		})
	}
}

func TestABodyWaitsForTheServersWord(t *testing.T) {
	cases := []struct {
		name    string
		handler http.HandlerFunc
		status  int
		read    bool // the body was asked of its reader
		told    bool // 100 came
	}{
		{"the server wants it", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, 200, true, true},
		{"the server refuses it", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 401) }, 401, false, false},
	}
	for name, stage := range stages(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range cases {
			if r.URL.Path[1:] == strings.ReplaceAll(c.name, " ", "-") {
				c.handler(w, r)
			}
		}
	})) {
		client, at := stage()
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				var read, closed, told, waited atomic.Bool
				body := readerFunc(func(p []byte) (int, error) {
					if read.Swap(true) {
						return 0, io.EOF
					}
					return copy(p, "hello"), nil
				})
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got100Continue: func() { told.Store(true) }, Wait100Continue: func() { waited.Store(true) },
				})
				req, _ := http.NewRequestWithContext(ctx, "POST", at+"/"+strings.ReplaceAll(c.name, " ", "-"), nil)
				req.Body, req.ContentLength = &watched{body, &closed}, 5
				req.Header.Set("Expect", "100-continue")
				resp, err := client.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				eventually(t, "the body is closed", closed.Load)
				if resp.StatusCode != c.status || read.Load() != c.read || told.Load() != c.told || !waited.Load() {
					t.Errorf("got %d, body read %v, told %v, waited %v", resp.StatusCode, read.Load(), told.Load(), waited.Load())
				}
			})
		}
		client.CloseIdleConnections()
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestInformationalAnswersAreToldAndMayEndTheRequest(t *testing.T) {
	raw := "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	enough := errors.New("enough")
	for _, limit := range []int{10, 1} {
		var told []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			told = append(told, fmt.Sprint(code, h))
			if len(told) > limit {
				return enough
			}
			return nil
		}})
		client := &http1.Transport{}
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+serveRaw(t, raw), nil)
		resp, err := client.RoundTrip(req)
		if limit == 1 {
			if !errors.Is(err, enough) {
				t.Errorf("got %v, want the hook's error", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := []string{"103 map[Link:[a]]", "102 map[]"}; !slices.Equal(told, want) || resp.StatusCode != 200 {
			t.Errorf("told %q, then %d; want %q, then 200", told, resp.StatusCode, want)
		}
		client.CloseIdleConnections()
	}
}

func TestAConnectionThatSwitchesProtocolsIsTheCallers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nWELCOME ")
		for line, err := in.ReadString(' '); err == nil; line, err = in.ReadString(' ') {
			_, _ = io.WriteString(c, strings.ToUpper(line))
		}
	}()
	client := &http1.Transport{}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+l.Addr().String(), nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "shout")
	resp, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the connection is ours now, the request is over
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "shout" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	talk := resp.Body.(io.ReadWriteCloser)
	if _, err := io.WriteString(talk, "hello you "); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("WELCOME HELLO YOU "))
	if _, err := io.ReadFull(talk, got); err != nil || string(got) != "WELCOME HELLO YOU " {
		t.Fatalf("got %q %v", got, err)
	}
	if err := errors.Join(talk.Close(), talk.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := talk.Read(got); err == nil {
		t.Error("a read after Close succeeded")
	}
}
