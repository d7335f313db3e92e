package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strconv"
)

// head is what this benchmark looks at in the head of a message.
type head struct {
	first   []byte // valid until the next read
	length  int    // -1 if none is named
	chunked bool
	closing bool // the connection ends after this message
}

var errHead = errors.New("not the head of an HTTP message")

// readHead reads the first line and the headers of a request or an answer.
func readHead(r *bufio.Reader) (head, error) {
	h := head{length: -1}
	line, err := r.ReadSlice('\n')
	if err != nil {
		return h, err
	}
	h.first = append(h.first, line...)
	for {
		line, err = r.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return h, nil
		}
		if err := h.note(line); err != nil {
			return h, err
		}
	}
}

// note takes over what one header line says.
func (h *head) note(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return errHead
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.Atoi(string(value))
		h.length = n
		return err
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Connection")):
		h.closing = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// status is the three digits of an answer's first line; 0 if there are none.
func (h *head) status() int {
	if len(h.first) < len("HTTP/1.1 200") {
		return 0
	}
	code, _ := strconv.Atoi(string(h.first[9:12]))
	return code
}

// readChunks appends a whole chunked body to buffer.
func readChunks(r *bufio.Reader, buffer []byte) ([]byte, error) {
	whole := bytes.NewBuffer(buffer)
	_, err := whole.ReadFrom(newChunks(r))
	return whole.Bytes(), err
}

// chunks decodes a chunked body and the empty line behind it.
type chunks struct {
	r       *bufio.Reader
	decoded io.Reader
}

func newChunks(r *bufio.Reader) *chunks { return &chunks{r: r, decoded: httputil.NewChunkedReader(r)} }

func (c *chunks) Read(p []byte) (int, error) {
	n, err := c.decoded.Read(p)
	if err == io.EOF { // httputil leaves the trailer to us; our peers send none
		if line, lineErr := c.r.ReadSlice('\n'); lineErr != nil || len(bytes.TrimRight(line, "\r\n")) != 0 {
			return n, io.ErrUnexpectedEOF
		}
	}
	return n, err
}
