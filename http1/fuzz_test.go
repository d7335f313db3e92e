package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/http1"
)

// script is a connection on which the server says what it says, in pieces of a
// certain size, whatever it is asked.
type script struct {
	net.Conn
	said  *bytes.Reader
	piece int
}

func (s *script) Read(p []byte) (int, error)       { return s.said.Read(p[:min(len(p), s.piece)]) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// hear returns what the lean client makes of a server's words.
func hear(t *testing.T, raw []byte, piece int) (seen, error) {
	t.Helper()
	lean := &http1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return &script{said: bytes.NewReader(raw), piece: piece}, nil
	}}
	defer lean.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://provider.example/", nil)
	resp, err := lean.RoundTrip(req)
	if err != nil {
		return seen{refused: true}, err
	}
	return look(resp)
}

func look(resp *http.Response) (seen, error) {
	defer resp.Body.Close()
	var body bytes.Buffer
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return seen{code: resp.StatusCode, status: resp.Status}, nil
	}
	_, err := io.Copy(&body, resp.Body)
	return seen{broken: err != nil, status: resp.Status, code: resp.StatusCode, proto: resp.Proto, header: resp.Header, coding: resp.TransferEncoding,
		length: resp.ContentLength, close: resp.Close, body: body.String(), trailer: resp.Trailer}, err
}

// standard returns what the standard library makes of it.
func standard(raw []byte) (seen, error) {
	in := bufio.NewReader(bytes.NewReader(raw))
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return seen{refused: true}, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols {
			return look(resp)
		}
	}
}

// compare asks for the same answer, or for a refusal: whatever we accept, the
// standard library accepts and reads in the same way.
func compare(t *testing.T, raw []byte, piece int) {
	got, gotErr := hear(t, raw, piece)
	if got.refused {
		if !errors.Is(gotErr, http1.ErrMalformed) && !errors.Is(gotErr, http1.ErrTooLarge) && !errors.Is(gotErr, io.EOF) && !errors.Is(gotErr, io.ErrUnexpectedEOF) {
			t.Fatalf("refused with an error of no kind: %v", gotErr)
		}
		return
	}
	want, wantErr := standard(raw)
	if got.broken {
		if !want.broken && !errors.Is(gotErr, http1.ErrMalformed) {
			t.Fatalf("broken without a reason: %v", gotErr)
		}
		return
	}
	if _, ok := want.header["Pragma"]; ok { // the standard library adds a field for it
		delete(want.header, "Cache-Control")
		delete(got.header, "Cache-Control")
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("of %.300q\ngot  %+v\nwant %+v %v", raw, got, want, wantErr)
	}
}

func FuzzResponse(f *testing.F) {
	for _, a := range answers() {
		if len(a.raw) < 10_000 {
			f.Add([]byte(a.raw), 1)
			f.Add([]byte(a.raw), 4096)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece int) { compare(t, raw, max(1, min(piece, 1<<16))) })
}

func FuzzChunked(f *testing.F) {
	start := head("Transfer-Encoding: chunked")
	for _, a := range answers() {
		if body, ok := strings.CutPrefix(a.raw, start); ok && len(body) < 10_000 {
			f.Add([]byte(body), 1)
			f.Add([]byte(body), 4096)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, piece int) {
		compare(t, append([]byte(start), body...), max(1, min(piece, 1<<16)))
	})
}

// told is a connection that remembers what it was told, and ends when the request
// has left.
type told struct {
	script
	heard *bytes.Buffer
	left  chan struct{}
}

func (c *told) Write(p []byte) (int, error) { return c.heard.Write(p) }
func (c *told) Read([]byte) (int, error)    { <-c.left; return 0, io.EOF }

// FuzzRequest asks that a request is refused, or that the server hears that
// request and nothing else, whatever stands in its parts.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "provider.example", "/a", "b=c", "X-A", "d", "body")
	f.Add("POST", "provider.example:8080", "/a b", "b=c d", "content-length", "5", "GET / HTTP/1.1\r\n\r\n")
	f.Add("POST /evil HTTP/1.1\r\nA:", "a\r\nB: c", "/\r\n", "\r\n", "X-A: b\r\nC", "d\r\nE: f", "")
	f.Add("PUT", "[::1%25en0]:80", "//host/path", "?", "TRANSFER-encoding", "chunked", "0\r\n\r\n")
	f.Add("PATCH", "me@provider.example", "*", "", "Connection", "close, X-A", "x")
	f.Fuzz(func(t *testing.T, method, host, path, query, name, value, body string) {
		var heard bytes.Buffer
		left := make(chan struct{})
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(left) }})
		lean := &http1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &told{heard: &heard, left: left}, nil
		}}
		req := &http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: "provider.example", Path: path, RawQuery: query}, Host: host,
			Header: http.Header{name: {value}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		if body == "" {
			req.Body = nil
		}
		_, err := lean.RoundTrip(req.WithContext(ctx))
		if err == nil {
			t.Fatal("an answer that nobody gave")
		}
		if errors.Is(err, http1.ErrRequest) {
			if heard.Len() > 0 {
				t.Fatalf("refused after %q was sent", heard.String())
			}
			return
		}
		onlyHeard(t, heard.Bytes(), req, name, body)
	})
}

// onlyHeard fails unless what was heard is the one request.
func onlyHeard(t *testing.T, heard []byte, req *http.Request, name, body string) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(heard))
	got, err := http.ReadRequest(in)
	if err != nil {
		if strings.HasPrefix(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid URI") {
			return // a target that Go's servers do not take, in its place
		}
		t.Fatalf("of %q a server makes: %v", heard, err)
	}
	text, err := io.ReadAll(got.Body)
	if string(text) != body || err != nil || in.Buffered() > 0 {
		t.Fatalf("of %q a server reads the body %q %v and %d bytes more", heard, text, err, in.Buffered())
	}
	method := req.Method
	if method == "" {
		method = "GET"
	}
	if got.Method != method {
		t.Fatalf("of %q a server makes a %s", heard, got.Method)
	}
	for field := range got.Header {
		if !strings.EqualFold(field, name) && field != "User-Agent" && field != "Content-Length" {
			t.Fatalf("of %q a server reads the field %s", heard, field)
		}
	}
}
