// Package pipenet is a network inside one process: a listener whose connections are
// net.Pipe pairs. An http.Server and an http.Transport joined by it run inside a
// testing/synctest bubble, where a loopback port would keep the bubble from ever
// becoming idle.
//
// A write blocks until the other side reads it, as on a socket without buffers.
// Closing one end gives the other io.EOF; closing after SetLinger(0) gives it
// ECONNRESET, as TCP does.
package pipenet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
)

// Listener is a net.Listener that is dialed by its own Dial methods.
// Its methods may be called from several goroutines.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	dialed atomic.Int64
}

// Listen returns an open Listener. It holds no goroutine and no descriptor.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for the next Dial. After Close it returns an error that is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, fault("accept", net.ErrClosed)
	}
}

// Close refuses further connections; those already made stay open. It may be called twice.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the one address of this network, "pipe".
func (l *Listener) Addr() net.Addr { return addr{} }

// Dialed returns how many connections were accepted so far.
func (l *Listener) Dialed() int { return int(l.dialed.Load()) }

// Dial connects. After Close it fails with ECONNREFUSED.
func (l *Listener) Dial() (net.Conn, error) {
	return l.DialContext(context.Background(), "pipe", "pipe")
}

// DialContext has the signature of http.Transport.DialContext; network and address are
// ignored. It waits for an Accept, for Close (ECONNREFUSED) or for the end of ctx.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := pair()
	select {
	case <-l.closed: // a closed listener refuses even while an Accept still waits
		return nil, fault("dial", syscall.ECONNREFUSED)
	default:
	}
	select {
	case l.conns <- server:
		l.dialed.Add(1)
		return client, nil
	case <-l.closed:
		return nil, fault("dial", syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, fault("dial", ctx.Err())
	}
}

// Transport returns a new http.Transport that dials l, whatever host is asked for,
// and uses no proxy. Close its idle connections before a bubble ends.
func (l *Listener) Transport() *http.Transport {
	return &http.Transport{DialContext: l.DialContext, MaxIdleConnsPerHost: 64}
}

// Serve runs h behind a new Listener and returns a client for it (any http:// address
// leads to h) and a stop that closes both sides and waits for the server's goroutine.
// stop may be called twice.
func Serve(h http.Handler) (client *http.Client, stop func()) {
	l := Listen()
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // always http.ErrServerClosed, by stop
	}()
	transport := l.Transport()
	return &http.Client{Transport: transport}, func() {
		_ = server.Close()
		_ = l.Close() // the server knows l only once Serve has run
		transport.CloseIdleConnections()
		<-done
	}
}

// conn is one end. reset is shared by both: the end that closes hard leaves its mark there.
type conn struct {
	net.Conn
	linger atomic.Bool
	mine   *atomic.Bool // this end was closed with linger 0
	peer   *atomic.Bool
}

func pair() (client, server net.Conn) {
	a, b := net.Pipe()
	var fromA, fromB atomic.Bool
	return &conn{Conn: a, mine: &fromA, peer: &fromB}, &conn{Conn: b, mine: &fromB, peer: &fromA}
}

// SetLinger is that of net.TCPConn: with 0 a later Close resets the connection.
func (c *conn) SetLinger(seconds int) error {
	c.linger.Store(seconds == 0)
	return nil
}

func (c *conn) Close() error {
	if c.linger.Load() {
		c.mine.Store(true)
	}
	return c.Conn.Close()
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) && c.peer.Load() {
		err = fault("read", syscall.ECONNRESET)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) && c.peer.Load() {
		err = fault("write", syscall.ECONNRESET)
	}
	return n, err
}

// fault dresses err as the net package would, so that errors.Is and net.Error see the same.
func fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "pipe", Addr: addr{}, Err: err}
}

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }
