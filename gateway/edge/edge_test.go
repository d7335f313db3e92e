package edge_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/edge"
	"github.com/holdfast-gateway/holdfast/internal/pipenet"
)

// upstream is a Transport made of a function.
type upstream func(*http.Request) (*http.Response, error)

func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) { return u(r) }

// answer is what a provider that works says.
func answer(status int, header http.Header, body io.Reader) *http.Response {
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	closer, ok := body.(io.ReadCloser)
	if !ok {
		closer = io.NopCloser(body)
	}
	return &http.Response{StatusCode: status, Header: header, Body: closer, ContentLength: -1}
}

func well(*http.Request) (*http.Response, error) {
	return answer(http.StatusOK, nil, strings.NewReader(`{"ok":true}`)), nil
}

// events is a body that a test writes piece by piece.
type events struct {
	pieces chan string // closed: the end
	err    error       // told at the end instead of io.EOF
	closed chan struct{}
	ctx    context.Context // of the request: ends the body, as a Transport's does
}

func newEvents() *events { return &events{pieces: make(chan string), closed: make(chan struct{})} }

func (e *events) Read(p []byte) (int, error) {
	select {
	case piece, more := <-e.pieces:
		if !more {
			if e.err != nil {
				return 0, e.err
			}
			return 0, io.EOF
		}
		return copy(p, piece), nil
	case <-e.closed:
		return 0, errors.New("read after close")
	case <-e.ctx.Done():
		return 0, e.ctx.Err()
	}
}

func (e *events) Close() error {
	close(e.closed) // twice would panic: a body is closed once
	return nil
}

func stream(e *events) upstream {
	return func(r *http.Request) (*http.Response, error) {
		e.ctx = r.Context()
		return answer(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, e), nil
	}
}

// inside runs test in a bubble with a client of a Handler.
func inside(t *testing.T, c edge.Config, test func(t *testing.T, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, stop := pipenet.Serve(edge.New(c))
		defer stop()
		test(t, client)
	})
}

// serve returns a client of a Handler, both of the bubble that t runs in.
func serve(t *testing.T, c edge.Config) *http.Client {
	t.Helper()
	client, stop := pipenet.Serve(edge.New(c))
	t.Cleanup(stop)
	return client
}

func limit(bytes int64) func() int64 { return func() int64 { return bytes } }

const base = "http://gateway.test"

func post(t *testing.T, client *http.Client, path, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return do(t, client, req)
}

func do(t *testing.T, client *http.Client, req *http.Request) *http.Response {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTheTransportGetsARequestThatCanBeSentAgain(t *testing.T) {
	var got *http.Request
	var first, second string
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) {
		got = r
		content, _ := io.ReadAll(r.Body)
		first = string(content)
		again, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		content, _ = io.ReadAll(again)
		second = string(content)
		return well(r)
	})}
	inside(t, c, func(t *testing.T, client *http.Client) {
		post(t, client, "/v1/chat/completions?a=1&b=%20", `{"model":"m"}`, "Connection", "x-mine, close", "X-Mine", "1", "Keep-Alive", "5", "Te", "trailers", "X-Kept", "1")
		switch {
		case first != `{"model":"m"}` || second != first:
			t.Errorf("bodies %q and %q", first, second)
		case got.URL.String() != "http://holdfast.invalid/v1/chat/completions?a=1&b=%20":
			t.Errorf("address %s", got.URL)
		case got.ContentLength != 13:
			t.Errorf("length %d, want 13", got.ContentLength)
		}
		for _, name := range []string{"Connection", "X-Mine", "Keep-Alive", "Te"} {
			if got.Header.Get(name) != "" {
				t.Errorf("%s went on to the transport", name)
			}
		}
		if got.Header.Get("X-Kept") != "1" {
			t.Error("X-Kept did not")
		}
	})
}

func TestAnEscapedPathStaysAsItWasWritten(t *testing.T) {
	var path string
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) {
		path = r.URL.EscapedPath()
		return well(r)
	})}
	inside(t, c, func(t *testing.T, client *http.Client) {
		post(t, client, "/v1//files/a%2Fb/../c", "{}")
		if path != "/v1//files/a%2Fb/../c" {
			t.Errorf("got %s", path)
		}
	})
}

func TestConnectionHeadersAndTrailersOfTheAnswerStopHere(t *testing.T) {
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) {
		resp := answer(http.StatusTeapot, http.Header{
			"Connection": {"X-Private"}, "X-Private": {"1"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"X-Late"},
			"X-Holdfast-Attempts": {"2"}, "Set-Cookie": {"a", "b"},
		}, strings.NewReader("short and stout"))
		resp.Trailer = http.Header{"X-Late": {"1"}}
		return resp, nil
	})}
	inside(t, c, func(t *testing.T, client *http.Client) {
		resp := post(t, client, "/v1/chat/completions", "{}")
		if body := text(t, resp); body != "short and stout" || resp.StatusCode != http.StatusTeapot {
			t.Errorf("got %d %q", resp.StatusCode, body)
		}
		if resp.Header.Get("X-Private") != "" || len(resp.Trailer) != 0 {
			t.Errorf("private headers %v, trailers %v", resp.Header, resp.Trailer)
		}
		if resp.Header.Get("X-Holdfast-Attempts") != "2" || len(resp.Header["Set-Cookie"]) != 2 {
			t.Errorf("headers lost: %v", resp.Header)
		}
	})
}

func TestEventsLeaveWhenTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		client := serve(t, edge.Config{Transport: stream(e)})
		resp := post(t, client, "/v1/chat/completions", "{}") // the headers are here before any event
		buffer := make([]byte, 100)
		for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
			e.pieces <- event
			n, err := resp.Body.Read(buffer)
			if err != nil || string(buffer[:n]) != event {
				t.Fatalf("got %q, %v; want %q before the next is made", buffer[:n], err, event)
			}
			time.Sleep(5 * time.Minute) // no clock of the edge ends a silent stream
		}
		close(e.pieces)
		if rest := text(t, resp); rest != "" {
			t.Errorf("and then %q", rest)
		}
	})
}

func TestABrokenAnswerDoesNotLookWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		e.err = io.ErrUnexpectedEOF
		client := serve(t, edge.Config{Transport: stream(e)})
		resp := post(t, client, "/v1/chat/completions", "{}")
		e.pieces <- "data: 1\n\n"
		close(e.pieces)
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the answer ended as if it were whole")
		}
		synctest.Wait()
		select {
		case <-e.closed:
		default:
			t.Error("the upstream body is not closed")
		}
	})
}

func TestACallerWhoLeavesEndsTheUpstreamCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		var ctx context.Context
		c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) {
			ctx = r.Context()
			return stream(e)(r)
		})}
		client := serve(t, c)
		resp := post(t, client, "/v1/chat/completions", "{}")
		resp.Body.Close()
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("the upstream's context goes on")
		}
		select {
		case <-e.closed:
		default:
			t.Error("the upstream body is not closed")
		}
	})
}

func TestACallerWhoLeavesBeforeTheAnswerGetsNone(t *testing.T) {
	returned := false
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		returned = true
		return nil, r.Context().Err()
	})}
	inside(t, c, func(t *testing.T, client *http.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/messages", strings.NewReader("{}"))
		if _, err := client.Do(req); err == nil {
			t.Error("an answer")
		}
		synctest.Wait()
		if !returned {
			t.Error("the transport was not told")
		}
	})
}

func TestACallerWhoNeverReadsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		client := serve(t, edge.Config{Transport: stream(e), WriteStall: func() time.Duration { return time.Minute }})
		resp := post(t, client, "/v1/chat/completions", "{}")
		began := time.Now()
		go func() { // more than every buffer on the way holds
			for {
				select {
				case e.pieces <- strings.Repeat("x", 32<<10):
				case <-e.closed:
					return
				}
			}
		}()
		<-e.closed
		if after := time.Since(began); after != time.Minute {
			t.Errorf("cut after %s, want 1m0s", after)
		}
		resp.Body.Close()
	})
}

func TestAConnectionServesAgainAfterALongSilence(t *testing.T) {
	inside(t, edge.Config{Transport: upstream(well), WriteStall: func() time.Duration { return time.Second }}, func(t *testing.T, client *http.Client) {
		for range 3 {
			if got := text(t, post(t, client, "/v1/chat/completions", "{}")); got != `{"ok":true}` {
				t.Fatalf("got %q", got)
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestRefusalsSpeakTheDialectOfThePath(t *testing.T) {
	c := edge.Config{Transport: upstream(well), MaxBody: limit(10)}
	for _, test := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		shape                    string // part of the body
	}{
		{"too large, OpenAI", "POST", "/v1/chat/completions", "12345678901", nil, 413, `"code":"request_too_large"`},
		{"too large, Anthropic", "POST", "/v1/messages", "12345678901", nil, 413, `"type":"request_too_large"`},
		{"TRACE", "TRACE", "/v1/messages", "", nil, 405, `"type":"error"`},
		{"web socket", "GET", "/v1/responses", "", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, 426, `"upgrade_required"`},
		{"another origin", "POST", "/v1/chat/completions", "{}", []string{"Sec-Fetch-Site", "cross-site"}, 403, `"cross_origin"`},
		{"brotli", "POST", "/v1/chat/completions", "123", []string{"Content-Encoding", "br"}, 415, `"unsupported_encoding"`},
		{"not gzip", "POST", "/v1/chat/completions", "123", []string{"Content-Encoding", "gzip"}, 400, `"error"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inside(t, c, func(t *testing.T, client *http.Client) {
				req, _ := http.NewRequestWithContext(t.Context(), test.method, base+test.path, strings.NewReader(test.body))
				for i := 0; i < len(test.header); i += 2 {
					req.Header.Set(test.header[i], test.header[i+1])
				}
				resp := do(t, client, req)
				body := text(t, resp)
				if resp.StatusCode != test.status || !strings.Contains(body, test.shape) || !json.Valid([]byte(body)) {
					t.Errorf("got %d %s, want %d with %s", resp.StatusCode, body, test.status, test.shape)
				}
				if resp.Header.Get("X-Holdfast-Error-Source") != "gateway" || resp.Header.Get("X-Should-Retry") != "false" {
					t.Errorf("headers %v", resp.Header)
				}
			})
		})
	}
}

func TestCallsRefusedHereAreRecorded(t *testing.T) {
	var told []call.Event
	c := edge.Config{Transport: upstream(well), MaxBody: limit(4), Record: func(e *call.Event) { told = append(told, *e) }}
	inside(t, c, func(t *testing.T, client *http.Client) {
		resp := post(t, client, "/v1/messages", "12345")
		post(t, client, "/v1/messages", "1234")
		if len(told) != 1 {
			t.Fatalf("%d events, want 1: who was let through is the transport's to tell", len(told))
		}
		e := told[0]
		if e.Kind != call.CallEnded || e.Status != 413 || e.Reason != call.ReasonTooLarge || e.Outcome.Class != call.ClientError ||
			e.Call.Op != call.OpMessages || e.Call.ID != resp.Header.Get("X-Holdfast-Request-Id") {
			t.Errorf("got %+v of %+v", e, e.Call)
		}
	})
}

func TestCONNECTIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipenet.Listen()
		server := &http.Server{Handler: edge.New(edge.Config{Transport: upstream(well)})}
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		conn, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() { _, _ = io.WriteString(conn, "CONNECT example.test:443 HTTP/1.1\r\nHost: example.test\r\n\r\n") }()
		line := make([]byte, 12)
		if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 405" {
			t.Errorf("got %q, %v", line, err)
		}
	})
}

func TestAPanicIsToldInTheDialectAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	c := edge.Config{
		Transport: upstream(func(*http.Request) (*http.Response, error) { panic("oh") }),
		Log:       slog.New(slog.NewJSONHandler(&log, nil)),
	}
	inside(t, c, func(t *testing.T, client *http.Client) {
		resp := post(t, client, "/v1/messages", "{}")
		if body := text(t, resp); resp.StatusCode != 500 || !strings.Contains(body, `"api_error"`) {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	})
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), `"panic":"oh"`) {
		t.Errorf("%d lines: %s", lines, log.String())
	}
}

func TestAPanicAfterTheHeaderBreaksTheConnection(t *testing.T) {
	c := edge.Config{Transport: upstream(func(*http.Request) (*http.Response, error) {
		return answer(200, http.Header{"Content-Type": {"text/event-stream"}}, panicking{}), nil
	})}
	inside(t, c, func(t *testing.T, client *http.Client) {
		resp := post(t, client, "/v1/chat/completions", "{}")
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the answer ended as if it were whole")
		}
	})
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("later") }
func (panicking) Close() error             { return nil }

func TestModelsAreListedInTheCallersShape(t *testing.T) {
	c := edge.Config{Transport: upstream(well), Models: func() []string { return []string{"chat", "org/large"} }}
	for _, test := range []struct {
		name, path string
		anthropic  bool
		status     int
		want       string
	}{
		{"OpenAI's list", "/v1/models", false, 200, `"object":"list"`},
		{"OpenAI's model", "/v1/models/chat", false, 200, `"id":"chat","object":"model"`},
		{"a name with a slash", "/v1/models/org/large", false, 200, `"id":"org/large"`},
		{"Anthropic's list", "/v1/models", true, 200, `"has_more":false`},
		{"Anthropic's model", "/v1/models/chat", true, 200, `"type":"model","id":"chat"`},
		{"no such model", "/v1/models/none", false, 404, `"model_not_found"`},
		{"no such model, Anthropic", "/v1/models/none", true, 404, `"not_found_error"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inside(t, c, func(t *testing.T, client *http.Client) {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+test.path, nil)
				if test.anthropic {
					req.Header.Set("Anthropic-Version", "2023-06-01")
				}
				resp := do(t, client, req)
				if body := text(t, resp); resp.StatusCode != test.status || !strings.Contains(body, test.want) {
					t.Errorf("got %d %s, want %d with %s", resp.StatusCode, body, test.status, test.want)
				}
			})
		})
	}
}

func TestHEADOfTheRootIsAnswered(t *testing.T) {
	inside(t, edge.Config{Transport: upstream(func(*http.Request) (*http.Response, error) { return nil, errors.New("not to be asked") })},
		func(t *testing.T, client *http.Client) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, base+"/", nil)
			if resp := do(t, client, req); resp.StatusCode != 200 {
				t.Errorf("got %d", resp.StatusCode)
			}
		})
}

// TestAMultipartBodyIsStreamed: once its first 64 kB are here, so that a body
// that drips takes no place at a provider.
func TestAMultipartBodyIsStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 64 << 10
		arrived := make(chan string, 1)
		c := edge.Config{MaxBody: limit(4), Transport: upstream(func(r *http.Request) (*http.Response, error) {
			first := make([]byte, ahead)
			_, err := io.ReadFull(r.Body, first)
			arrived <- fmt.Sprintf("%.5s %d %t %v", first, r.ContentLength, r.GetBody == nil, err)
			_, _ = io.Copy(io.Discard, r.Body)
			return well(r)
		})}
		client := serve(t, c)
		body, feed := io.Pipe()
		go func() {
			_, _ = io.WriteString(feed, "first"+strings.Repeat("-", ahead-6))
			synctest.Wait()
			if len(arrived) > 0 {
				t.Error("the call went on with less than 64 kB of its body")
			}
			_, _ = io.WriteString(feed, "-")
			if got := <-arrived; got != "first -1 true <nil>" { // before the second half exists
				t.Errorf("got %q", got)
			}
			_, _ = io.WriteString(feed, "second")
			feed.Close()
		}()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/files", body)
		req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		if got := text(t, do(t, client, req)); got != `{"ok":true}` {
			t.Errorf("got %q", got)
		}
	})
}

func TestAGzippedBodyIsReadAsWhatItHolds(t *testing.T) {
	var body, encoding string
	c := edge.Config{MaxBody: limit(1000), Transport: upstream(func(r *http.Request) (*http.Response, error) {
		content, _ := io.ReadAll(r.Body)
		body, encoding = string(content), r.Header.Get("Content-Encoding")
		return well(r)
	})}
	zip := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, s)
		_ = w.Close()
		return b.String()
	}
	inside(t, c, func(t *testing.T, client *http.Client) {
		post(t, client, "/v1/chat/completions", zip(`{"model":"m"}`), "Content-Encoding", "gzip")
		if body != `{"model":"m"}` || encoding != "" {
			t.Errorf("got %q with encoding %q", body, encoding)
		}
		bomb := post(t, client, "/v1/chat/completions", zip(strings.Repeat(" ", 1<<20)), "Content-Encoding", "gzip")
		if bomb.StatusCode != 413 {
			t.Errorf("a body that unfolds beyond the limit: %d, want 413", bomb.StatusCode)
		}
	})
}

func TestBodiesTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c := edge.Config{Buffers: 100, Transport: upstream(func(r *http.Request) (*http.Response, error) {
			<-hold
			return well(r)
		})}
		client := serve(t, c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, post(t, client, "/v1/chat/completions", strings.Repeat("x", 80)).Body)
		}()
		synctest.Wait()
		resp := post(t, client, "/v1/chat/completions", strings.Repeat("x", 30))
		if resp.StatusCode != 503 || resp.Header.Get("X-Holdfast-Reason") != "shed" || resp.Header.Get("X-Should-Retry") != "true" || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("got %d %v", resp.StatusCode, resp.Header)
		}
		again := post(t, client, "/v1/messages", strings.Repeat("x", 30), "X-Stainless-Retry-Count", "1")
		if again.StatusCode != 529 || again.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("an SDK's own retry: %d %v", again.StatusCode, again.Header)
		}
		close(hold)
		<-done
		synctest.Wait()
		if resp := post(t, client, "/v1/chat/completions", strings.Repeat("x", 30)); resp.StatusCode != 200 {
			t.Errorf("the room was not given back: %d", resp.StatusCode)
		}
	})
}

// TestABodyThatDripsIsRefused: slower than the minimum rate after the grace, or
// fast enough and endless.
func TestABodyThatDripsIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		path, kind, drop string
		every, after     time.Duration
	}{
		"slower than the rate":           {"/v1/chat/completions", "application/json", "0123456789", time.Second, 10 * time.Second},
		"silent after its first byte":    {"/v1/chat/completions", "application/json", " ", time.Hour, 10 * time.Second},
		"endless":                        {"/v1/chat/completions", "application/json", strings.Repeat(" ", 1000), time.Second, time.Minute},
		"slower than the rate, streamed": {"/v1/files", "multipart/form-data; boundary=x", "0123456789", time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := edge.Config{BodyTime: time.Minute, Transport: upstream(func(r *http.Request) (*http.Response, error) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return answer(http.StatusRequestTimeout, nil, strings.NewReader("{}")), nil
				}
				return well(r)
			})}
			inside(t, c, func(t *testing.T, client *http.Client) {
				drip(t, client, test.path, test.kind, test.drop, test.every, test.after)
			})
		})
	}
}

func drip(t *testing.T, client *http.Client, path, kind, drop string, every, want time.Duration) {
	body, feed := io.Pipe()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for {
			if _, err := io.WriteString(feed, drop); err != nil {
				return
			}
			time.Sleep(every)
		}
	}()
	defer func() { body.Close(); <-fed }()
	began := time.Now()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, body)
	req.Header.Set("Content-Type", kind)
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("got %d, want 408", resp.StatusCode)
		}
	}
	if after := time.Since(began); after < want || after > want+every {
		t.Errorf("after %s, want %s", after, want)
	}
}

func TestATransportThatFailsIsToldAsOurFault(t *testing.T) {
	c := edge.Config{Transport: upstream(func(*http.Request) (*http.Response, error) { return nil, errors.New("secret detail") })}
	inside(t, c, func(t *testing.T, client *http.Client) {
		resp := post(t, client, "/v1/chat/completions", "{}")
		body := text(t, resp)
		if resp.StatusCode != 500 || resp.Header.Get("X-Holdfast-Reason") != "internal" || strings.Contains(body, "secret detail") {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	})
}

// writing is a body that prefers to write itself.
type writing struct{ used *bool }

func (writing) Read([]byte) (int, error) { return 0, errors.New("should write") }
func (writing) Close() error             { return nil }
func (w writing) WriteTo(to io.Writer) (int64, error) {
	*w.used = true
	n, err := io.WriteString(to, "written")
	return int64(n), err
}

func TestABodyThatWritesItselfIsLetDoSo(t *testing.T) {
	var used bool
	c := edge.Config{Transport: upstream(func(*http.Request) (*http.Response, error) {
		return answer(200, nil, writing{&used}), nil
	})}
	inside(t, c, func(t *testing.T, client *http.Client) {
		if got := text(t, post(t, client, "/v1/chat/completions", "{}")); got != "written" || !used {
			t.Errorf("got %q, used %t", got, used)
		}
	})
}

func TestTheLoopbackInterfaceBehavesAsThePipe(t *testing.T) {
	e := newEvents()
	left := make(chan struct{})
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) {
		context.AfterFunc(r.Context(), func() { close(left) })
		return stream(e)(r)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: edge.New(c)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	defer func() { server.Close(); <-done }()

	resp, err := http.Post("http://"+l.Addr().String()+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	e.pieces <- "data: 1\n\n"
	buffer := make([]byte, 100)
	if n, err := resp.Body.Read(buffer); err != nil || string(buffer[:n]) != "data: 1\n\n" {
		t.Fatalf("got %q, %v", buffer[:n], err)
	}
	resp.Body.Close()
	<-left // the kernel tells the server, whose context ends
}

func ExampleNew() {
	handler := edge.New(edge.Config{
		Transport: upstream(well), // a *holdfast.Transport
		Models:    func() []string { return []string{"chat"} },
	})
	client, stop := pipenet.Serve(handler)
	defer stop()
	resp, err := client.Get("http://gateway.test/v1/models/chat")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var model map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&model); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(model["id"], slices.Sorted(maps.Keys(model)))
	// Output: chat [created id object owned_by]
}
