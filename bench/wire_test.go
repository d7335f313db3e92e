package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// listen serves the upstream on a loopback port until the test ends.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = serveUpstream(l) }()
	return l.Addr().String()
}

func call(t *testing.T, addr string, plan *streamPlan) *caller {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if _, err := c.conn.Write(chatRequest(addr, nil, plan)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAConnectionCarriesOneWholeAnswerAfterTheOther(t *testing.T) {
	addr := listen(t)
	c := call(t, addr, nil)
	for range 3 {
		if err := c.whole(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.conn.Write(chatRequest(addr, nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if c.r.Buffered() != 0 {
		t.Errorf("%d bytes are left behind the answers", c.r.Buffered())
	}
}

func TestAStreamHasTheEventsOfItsPlanStampedInOrder(t *testing.T) {
	addr := listen(t)
	begin := time.Now()
	c := call(t, addr, &streamPlan{events: 20, pause: time.Millisecond})
	var stamps []time.Time
	if err := c.stream(func(at time.Time) { stamps = append(stamps, at) }); err != nil {
		t.Fatal(err)
	}
	if len(stamps) != 20 {
		t.Fatalf("%d events, want 20", len(stamps))
	}
	last := begin
	for i, at := range stamps {
		if at.Before(last) || at.After(time.Now()) {
			t.Errorf("event %d is stamped %s, after %s", i, at, last)
		}
		last = at
	}
	if took := stamps[19].Sub(stamps[0]); took < 19*time.Millisecond {
		t.Errorf("20 events at 1 ms came within %s", took)
	}
}

func TestAStreamWithoutItsEndIsNoSuccess(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		out := appendEvent([]byte(streamHead), time.Now())
		_, _ = server.Write(append(out, "0\r\n\r\n"...))
	}()
	c := &caller{conn: client, r: bufio.NewReader(client), lines: bufio.NewReader(nil)}
	if err := c.stream(func(time.Time) {}); !errors.Is(err, errCut) {
		t.Fatalf("got %v, want %v", err, errCut)
	}
}

func TestAnAnswerThatIsNot200IsAnError(t *testing.T) {
	c := &caller{r: bufio.NewReader(strings.NewReader("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))}
	if err := c.whole(); !errors.Is(err, statusError(503)) {
		t.Fatalf("got %v, want status 503", err)
	}
}

func TestTheUpstreamReadsBodiesInChunks(t *testing.T) {
	whole := chatRequest("x", nil, nil)
	_, body, _ := bytes.Cut(whole, []byte("\r\n\r\n"))
	chunked := "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + string(body[:5]) + "\r\n800\r\n" + string(body[5:5+0x800]) + "\r\n0\r\n\r\nnext"
	r := bufio.NewReader(strings.NewReader(chunked))
	got, err := readRequest(r, nil)
	if err != nil || !bytes.Equal(got, body[:5+0x800]) {
		t.Fatalf("%d bytes and %v, want the %d bytes of both chunks", len(got), err, 5+0x800)
	}
	if rest, _ := r.Peek(4); string(rest) != "next" {
		t.Errorf("the next request begins with %q", rest)
	}
}

func TestSizesAreThoseOfTheDescription(t *testing.T) {
	_, body, _ := bytes.Cut(chatRequest("x", nil, nil), []byte("\r\n\r\n"))
	if len(body) < 1900 || len(body) > 2200 {
		t.Errorf("a request has %d bytes, want about 2 kB", len(body))
	}
	if _, body, _ := bytes.Cut(answer, []byte("\r\n\r\n")); len(body) < 900 || len(body) > 1100 {
		t.Errorf("an answer has %d bytes, want about 1 kB", len(body))
	}
}
