package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// The upstream is as lean as Go allows, so that what is measured is the proxy:
// one goroutine per connection on net.Conn, canned answers, no HTTP library. It
// understands the requests that the peers of this benchmark send, and no others.

// answer is about 1 kB of a chat completion, whole.
var answer = wholeAnswer()

func wholeAnswer() []byte {
	body := `{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("hold fast ", 72) +
		`"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":400,"completion_tokens":144,"total_tokens":544}}`
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_bench\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Request-Id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n"

	chunkBegin = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"`
	chunkEnd   = `"},"logprobs":null,"finish_reason":null}]}` + "\n\n"

	lastEvents = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}` +
		"\n\ndata: [DONE]\n\n"
)

// stamp precedes the time, in nanoseconds since 1970, at which an event was
// written; it stands in the event's content, where no proxy changes it.
const stamp = "at "

// serveUpstream answers on l until it is closed.
func serveUpstream(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go answerAll(conn)
	}
}

// answerAll answers one request after the other until the connection ends.
func answerAll(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 8<<10)
	var body []byte
	for {
		var err error
		if body, err = readRequest(r, body[:0]); err != nil {
			return
		}
		if bytes.Contains(body, []byte(`"stream":true`)) {
			err = writeStream(conn, askedStream(body))
		} else {
			_, err = conn.Write(answer)
		}
		if err != nil {
			return
		}
	}
}

// readRequest reads one request and returns its body in buffer's memory. It
// understands Content-Length and chunks.
func readRequest(r *bufio.Reader, buffer []byte) ([]byte, error) {
	head, err := readHead(r)
	if err != nil {
		return nil, err
	}
	if head.chunked {
		return readChunks(r, buffer)
	}
	buffer = append(buffer, make([]byte, max(head.length, 0))...)
	_, err = io.ReadFull(r, buffer)
	return buffer, err
}

// streamPlan says what a request asks the upstream to stream.
type streamPlan struct {
	events int
	pause  time.Duration // before each event but the first
}

// planMark begins the plan inside the prompt, which no proxy changes.
const planMark = "[[plan "

func (p streamPlan) String() string {
	return fmt.Sprintf("%s%d %d]]", planMark, p.events, p.pause.Microseconds())
}

// askedStream finds the plan in a request's body; without one it is 100 events
// at once.
func askedStream(body []byte) streamPlan {
	plan := streamPlan{events: 100}
	if _, rest, ok := bytes.Cut(body, []byte(planMark)); ok {
		text, _, _ := bytes.Cut(rest, []byte("]]"))
		events, pause, _ := strings.Cut(string(text), " ")
		plan.events, _ = strconv.Atoi(events)
		micros, _ := strconv.Atoi(pause)
		plan.pause = time.Duration(micros) * time.Microsecond
	}
	return plan
}

// writeStream sends the events of plan, each in a write and a chunk of its own,
// by a timetable: an event that was late does not delay those behind it.
func writeStream(conn net.Conn, plan streamPlan) error {
	if _, err := io.WriteString(conn, streamHead); err != nil {
		return err
	}
	var out []byte
	begin := time.Now()
	for i := range plan.events {
		if wait := time.Until(begin.Add(time.Duration(i) * plan.pause)); plan.pause > 0 && wait > 0 {
			time.Sleep(wait)
		}
		out = appendEvent(out[:0], time.Now())
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
	out = fmt.Appendf(out[:0], "%x\r\n%s\r\n0\r\n\r\n", len(lastEvents), lastEvents)
	_, err := conn.Write(out)
	return err
}

// appendEvent appends one event, stamped with now, as a chunk.
func appendEvent(out []byte, now time.Time) []byte {
	const digits = 19 // of nanoseconds since 1970, until the year 2286
	size := len(chunkBegin) + len(stamp) + digits + len(chunkEnd)
	out = strconv.AppendInt(out, int64(size), 16)
	out = append(out, "\r\n"+chunkBegin+stamp...)
	out = strconv.AppendInt(out, now.UnixNano(), 10)
	return append(out, chunkEnd+"\r\n"...)
}
