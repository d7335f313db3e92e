package soak

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

// caller is one connection of a client, opened when it is needed. It writes HTTP/1.1
// by hand: it costs little beside what it loads, and can misbehave at any byte.
type caller struct {
	address string
	narrow  bool // a small receive buffer, as of somebody far away
	conn    net.Conn
	in      *bufio.Reader

	status  int
	length  int64 // of the body; -1: in chunks
	parting bool  // the gateway closes after this answer
	reason  string
	wait    string // Retry-After
	body    []byte // of the last answer that was read whole
}

// patience is how long a caller waits for anything before it calls it a failure.
const patience = 2 * time.Minute

// request is the bytes of a call.
func request(path, key, body, more string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		path, key, len(body), more, body)
}

// ask makes a call and reads its answer whole.
func (c *caller) ask(request []byte) error {
	if err := c.send(request); err != nil {
		return err
	}
	return c.answer()
}

// send opens the connection if there is none and writes.
func (c *caller) send(request []byte) error {
	if c.conn == nil {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		if c.narrow {
			dialer.Control = func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10) })
			}
		}
		conn, err := dialer.Dial("tcp", c.address)
		if err != nil {
			return err
		}
		c.conn = conn
		if c.in == nil {
			c.in = bufio.NewReaderSize(nil, 8<<10)
		}
		c.in.Reset(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(request)
	return err
}

// answer reads a whole answer into body.
func (c *caller) answer() error {
	if err := c.head(); err != nil {
		return err
	}
	c.body = c.body[:0]
	if c.length >= 0 {
		if int64(cap(c.body)) < c.length {
			c.body = make([]byte, 0, c.length)
		}
		c.body = c.body[:c.length]
		if _, err := io.ReadFull(c.in, c.body); err != nil {
			return err
		}
	} else {
		for {
			more, err := c.chunk()
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	if c.parting {
		c.leave()
	}
	return nil
}

// head reads a status line and header.
func (c *caller) head() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("a status line %.40q", line)
	}
	c.status, _ = strconv.Atoi(string(line[9:12]))
	c.length, c.parting, c.reason, c.wait = -1, false, "", ""
	c.body = c.body[:0]
	for {
		line, err = c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return nil
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			c.length, err = strconv.ParseInt(string(value), 10, 64)
		case "Connection":
			c.parting = string(value) == "close"
		case "X-Holdfast-Reason":
			c.reason = string(value)
		case "Retry-After":
			c.wait = string(value)
		}
		if err != nil {
			return err
		}
	}
}

var errFraming = errors.New("broken framing")

// chunk appends the next chunk to body; false is the end of the answer.
func (c *caller) chunk() (more bool, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	n, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
	if err != nil {
		return false, errFraming
	}
	at := len(c.body)
	c.body = append(c.body, make([]byte, n+2)...) // grows without making one
	if _, err := io.ReadFull(c.in, c.body[at:]); err != nil {
		return false, err
	}
	if !bytes.HasSuffix(c.body, []byte("\r\n")) {
		return false, errFraming
	}
	c.body = c.body[:len(c.body)-2]
	return n > 0, nil
}

// leave closes the connection, whatever is under way on it.
func (c *caller) leave() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// got checks an answer that was read whole.
func (c *caller) got(status int, mark string) error {
	if c.status != status || !bytes.Contains(c.body, []byte(mark)) {
		return fmt.Errorf("%d %s %.160q, want %d with %s", c.status, c.reason, c.body, status, mark)
	}
	return nil
}
