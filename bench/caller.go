package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// caller is one connection of the load generator and the goroutine that uses
// it. Like the upstream it speaks HTTP on net.Conn, to leave the machine to the
// proxy.
type caller struct {
	conn  net.Conn
	r     *bufio.Reader
	lines *bufio.Reader
}

func dial(addr string) (*caller, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, r: bufio.NewReaderSize(conn, 16<<10), lines: bufio.NewReaderSize(nil, 4<<10)}, nil
}

func (c *caller) close() { _ = c.conn.Close() }

var errCut = errors.New("the stream ended without [DONE]")

// statusError is an answer that is not 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// whole reads one answer that is not streamed.
func (c *caller) whole() error {
	h, err := c.begin()
	if err != nil {
		return err
	}
	if h.chunked {
		_, err = io.Copy(io.Discard, newChunks(c.r))
	} else {
		_, err = c.r.Discard(h.length)
	}
	if err == nil && h.closing {
		err = io.EOF
	}
	return err
}

// stream reads one streamed answer and calls event with the time that each
// event with content was written upstream. It returns nil after [DONE].
func (c *caller) stream(event func(written time.Time)) error {
	h, err := c.begin()
	if err != nil {
		return err
	}
	if !h.chunked {
		return errors.New("a stream that is not chunked")
	}
	c.lines.Reset(newChunks(c.r))
	done := false
	for {
		line, err := c.lines.ReadSlice('\n')
		switch {
		case err == io.EOF && done:
			return nil
		case err == io.EOF:
			return errCut
		case err != nil:
			return err
		}
		if written, ok := writtenAt(line); ok {
			event(written)
		}
		done = done || bytes.HasPrefix(line, []byte("data: [DONE]"))
	}
}

// begin reads the head of an answer, which must be good and say where it ends.
func (c *caller) begin() (head, error) {
	h, err := readHead(c.r)
	switch {
	case err != nil:
		return h, err
	case h.status() != 200:
		return h, statusError(h.status())
	case !h.chunked && h.length < 0:
		return h, errors.New("an answer without an end")
	}
	return h, nil
}

// writtenAt finds the upstream's stamp in the line of an event.
func writtenAt(line []byte) (time.Time, bool) {
	const digits = 19
	_, rest, ok := bytes.Cut(line, []byte(`"`+stamp))
	if !ok || len(rest) < digits {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseInt(string(rest[:digits]), 10, 64)
	return time.Unix(0, nanos), err == nil
}

// chatRequest is a chat completion of about 2 kB, asked of addr with these
// further header lines. With a plan it is streamed.
func chatRequest(addr string, headers []string, plan *streamPlan) []byte {
	mark, streamed := "", ""
	if plan != nil {
		mark, streamed = plan.String(), `"stream":true,`
	}
	body := fmt.Sprintf(`{"model":"gpt-4o",%s"max_tokens":256,"messages":[{"role":"system","content":"You are a patient assistant."},{"role":"user","content":"%s%s"}]}`,
		streamed, mark, strings.Repeat("word ", 370))
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\n", addr)
	for _, line := range headers {
		b.WriteString(line + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}
