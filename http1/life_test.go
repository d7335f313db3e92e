package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/http1"
	"github.com/holdfast-gateway/holdfast/internal/pipenet"
)

// get asks, reads the answer to its end, and returns the connection that served.
func get(t *testing.T, client http.RoundTripper, url string) (on httptrace.GotConnInfo, body string) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { on = i }})
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	resp, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return on, string(text)
}

// open asks, and returns the answer before its body is read.
func open(t *testing.T, client http.RoundTripper, ctx context.Context, url string) *http.Response {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	resp, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })

func TestTheYoungestIdleConnectionServesNext(t *testing.T) {
	for name, stage := range stages(t, hello) {
		t.Run(name, func(t *testing.T) {
			client, at := stage()
			defer client.CloseIdleConnections()
			var last net.Conn
			answers := []*http.Response{open(t, client, t.Context(), at), open(t, client, t.Context(), at), open(t, client, t.Context(), at)}
			for _, resp := range answers {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			for range 5 {
				on, _ := get(t, client, at)
				if !on.Reused || !on.WasIdle || last != nil && on.Conn != last {
					t.Fatalf("got %+v, want the connection that served last", on)
				}
				last = on.Conn
			}
		})
	}
}

func TestIdleConnectionsAreClosedWhenTheirTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipenet.Listen()
		var states sync.Map
		server := &http.Server{Handler: hello, ConnState: func(c net.Conn, s http.ConnState) { states.Store(c, s) }}
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		open := func() (n int) {
			synctest.Wait()
			states.Range(func(_, s any) bool {
				if s != http.StateClosed {
					n++
				}
				return true
			})
			return n
		}
		client := &http1.Transport{DialContext: l.DialContext, IdleTimeout: time.Minute}
		get(t, client, "http://a")
		time.Sleep(40 * time.Second)
		get(t, client, "http://b")
		if n := open(); n != 2 {
			t.Fatalf("%d connections are open, want 2", n)
		}
		time.Sleep(21 * time.Second)
		if n := open(); n != 1 {
			t.Fatalf("%d connections are open when the first one's time is over, want 1", n)
		}
		time.Sleep(40 * time.Second)
		if n := open(); n != 0 {
			t.Fatalf("%d connections are open when everyone's time is over, want 0", n)
		}
	})
}

func TestIdleConnectionsThatTheServerClosedAreLetGoSoon(t *testing.T) {
	s := httptest.NewServer(hello)
	defer s.Close()
	client := &http1.Transport{}
	defer client.CloseIdleConnections()
	_, before := held()
	var answers []*http.Response
	for range 20 {
		answers = append(answers, openAt(t, client, s.URL))
	}
	for _, resp := range answers {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	eventually(t, "their descriptors are free", func() bool {
		s.Config.SetKeepAlivesEnabled(false) // closes the connections that the server sees idle by now
		s.Config.SetKeepAlivesEnabled(true)
		_, now := held()
		return now <= before
	})
	get(t, client, s.URL)
}

func TestNoMoreConnectionsAreKeptThanShallBe(t *testing.T) {
	var open atomic.Int64
	s := httptest.NewUnstartedServer(hello)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		switch st {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	s.Start()
	defer s.Close()
	for _, c := range []struct {
		client *http1.Transport
		want   int64
	}{{&http1.Transport{MaxIdlePerHost: 2}, 2}, {&http1.Transport{MaxIdle: 3}, 3}, {&http1.Transport{MaxIdlePerHost: -1}, 0}} {
		var answers []*http.Response
		for range 5 {
			answers = append(answers, openAt(t, c.client, s.URL))
		}
		for _, resp := range answers {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		eventually(t, fmt.Sprintf("%d connections are open", c.want), func() bool { return open.Load() == c.want })
		c.client.CloseIdleConnections()
		eventually(t, "none is", func() bool { return open.Load() == 0 })
	}
}

func openAt(t *testing.T, client http.RoundTripper, url string) *http.Response {
	t.Helper()
	return open(t, client, t.Context(), url)
}

func TestConnectionsInUseAreClosedAfterTheIdleOnesWere(t *testing.T) {
	s := httptest.NewServer(hello)
	defer s.Close()
	client := &http1.Transport{}
	leavesNothing(t, func() {
		resp := openAt(t, client, s.URL)
		client.CloseIdleConnections()
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	})
	get(t, client, s.URL) // and work goes on
	if on, _ := get(t, client, s.URL); !on.Reused {
		t.Error("connections are not kept any more")
	}
	client.CloseIdleConnections()
}

func TestAServerThatClosesIdleConnectionsLosesNoRepeatableRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go closeAtRandom(l)
	client := &http1.Transport{}
	defer client.CloseIdleConnections()
	total := 10_000
	if testing.Short() {
		total = 1000
	}
	var all sync.WaitGroup
	var reused, failed atomic.Int64
	for range 8 {
		all.Go(func() {
			trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
				if i.Reused {
					reused.Add(1)
				}
			}}
			for i := range total / 8 {
				req := request("GET", "http://"+l.Addr().String(), nil)
				if i%2 == 0 {
					req = request("POST", "http://"+l.Addr().String(), strings.NewReader("hello"), "Idempotency-Key", "k")
				}
				resp, err := client.RoundTrip(req.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
				if err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if failed.Load() > 0 || reused.Load() < int64(total)/4 {
		t.Errorf("%d failed, %d went over a used connection", failed.Load(), reused.Load())
	}
}

// closeAtRandom answers each connection's first request, and then closes it at
// some point of its next ones: at once, before reading, or while reading.
func closeAtRandom(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in := bufio.NewReader(c)
			for first := true; ; first = false {
				end := rand.IntN(6)
				if !first && end == 0 {
					return
				}
				if _, err := in.Peek(1); err != nil || !first && end == 1 {
					if end == 1 {
						_ = c.(*net.TCPConn).SetLinger(0)
					}
					return
				}
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				if !first && end == 2 {
					return
				}
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
					return
				}
			}
		}()
	}
}

func TestARequestThatMayHaveBeenReceivedIsNotSentTwice(t *testing.T) {
	cases := []struct {
		name   string
		method string
		header []string
		body   bool
		times  int64
	}{
		{"POST", "POST", nil, true, 1},
		{"POST without a body", "POST", nil, false, 1},
		{"POST with a key", "POST", []string{"Idempotency-Key", "k"}, true, 2},
		{"GET", "GET", nil, false, 2},
		{"DELETE", "DELETE", nil, false, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var received, sent atomic.Int64
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() { // answers a connection's first request and none after it
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						in := bufio.NewReader(conn)
						for i := range 2 {
							req, err := http.ReadRequest(in)
							if err != nil {
								return
							}
							_, _ = io.Copy(io.Discard, req.Body)
							if req.URL.Path == "/real" {
								received.Add(1)
							}
							if i == 0 && req.URL.Path != "/real" {
								_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
								continue
							}
							return
						}
					}()
				}
			}()
			client := &http1.Transport{}
			defer client.CloseIdleConnections()
			get(t, client, "http://"+l.Addr().String())
			var body io.Reader
			if c.body {
				body = strings.NewReader("hello")
			}
			req := request(c.method, "http://"+l.Addr().String()+"/real", body, c.header...)
			req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaders: func() { sent.Add(1) }}))
			if _, err := client.RoundTrip(req); !errors.Is(err, io.EOF) {
				t.Errorf("got %v, want an error that is io.EOF", err)
			}
			if received.Load() != c.times || sent.Load() != c.times {
				t.Errorf("received %d times, said to be sent %d times, want %d", received.Load(), sent.Load(), c.times)
			}
		})
	}
}

// deaf is a connection that stops to take anything when told so.
type deaf struct {
	net.Conn
	deaf *atomic.Bool
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.deaf.Load() {
		return 0, errors.New("broken pipe")
	}
	return d.Conn.Write(p)
}

func TestARequestOfWhichNothingWasSentIsSentAgainWhateverItIs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer s.Close()
	var first atomic.Bool
	client := &http1.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if first.Load() {
			return c, nil
		}
		return &deaf{c, &first}, nil
	}}
	defer client.CloseIdleConnections()
	get(t, client, s.URL)
	first.Store(true)
	resp, err := client.RoundTrip(request("POST", s.URL, strings.NewReader("hello")))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(got) != "hello" {
		t.Errorf("got %q", got)
	}
	get(t, client, s.URL)

	first.Store(false) // a body that cannot be had again
	client.CloseIdleConnections()
	get(t, client, s.URL)
	first.Store(true)
	told := false
	req := request("POST", s.URL, iotest.OneByteReader(strings.NewReader("hello")))
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaders: func() { told = true }}))
	if _, err := client.RoundTrip(req); err == nil || told {
		t.Errorf("got %v, said to be sent: %v; want the connection's error and nothing sent", err, told)
	}
}

func TestCancellationEndsARequestAtEveryMoment(t *testing.T) {
	cause := errors.New("the caller left")
	silent := func(t *testing.T) string { return listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) }
	cases := map[string]func(t *testing.T, ctx context.Context, cancel func()) error{
		"before": func(t *testing.T, ctx context.Context, cancel func()) error {
			cancel()
			return ask2(ctx, &http1.Transport{}, "http://"+silent(t), nil)
		},
		"while connecting": func(t *testing.T, ctx context.Context, cancel func()) error {
			return ask2(ctx, &http1.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}}, "http://provider.example", nil)
		},
		"while TLS is agreed on": func(t *testing.T, ctx context.Context, cancel func()) error {
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeStart: func() { go cancel() }})
			return ask2(ctx, &http1.Transport{}, "https://"+silent(t), nil)
		},
		"with a connection, before the request": func(t *testing.T, ctx context.Context, cancel func()) error {
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { cancel() }})
			return ask2(ctx, &http1.Transport{}, "http://"+silent(t), nil)
		},
		"while the request leaves": func(t *testing.T, ctx context.Context, cancel func()) error {
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { go cancel() }})
			unread := make(chan struct{})
			defer close(unread)
			at := listen(t, func(net.Conn) { <-unread })
			return ask2(ctx, &http1.Transport{}, "http://"+at, bytes.NewReader(make([]byte, 32<<20)))
		},
		"while the body is waited for": func(t *testing.T, ctx context.Context, cancel func()) error {
			r, w := io.Pipe()
			defer w.Close()
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { go cancel() }})
			return ask2(ctx, &http1.Transport{}, "http://"+silent(t), r)
		},
		"while 100 is waited for": func(t *testing.T, ctx context.Context, cancel func()) error {
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Wait100Continue: func() { go cancel() }})
			req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+silent(t), strings.NewReader("hello"))
			req.Header.Set("Expect", "100-continue")
			_, err := (&http1.Transport{ContinueTimeout: time.Hour}).RoundTrip(req)
			return err
		},
		"while the answer is waited for": func(t *testing.T, ctx context.Context, cancel func()) error {
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { go cancel() }})
			return ask2(ctx, &http1.Transport{}, "http://"+silent(t), strings.NewReader("hello"))
		},
		"within the answer's head": func(t *testing.T, ctx context.Context, cancel func()) error {
			at := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"); _, _ = io.Copy(io.Discard, c) })
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { go cancel() }})
			return ask2(ctx, &http1.Transport{}, "http://"+at, nil)
		},
		"within the body": func(t *testing.T, ctx context.Context, cancel func()) error {
			at := listen(t, func(c net.Conn) {
				_, _ = io.WriteString(c, head("Content-Length: 9")+"hello")
				_, _ = io.Copy(io.Discard, c)
			})
			resp := open(t, &http1.Transport{}, ctx, "http://"+at)
			defer resp.Body.Close()
			_, _ = io.ReadFull(resp.Body, make([]byte, 5))
			go cancel()
			_, err := resp.Body.Read(make([]byte, 5))
			return err
		},
		"within a chunk, nobody reading": func(t *testing.T, ctx context.Context, cancel func()) error {
			gone := make(chan struct{})
			at := listen(t, func(c net.Conn) {
				_, _ = io.WriteString(c, chunkedBody("9\r\nhello"))
				_, _ = io.Copy(io.Discard, c)
				close(gone)
			})
			resp := open(t, &http1.Transport{}, ctx, "http://"+at)
			defer resp.Body.Close()
			cancel()
			<-gone // the server hears of it, though the body is neither read nor closed
			_, err := io.ReadAll(resp.Body)
			return err
		},
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t, func() {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if err := f(t, ctx, func() { cancel(cause) }); !errors.Is(err, cause) {
					t.Errorf("got %v, want the cause", err)
				}
				for _, c := range closers(t) {
					c()
				}
			})
		})
	}
}

// ask2 asks, and returns what went wrong.
func ask2(ctx context.Context, client *http1.Transport, url string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, "POST", url, body)
	if err != nil {
		return err
	}
	resp, err := client.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

var listeners sync.Map

// listen gives each connection to f and closes it after. closers closes what a
// test listens to.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := listeners.LoadOrStore(t.Name(), &[]func(){})
	list := mine.(*[]func())
	*list = append(*list, func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return l.Addr().String()
}

func closers(t *testing.T) []func() {
	mine, ok := listeners.Load(t.Name())
	if !ok {
		return nil
	}
	return *mine.(*[]func())
}

func TestAStormOfCancellationsLeavesNothingBehind(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for range 20 {
			if _, err := io.WriteString(w, strings.Repeat("x", 500)); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	})
	for name, stage := range stages(t, handler) {
		t.Run(name, func(t *testing.T) {
			client, at := stage()
			get(t, client, at)
			client.CloseIdleConnections()
			cause := errors.New("left")
			leavesNothing(t, func() {
				var all sync.WaitGroup
				var finished atomic.Int64
				for i := range 16 {
					all.Go(func() {
						rnd := rand.New(rand.NewPCG(1, uint64(i)))
						for range 30 {
							ctx, cancel := context.WithCancelCause(t.Context())
							timer := time.AfterFunc(time.Duration(rnd.IntN(30_000))*time.Microsecond, func() { cancel(cause) })
							body := bytes.NewReader(make([]byte, rnd.IntN(100_000)))
							req, _ := http.NewRequestWithContext(ctx, "POST", at, body)
							resp, err := client.RoundTrip(req)
							if err == nil {
								_, err = io.Copy(io.Discard, resp.Body)
								resp.Body.Close()
							}
							if err == nil {
								finished.Add(1)
							} else if !errors.Is(err, cause) {
								t.Errorf("got %v, want the cause", err)
							}
							timer.Stop()
							cancel(nil)
						}
					})
				}
				all.Wait()
				t.Logf("%d of 480 finished", finished.Load())
				client.CloseIdleConnections()
			})
		})
	}
}

func TestABodyThatIsClosedEarlyLeavesAUsefulConnectionOrNone(t *testing.T) {
	cases := []struct {
		name string
		raw  string // the rest of it stays away
		kept bool
	}{
		{"all of it has come", head("Content-Length: 5") + "hello", true},
		{"all chunks have come", chunkedBody("5\r\nhello\r\n0\r\n\r\n"), true},
		{"much has come", head("Content-Length: 100000") + strings.Repeat("x", 100_000), true},
		{"the rest stays away", head("Content-Length: 6") + "hello", false},
		{"chunks stay away", chunkedBody("5\r\nhello\r\n"), false},
		{"the rest is too long", head("Content-Length: 10000000") + "hello", false},
		{"it closes", head("Connection: close", "Content-Length: 5") + "hello", false},
		{"more came", head("Content-Length: 5") + "hello, world", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			leavesNothing(t, func() {
				at := listen(t, func(conn net.Conn) {
					in := bufio.NewReader(conn)
					for {
						if _, err := http.ReadRequest(in); err != nil {
							return
						}
						_, _ = io.WriteString(conn, c.raw)
					}
				})
				client := &http1.Transport{}
				resp := openAt(t, client, "http://"+at)
				_, _ = io.ReadFull(resp.Body, make([]byte, 1))
				if err := errors.Join(resp.Body.Close(), resp.Body.Close()); err != nil {
					t.Errorf("closing twice: %v", err)
				}
				if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http1.ErrBodyClosed) {
					t.Errorf("a read after Close: %v", err)
				}
				var on httptrace.GotConnInfo
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { on = i }})
				next := open(t, client, ctx, "http://"+at)
				next.Body.Close()
				if on.Reused != c.kept {
					t.Errorf("the connection was kept: %v, want %v", on.Reused, c.kept)
				}
				client.CloseIdleConnections()
				for _, c := range closers(t) {
					c()
				}
			})
		})
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	for name, stage := range stages(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})) {
		t.Run(name, func(t *testing.T) {
			client, at := stage()
			resp := openAt(t, client, at)
			_, _ = io.ReadFull(resp.Body, make([]byte, 5))
			read := make(chan error)
			go func() { _, err := resp.Body.Read(make([]byte, 5)); read <- err }()
			resp.Body.Close()
			if err := <-read; err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the read returned %v, want an error", err)
			}
		})
	}
}

func TestWhatCameTogetherIsReadTogetherAndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipenet.Listen()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = http.ReadRequest(bufio.NewReader(c))
			for i, piece := range []string{head("Transfer-Encoding: chunked"), "1\r\na\r\n2\r\nbc\r\n", "3\r\nd", "ef\r\n", "2\r\ngh\r\n0\r\n\r\n"} {
				if i > 0 {
					time.Sleep(time.Second)
				}
				_, _ = io.WriteString(c, piece)
			}
		}()
		client := &http1.Transport{DialContext: l.DialContext}
		resp := openAt(t, client, "http://a")
		began, p := time.Now(), make([]byte, 100)
		for i, want := range []string{"abc", "d", "ef", "gh"} {
			n, err := resp.Body.Read(p)
			if string(p[:n]) != want || time.Since(began) != time.Duration(i+1)*time.Second || (err != nil) != (want == "gh") {
				t.Fatalf("read %q %v after %v, want %q after %d s", p[:n], err, time.Since(began), want, i+1)
			}
		}
		client.CloseIdleConnections()
	})
}

func TestAnAnswerThatTricklesIsReadAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, a := range answers() {
			if len(a.raw) > 400 || a.method != "" || a.stricter != "" {
				continue
			}
			l, over := pipenet.Listen(), make(chan struct{})
			go func() {
				defer close(over)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				for i := range len(a.raw) {
					time.Sleep(time.Second)
					if _, err := io.WriteString(c, a.raw[i:i+1]); err != nil {
						return
					}
				}
			}()
			client := &http1.Transport{DialContext: l.DialContext}
			var got seen
			resp, err := client.RoundTrip(request("GET", "http://a", nil))
			if err != nil {
				got.refused = true
			} else {
				got, _ = look(resp)
			}
			want, _ := hear(t, []byte(a.raw), 1<<20)
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s:\ngot  %+v\nwant %+v", a.name, got, want)
			}
			client.CloseIdleConnections()
			<-over
		}
	})
}

func TestTLSIsAgreedOnForTheHostAndForHTTP1(t *testing.T) {
	var resumed atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			resumed.Add(1)
		}
		fmt.Fprint(w, r.Proto, " ", r.TLS.NegotiatedProtocol, " ", r.TLS.ServerName)
	}))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail, as they should
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig
	client := &http1.Transport{TLS: roots, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	for range 2 {
		on, body := get(t, client, "https://example.com")
		if body != "HTTP/1.1 http/1.1 example.com" {
			t.Fatalf("the server saw %q", body)
		}
		if _, ok := on.Conn.(*tls.Conn); !ok {
			t.Errorf("got a %T", on.Conn)
		}
		client.CloseIdleConnections()
	}
	if resumed.Load() != 1 {
		t.Errorf("%d sessions were resumed, want 1", resumed.Load())
	}
	resp := openAt(t, client, "https://example.com")
	resp.Body.Close()
	if resp.TLS == nil || resp.TLS.ServerName != "example.com" {
		t.Errorf("the answer says of its TLS %+v", resp.TLS)
	}
	client.CloseIdleConnections()

	var wrong *tls.CertificateVerificationError
	if _, err := client.RoundTrip(request("GET", "https://other.example", nil)); !errors.As(err, &wrong) {
		t.Errorf("for a host that is not the certificate's: %v", err)
	}
	if _, err := (&http1.Transport{}).RoundTrip(request("GET", s.URL, nil)); !errors.As(err, &wrong) {
		t.Errorf("with roots that do not know the server: %v", err)
	}
}

func TestAHandshakeThatTakesTooLongIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipenet.Listen()
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = io.Copy(io.Discard, c)
			}
		}()
		client, began := &http1.Transport{DialContext: l.DialContext}, time.Now()
		_, err := client.RoundTrip(request("GET", "https://a", nil))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// fallback remembers whom it was asked for.
type fallback []string

func (f *fallback) RoundTrip(r *http.Request) (*http.Response, error) {
	*f = append(*f, r.Method+" "+r.URL.Host)
	return nil, errors.New("fallback")
}

func TestWhatThisPackageDoesNotDoGoesToTheFallback(t *testing.T) {
	var f fallback
	client := &http1.Transport{Fallback: &f, Proxy: func(r *http.Request) (*url.URL, error) {
		switch r.URL.Host {
		case "direct.example":
			return nil, nil
		case "bad.example":
			return nil, errors.New("no such proxy")
		}
		return url.Parse("http://proxy.example")
	}, DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialed") }}
	for _, c := range []struct{ method, url, want string }{
		{"GET", "http://direct.example", "dialed"},
		{"GET", "http://bad.example", "no such proxy"},
		{"GET", "http://far.example", "fallback"},
		{"CONNECT", "http://direct.example", "fallback"},
		{"GET", "http://schön.example", "fallback"},
	} {
		if _, err := client.RoundTrip(request(c.method, c.url, nil)); err == nil || err.Error() != c.want {
			t.Errorf("%s %s: got %v, want %s", c.method, c.url, err, c.want)
		}
	}
	if len(f) != 3 {
		t.Errorf("the fallback was asked for %q", f)
	}
}

func TestAnOpenAnswerHoldsNoGoroutine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	client := &http1.Transport{}
	resp, err := client.RoundTrip(request("POST", s.URL, strings.NewReader("hello")))
	if err != nil {
		t.Fatal(err)
	}
	stacks := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "holdfast/http1.") {
			t.Errorf("a goroutine works for the open answer:\n%s", stack)
		}
	}
	resp.Body.Close()
}

func TestARequestAllocatesLittle(t *testing.T) {
	raw := []byte(head("Content-Type: application/json", "X-Request-Id: r", "Date: today", "Content-Length: 2") + "hi")
	conn := &script{said: bytes.NewReader(raw), piece: 1 << 20}
	client := &http1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	req, p := request("GET", "http://provider.example/v1/chat/completions", nil), make([]byte, 4096)
	got := testing.AllocsPerRun(100, func() {
		_, _ = conn.said.Seek(0, io.SeekStart)
		resp, err := client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(p)
		}
	})
	if got > 16 { // some for the goroutine that a connection without buffers needs, some for pools under -race
		t.Errorf("%v allocations for a request and its answer, want at most 16", got)
	}
}
