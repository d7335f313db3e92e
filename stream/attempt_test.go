package stream_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/chat"
	"github.com/holdfast-gateway/holdfast/dialect/responses"
	"github.com/holdfast-gateway/holdfast/stream"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// script is an upstream body: pieces with pauses, then an end.
type script struct {
	ctx    context.Context
	pieces []string
	pause  time.Duration
	end    error // nil: hang until the context ends
	closed chan struct{}
	once   sync.Once
}

func (s *script) Read(p []byte) (int, error) {
	if s.pause > 0 {
		select {
		case <-time.After(s.pause):
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	for len(s.pieces) > 0 && s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		if s.end != nil {
			return 0, s.end
		}
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// reading is an Attempt over a script, and what it told.
type reading struct {
	*stream.Attempt
	body *script
	ends []call.Outcome
	mu   sync.Mutex
}

func read(t *testing.T, d call.Dialect, limits timeout.Limits, framing stream.Framing, end error, pieces ...string) *reading {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := &reading{body: &script{ctx: ctx, pieces: pieces, end: end, closed: make(chan struct{})}}
	r.Attempt = stream.NewAttempt(stream.Source{
		Body: r.body, Status: 200, Framing: framing, Dialect: d, Op: call.OpChat, Request: &call.Request{Stream: true, Choices: 1}, Strict: true,
		Sent: time.Now(), Context: ctx, Cancel: cancel, Clocks: timeout.Start(limits, cancel, nil), Linger: time.Second,
		Classify: func(f *stream.Fault, s *call.Stream) call.Verdict {
			if f == nil {
				return call.Verdict{Class: call.OK}
			}
			return call.Verdict{Class: call.Truncated}
		},
		End: func(o call.Outcome) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ends = append(r.ends, o)
		},
	})
	return r
}

// outcome returns the one outcome.
func (r *reading) outcome(t *testing.T) call.Outcome {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) != 1 {
		t.Fatalf("the attempt ended %d times, want once", len(r.ends))
	}
	select {
	case <-r.body.closed:
	default:
		t.Error("the provider's body was not closed")
	}
	return r.ends[0]
}

// caller returns the Body over the attempt and where its result goes.
func (r *reading) caller(d call.Dialect) (*stream.Body, *[]stream.Result) {
	var results []stream.Result
	b := stream.NewBody(r.Attempt, d, true, func(f *stream.Fault) call.Problem {
		return call.Problem{Message: f.Kind.String(), Status: 502, Class: call.Truncated}
	}, func(res stream.Result) { results = append(results, res) })
	return b, &results
}

const (
	role   = `data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	word   = `data: {"id":"c","choices":[{"index":0,"delta":{"content":"wörd"}}]}` + "\n\n"
	finish = `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usage  = `data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

func TestEverythingBeforeTheCommitPointIsHeldAndThenForwarded(t *testing.T) {
	in := ": hello\n\n" + role + word + word + finish + usage + done
	for _, size := range []int{1, 7, 1000} {
		var pieces []string
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), io.EOF, pieces...)
		if f := r.Open(); f != nil {
			t.Fatal(f)
		}
		b, results := r.caller(chat.New())
		out, err := io.ReadAll(b)
		if err != nil || string(out) != in {
			t.Errorf("pieces of %d: got %q, %v; want the same bytes", size, out, err)
		}
		if o := r.outcome(t); o.Class != call.OK || o.Usage.Input != 3 || o.Usage.Output != 5 || !o.Committed {
			t.Errorf("outcome %+v", o)
		}
		if len(*results) != 1 || (*results)[0].Fault != nil {
			t.Errorf("results %+v", *results)
		}
	}
}

func TestABrokenStreamEndsOnAFrameBoundaryWithTheDialectsError(t *testing.T) {
	for name, c := range map[string]struct {
		end    error
		pieces []string
		kind   stream.Kind
		keep   string
	}{
		"cut in a frame":           {io.ErrUnexpectedEOF, []string{role + word, word[:30]}, stream.Cut, role + word},
		"cut in a character":       {io.ErrUnexpectedEOF, []string{role + word, word[:strings.Index(word, "ö")+1]}, stream.Cut, role + word},
		"clean end, no finish":     {io.EOF, []string{role + word}, stream.Unterminated, role + word},
		"clean end, no [DONE]":     {io.EOF, []string{role + word + finish}, stream.Unterminated, role + word + finish},
		"clean end in a frame":     {io.EOF, []string{role + word, word[:20]}, stream.Cut, role + word},
		"malformed event":          {nil, []string{role + word, "data: {\"choices\":[}\n\n" + word}, stream.Malformed, role + word},
		"malformed in one read":    {nil, []string{role + word + "data: {\"choices\":[}\n\n" + word}, stream.Malformed, role + word},
		"error event":              {nil, []string{role + word, `data: {"error":{"message":"m","type":"server_error"}}` + "\n\n"}, stream.InBand, role + word},
		"error in flat form":       {nil, []string{role + word, `data: {"error":"m"}` + "\n\n"}, stream.InBand, role + word},
		"terminator, then a reset": {io.ErrUnexpectedEOF, []string{role + word + finish + done}, 0, role + word + finish + done},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), c.end, c.pieces...)
			if f := r.Open(); f != nil {
				t.Fatal(f)
			}
			b, results := r.caller(chat.New())
			out, err := io.ReadAll(b)
			if err != nil {
				t.Fatalf("read error %v: the error belongs in the stream", err)
			}
			tail, ok := strings.CutPrefix(string(out), c.keep)
			if !ok {
				t.Fatalf("got %q, want it to begin with %q", out, c.keep)
			}
			r.outcome(t)
			if c.kind == 0 {
				if tail != "" || (*results)[0].Fault != nil {
					t.Errorf("a complete answer has tail %q, fault %v", tail, (*results)[0].Fault)
				}
				return
			}
			if !strings.HasPrefix(tail, `data: {"error":{`) || !strings.HasSuffix(tail, "}\n\n") || strings.Contains(tail, "[DONE]") {
				t.Errorf("tail %q is not the dialect's error event", tail)
			}
			if f := (*results)[0].Fault; f == nil || f.Kind != c.kind {
				t.Errorf("fault %v, want %s", f, c.kind)
			}
		})
	}
}

func TestABrokenStartIsNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		end    error
		pieces []string
		kind   stream.Kind
	}{
		"nothing at all":       {io.EOF, nil, stream.Empty},
		"only a role":          {io.EOF, []string{role}, stream.Empty},
		"only a terminator":    {io.EOF, []string{role + done}, stream.Empty},
		"an error first":       {nil, []string{`data: {"error":{"message":"m","type":"server_error"}}` + "\n\n"}, stream.InBand},
		"a page of HTML":       {io.EOF, []string{"<html>\n\n</html>"}, stream.Empty},
		"cut before a word":    {io.ErrUnexpectedEOF, []string{role, word[:10]}, stream.Cut},
		"a megabyte of no end": {nil, []string{strings.Repeat("x", stream.MaxFrame+10)}, stream.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), c.end, c.pieces...)
			f := r.Open()
			if f == nil || f.Kind != c.kind {
				t.Fatalf("Open: %v, want %s", f, c.kind)
			}
			if o := r.outcome(t); o.Committed {
				t.Error("committed")
			}
		})
	}
}

func TestAFrameBeyondTheLimitPassesAndTheEndIsStillKnown(t *testing.T) {
	large := `data: {"id":"c","choices":[{"index":0,"delta":{"content":"` + strings.Repeat("y", 3*stream.MaxFrame) + `"}}]}` + "\n\n"
	for name, c := range map[string]struct {
		tail string
		ok   bool
	}{"complete": {finish + done, true}, "not complete": {"", false}} {
		t.Run(name, func(t *testing.T) {
			r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), io.EOF, role+large+c.tail)
			if f := r.Open(); f != nil {
				t.Fatal(f)
			}
			b, results := r.caller(chat.New())
			out, err := io.ReadAll(b)
			if err != nil || !bytes.HasPrefix(out, []byte(role+large+c.tail)) {
				t.Errorf("%d bytes, %v", len(out), err)
			}
			if fault := (*results)[0].Fault; (fault == nil) != c.ok {
				t.Errorf("fault %v", fault)
			}
		})
	}
}

func TestALargeTerminatorIsKnownByItsHead(t *testing.T) {
	start := "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n"
	delta := "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n"
	large := "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"text\":\"" + strings.Repeat("y", 2*stream.MaxFrame) + "\"}}\n\n"
	r := read(t, responses.New(), timeout.Limits{}, stream.NewSSE(), io.EOF, start+delta+large)
	if f := r.Open(); f != nil {
		t.Fatal(f)
	}
	b, results := r.caller(responses.New())
	if _, err := io.Copy(io.Discard, b); err != nil || (*results)[0].Fault != nil {
		t.Errorf("%v, %+v", err, (*results)[0].Fault)
	}
}

func TestAStreamThatNeverClosesEndsSoonAfterItsTerminator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := read(t, chat.New(), timeout.Limits{Idle: 30 * time.Second}, stream.NewSSE(), nil, role+word+finish+done)
		began := time.Now()
		if f := r.Open(); f != nil {
			t.Fatal(f)
		}
		b, results := r.caller(chat.New())
		out, err := io.ReadAll(b)
		if took := time.Since(began); err != nil || took > time.Second || !strings.HasSuffix(string(out), done) {
			t.Errorf("ended after %s with %v, %q", took, err, out)
		}
		if o := r.outcome(t); o.Class != call.OK || (*results)[0].Fault != nil {
			t.Errorf("outcome %+v", o)
		}
	})
}

func TestClosingAfterTheTerminatorIsNoLossAndBeforeItIs(t *testing.T) {
	for _, complete := range []bool{true, false} {
		r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), io.EOF, role, word, finish+done)
		if f := r.Open(); f != nil {
			t.Fatal(f)
		}
		b, results := r.caller(chat.New())
		buf := make([]byte, 4096)
		for {
			n, err := b.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if !complete || strings.HasSuffix(string(buf[:n]), done) {
				break
			}
		}
		_ = b.Close()
		_ = b.Close()
		fault := (*results)[0].Fault
		if complete && fault != nil || !complete && (fault == nil || fault.Kind != stream.Left) || len(*results) != 1 {
			t.Errorf("complete=%v: results %+v", complete, *results)
		}
		r.outcome(t)
		if _, err := b.Read(buf); err == nil {
			t.Error("Read after Close has no error")
		}
	}
}

func TestCloseEndsAReadThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), nil, role+word)
		if f := r.Open(); f != nil {
			t.Fatal(f)
		}
		b, results := r.caller(chat.New())
		go func() {
			time.Sleep(5 * time.Second)
			_ = b.Close()
		}()
		_, err := io.Copy(io.Discard, b)
		var fault *stream.Fault
		if !errors.As(err, &fault) || fault.Kind != stream.Left || len(*results) != 1 {
			t.Errorf("got %v, results %+v", err, *results)
		}
		r.outcome(t)
	})
}

func TestASlowReaderDoesNotMakeTheProviderLookStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := timeout.Limits{Idle: 10 * time.Second, Stall: 20 * time.Second, Stream: true}
		r := read(t, chat.New(), limits, stream.NewSSE(), io.EOF, role+word, word, finish, done)
		if f := r.Open(); f != nil {
			t.Fatal(f)
		}
		b, _ := r.caller(chat.New())
		buf := make([]byte, 4096)
		for {
			_, err := b.Read(buf)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // the reader, not the provider
		}
		if o := r.outcome(t); o.Class != call.OK {
			t.Errorf("outcome %+v", o)
		}
	})
}

func TestOneWriteForEachRead(t *testing.T) {
	r := read(t, chat.New(), timeout.Limits{}, stream.NewSSE(), io.EOF, role+word, word+word, finish+done)
	if f := r.Open(); f != nil {
		t.Fatal(f)
	}
	b, _ := r.caller(chat.New())
	var writes counter
	n, err := b.WriteTo(&writes)
	if err != nil || n != int64(len(role+word+word+word+finish+done)) || writes != 3 {
		t.Errorf("%d bytes in %d writes, %v; want one write for each of the provider's three", n, writes, err)
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c++; return len(p), nil }

func BenchmarkStreamOf100Events(b *testing.B) {
	in := role + strings.Repeat(word, 100) + finish + done
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancelCause(context.Background())
		a := stream.NewAttempt(stream.Source{Body: io.NopCloser(strings.NewReader(in)), Framing: stream.NewSSE(), Dialect: chat.New(), Request: &call.Request{Stream: true}, Strict: true,
			Sent: time.Now(), Context: ctx, Cancel: cancel, Clocks: timeout.Start(timeout.Limits{Idle: time.Minute}, cancel, nil),
			Classify: func(*stream.Fault, *call.Stream) call.Verdict { return call.Verdict{Class: call.OK} }, End: func(call.Outcome) {}})
		if f := a.Open(); f != nil {
			b.Fatal(f)
		}
		body := stream.NewBody(a, chat.New(), true, nil, func(stream.Result) {})
		if _, err := body.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
