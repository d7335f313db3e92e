package http1

import (
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// afterWord is how long an answer may still come on a connection that took no
// more of its request, and how long a request may still be leaving when its
// answer has ended.
const afterWord = 50 * time.Millisecond

// fits reports whether the body can be sent with the head, in one piece.
func (o *outgoing) fits(head int) bool {
	if o.body == nil {
		return true
	}
	return o.length > 0 && o.length+int64(head) <= onePiece && o.req.GetBody != nil && !o.expect
}

// pack adds a body that fits to the head, and closes it.
func (o *outgoing) pack(b *buffer) error {
	if o.body == nil {
		return nil
	}
	head := len(b.b)
	b.b = append(b.b, make([]byte, o.length)...)
	_, err := io.ReadFull(o.body, b.b[head:])
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = errShort
	case err == nil:
		var more [1]byte
		if n, _ := o.body.Read(more[:]); n > 0 {
			err = errLong
		}
	}
	o.close()
	return err
}

var (
	errShort = errors.New("http1: the request's body is shorter than its length")
	errLong  = errors.New("http1: the request's body is longer than its length")
)

// send sends the request: in one piece where it fits one, else by a goroutine, as
// an answer may come first. Connections without a buffer of their own, which are
// not sockets, take nothing until somebody reads, so there it is always one.
func (x *exchange) send(b *buffer, whole bool) error {
	if !whole || !x.conn.socket {
		x.up = &upload{x: x, conn: x.conn, out: &x.out, done: make(chan struct{})}
		if x.out.expect {
			x.up.proceed = make(chan bool, 1)
		}
		go x.up.run(b, whole)
		return nil
	}
	n, err := x.conn.wire.Write(b.b)
	b.release()
	x.sent = n > 0
	if x.sent {
		x.wroteHeaders()
	}
	x.wroteRequest(err)
	if err != nil && n > 0 { // the server may have said why
		x.failed = err
		return x.conn.raw.SetReadDeadline(time.Now().Add(afterWord))
	}
	return err
}

func (x *exchange) wroteHeaders() {
	if x.trace != nil && x.trace.WroteHeaders != nil {
		x.trace.WroteHeaders()
	}
}

func (x *exchange) wroteRequest(err error) {
	if x.trace != nil && x.trace.WroteRequest != nil {
		x.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// upload sends a request while its answer may already be read.
type upload struct {
	x       *exchange
	conn    *conn
	out     *outgoing
	wrote   atomic.Int64
	done    chan struct{} // closed when nothing more will be written
	proceed chan bool     // with Expect: whether the body is wanted; nil without

	writing sync.Mutex // held while the connection takes bytes

	mu      sync.Mutex
	broken  error // of the request's body
	failed  error // of the connection
	heard   bool  // the answer's head is there
	hurried bool  // the answer's head has a deadline
	skipped bool  // the server did not want the body
}

// run writes the request. b is its head, or all of it.
func (u *upload) run(b *buffer, whole bool) {
	defer close(u.done)
	err := u.write(b, whole)
	b.release()
	if !whole {
		u.out.close()
	}
	if err != nil {
		u.fail(err)
	}
	u.x.wroteRequest(err)
}

func (u *upload) write(b *buffer, whole bool) error {
	if whole {
		return u.put(b.b)
	}
	if u.out.req.GetBody == nil || u.proceed != nil { // the body may take its time
		if err := u.put(b.b); err != nil {
			return err
		}
		b.b = b.b[:0]
	}
	if u.proceed != nil && !u.wanted() {
		return nil
	}
	to := &bodyWriter{u: u, head: b.b, left: u.out.length}
	piece := buffers.Get().(*buffer)
	defer piece.release()
	if cap(piece.b) < onePiece {
		piece.b = make([]byte, 0, onePiece)
	}
	_, err := io.CopyBuffer(to, u.out.body, piece.b[:onePiece])
	switch {
	case to.err != nil:
		return to.err
	case err == nil:
		err = to.end(u.out)
	}
	if err != nil && to.err == nil {
		u.mu.Lock()
		u.broken = err
		u.mu.Unlock()
	}
	return err
}

// put writes to the connection, and says when the first byte was taken.
func (u *upload) put(pieces ...[]byte) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	var n int64
	var err error
	if tcp, ok := u.conn.wire.(*net.TCPConn); ok && len(pieces) > 1 {
		parts := net.Buffers(pieces)
		n, err = parts.WriteTo(tcp) // one writev
		u.took(n)
		return err
	}
	for _, p := range pieces {
		var m int
		if m, err = u.conn.wire.Write(p); m > 0 {
			u.took(int64(m))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *upload) took(n int64) {
	if n > 0 && u.wrote.Add(n) == n {
		u.x.wroteHeaders()
	}
}

// wanted waits until the server asks for the body, or has had time enough to.
func (u *upload) wanted() bool {
	if trace := u.x.trace; trace != nil && trace.Wait100Continue != nil {
		trace.Wait100Continue()
	}
	patience := time.NewTimer(orDefault(u.x.t.ContinueTimeout, time.Second))
	defer patience.Stop()
	select {
	case yes := <-u.proceed:
		if !yes {
			u.mu.Lock()
			u.skipped = true
			u.mu.Unlock()
		}
		return yes
	case <-patience.C:
		return true
	}
}

// goOn says whether the body is wanted. It may be called at any time.
func (u *upload) goOn(wanted bool) {
	select {
	case u.proceed <- wanted:
	default:
	}
}

// fail ends an exchange whose request cannot be sent. A server that took some of
// it gets a moment to say why it took no more.
func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.broken == nil {
		u.failed = err
	}
	switch {
	case u.broken != nil || u.wrote.Load() == 0:
		u.conn.hangUp()
	case !u.heard:
		u.hurried = true
		_ = u.conn.raw.SetReadDeadline(time.Now().Add(afterWord))
	}
}

// answered says that the answer's head is there.
func (u *upload) answered() {
	u.goOn(false)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.heard = true
	if u.hurried {
		_ = u.conn.raw.SetReadDeadline(time.Time{})
	}
}

// complete waits a moment for the last of the request, and reports whether all of
// it was sent.
func (u *upload) complete() bool {
	select {
	case <-u.done:
	default:
		patience := time.NewTimer(afterWord)
		defer patience.Stop()
		select {
		case <-u.done:
		case <-patience.C:
			return false
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken == nil && u.failed == nil && !u.skipped
}

// reasons returns what was wrong with the request's body, and with the connection
// as it took the request. The connection is closed: a write that is under way ends
// now, after which nothing more is sent or told.
func (u *upload) reasons() (broken, failed error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken, u.failed
}

// bodyWriter writes a body as it comes, the head with its first piece.
type bodyWriter struct {
	u     *upload
	head  []byte
	left  int64 // of a counted body; negative: chunked
	chunk []byte
	err   error // of the connection
}

// Write is called by io.Copy, or by a body that writes itself.
func (w *bodyWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if w.left < 0 {
		w.chunk = strconv.AppendInt(w.chunk[:0], int64(len(p)), 16)
		w.chunk = append(append(append(w.chunk, "\r\n"...), p...), "\r\n"...)
		w.err = w.put(w.chunk)
	} else if w.left -= int64(len(p)); w.left < 0 {
		w.left = 0
		return 0, errLong
	} else {
		w.err = w.put(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// put writes a piece, after the head if that has not left yet.
func (w *bodyWriter) put(p []byte) error {
	head := w.head
	if w.head = nil; len(head) == 0 {
		return w.u.put(p)
	}
	if _, ok := w.u.conn.wire.(*net.TCPConn); ok {
		n := min(len(p), onePiece) // so that it is told soon that something was sent
		if err := w.u.put(head, p[:n]); err != nil || n == len(p) {
			return err
		}
		return w.u.put(p[n:])
	}
	n := min(len(p), max(0, 16<<10-len(head))) // what one TLS record takes
	head = append(head, p[:n]...)
	if n == len(p) {
		return w.u.put(head)
	}
	return w.u.put(head, p[n:])
}

// end writes what follows the body.
func (w *bodyWriter) end(o *outgoing) error {
	if w.left > 0 {
		return errShort
	}
	if w.left == 0 {
		return nil
	}
	last := append(w.chunk[:0], "0\r\n"...)
	var err error
	if last, err = appendFields(last, o.req.Trailer); err != nil {
		return err
	}
	w.err = w.put(append(last, "\r\n"...))
	return w.err
}
