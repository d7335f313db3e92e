package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"time"
)

// exchange is one request and its answer on one connection. One allocation holds
// what belongs to it.
type exchange struct {
	t      *Transport
	req    *http.Request
	ctx    context.Context
	trace  *httptrace.ClientTrace
	out    outgoing
	conn   *conn
	stop   func() bool // ends the watch over the context; nil without
	up     *upload     // nil: the request left in one piece
	sent   bool        // in one piece: the connection took a byte of it
	heard  bool        // a byte of the answer came
	failed error       // why the connection took only some of it
	resp   http.Response
	body   body
}

// newExchange prepares a request, or says what is wrong with it.
func newExchange(t *Transport, req *http.Request) (*exchange, error) {
	x := &exchange{t: t, req: req, ctx: req.Context()}
	x.trace = httptrace.ContextClientTrace(x.ctx)
	if err := x.out.describe(req); err != nil {
		return nil, err
	}
	return x, nil
}

// run sends the request and reads the answer's head. After an error the
// connection is gone, and so is the request's body.
func (x *exchange) run(fresh bool) error {
	if x.ctx.Err() != nil {
		x.out.close()
		return context.Cause(x.ctx)
	}
	head, err := x.out.head() // before anything is asked of the network
	if err != nil {
		x.out.close()
		return err
	}
	whole := x.out.fits(len(head.b))
	if whole {
		if err = x.out.pack(head); err != nil {
			head.release()
			return err
		}
	}
	began := time.Now()
	if x.conn, err = x.t.connect(x, fresh); err != nil {
		head.release()
		if !whole {
			x.out.close()
		}
		return err
	}
	x.got(began)
	if x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, x.conn.kill)
	}
	if err = x.send(head, whole); err == nil {
		err = x.receive()
	}
	if err != nil {
		x.drop()
		return x.explain(err)
	}
	return nil
}

// receive reads heads until one is the answer's.
func (x *exchange) receive() error {
	limit := orDefault(x.t.MaxHeaderBytes, 64<<10)
	if err := x.conn.in.fill(); err != nil {
		return err
	}
	x.hear()
	for {
		block, err := x.conn.in.block(limit)
		if err != nil {
			return err
		}
		limit -= len(block)
		f, err := parseHead(block, x.out.method, &x.resp)
		if err != nil {
			return err
		}
		switch code := x.resp.StatusCode; {
		case code == http.StatusSwitchingProtocols && (f.kind != switched || !x.out.upgrade):
			return malformed("it switches protocols, and nobody asked it to")
		case code >= 200 || f.kind == switched:
			return x.begin(f)
		}
		if err := x.inform(); err != nil {
			return err
		}
		x.resp = http.Response{}
	}
}

// hear tells that the answer's first byte came.
func (x *exchange) hear() {
	x.heard = true
	if x.trace != nil && x.trace.GotFirstResponseByte != nil {
		x.trace.GotFirstResponseByte()
	}
}

// inform tells of an informational answer.
func (x *exchange) inform() error {
	code := x.resp.StatusCode
	if code == http.StatusContinue {
		if x.up != nil {
			x.up.goOn(true)
		}
		if x.trace != nil && x.trace.Got100Continue != nil {
			x.trace.Got100Continue()
		}
	}
	if x.trace != nil && x.trace.Got1xxResponse != nil {
		return x.trace.Got1xxResponse(code, textproto.MIMEHeader(x.resp.Header))
	}
	return nil
}

// begin starts the body of the answer.
func (x *exchange) begin(f framing) error {
	if x.up != nil {
		x.up.answered()
	} else if x.failed != nil {
		f.keep = false
		_ = x.conn.raw.SetReadDeadline(time.Time{})
	}
	x.resp.Request, x.resp.TLS = x.req, x.conn.state
	f.keep = f.keep && !x.out.last
	switch f.kind {
	case empty:
		x.resp.Body = http.NoBody
		x.done(f.keep)
	case switched:
		if x.stop != nil && !x.stop() {
			return context.Cause(x.ctx)
		}
		x.resp.Body = &tunnel{x.conn}
	default:
		x.body = body{x: x, framing: f}
		x.resp.Body = &x.body
	}
	return nil
}

// done ends the exchange after the answer's last byte. The connection is kept if
// both sides are done with this request and nothing else came.
func (x *exchange) done(keep bool) {
	quiet := x.stop == nil || x.stop()
	if !keep || !quiet || len(x.conn.in.buffered()) > 0 || x.up != nil && !x.up.complete() {
		x.drop()
		return
	}
	err := x.t.keep(x.conn)
	if x.trace != nil && x.trace.PutIdleConn != nil {
		x.trace.PutIdleConn(err)
	}
}

// drop ends the exchange and its connection.
func (x *exchange) drop() {
	if x.stop != nil {
		x.stop()
	}
	x.conn.hangUp()
	x.conn.in.release()
}

// explain says why an exchange failed: the request's own body, and the connection
// as it took the request, are better reasons than what came of them.
func (x *exchange) explain(err error) error {
	broken, failed := error(nil), x.failed
	if x.up != nil {
		x.up.goOn(false)
		broken, failed = x.up.reasons()
	}
	switch {
	case broken != nil:
		return broken
	case failed != nil && !x.heard && errors.Is(err, os.ErrDeadlineExceeded):
		return failed
	case failed != nil && x.up != nil && x.up.wrote.Load() == 0:
		return failed
	case err == io.EOF: //nolint:errorlint // io.Reader returns it as it is
		return errGone
	}
	return err
}

// errGone is an end of the connection where an answer should have begun.
var errGone = fmt.Errorf("http1: the server closed the connection without an answer: %w", io.EOF)

// mayRepeat reports whether a failed exchange may be tried once more, on a new
// connection. The rules are those of http.Transport: the connection had been used
// before, no byte of an answer came, the body can be had again, and either
// nothing was sent or the request says that it may be sent twice.
func (x *exchange) mayRepeat() bool {
	if x.conn == nil || !x.conn.used || x.heard || !x.out.repeatable() {
		return false
	}
	wrote := x.sent
	if x.up != nil {
		wrote = x.up.wrote.Load() > 0
	}
	return !wrote || x.out.idempotent()
}

// again returns the same exchange, anew.
func (x *exchange) again() (*exchange, error) {
	next := &exchange{t: x.t, req: x.req, ctx: x.ctx, trace: x.trace, out: x.out}
	if x.req.GetBody != nil && x.out.length != 0 {
		body, err := x.req.GetBody()
		if err != nil {
			return nil, err
		}
		next.out.body = body
	}
	return next, nil
}
