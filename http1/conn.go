package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one connection. It belongs to one exchange at a time, or to the pool.
type conn struct {
	place  place
	wire   net.Conn             // what requests are written to
	raw    net.Conn             // below TLS; the same as wire without
	state  *tls.ConnectionState // nil without TLS
	in     reader
	since  time.Time // when it became idle
	used   bool      // it has served a request
	socket bool      // the operating system buffers what is written
	closed atomic.Bool

	probe  syscall.RawConn // nil where nobody can say
	probed func(fd uintptr) bool
	alive  bool
	kill   func() // closes at once, from any goroutine; hangUp, bound once
}

// connect returns a connection for x: an idle one, unless fresh, else a new one.
func (t *Transport) connect(x *exchange, fresh bool) (*conn, error) {
	at := place{x.req.URL.Scheme == "https", x.req.URL.Host}
	if x.trace != nil && x.trace.GetConn != nil {
		x.trace.GetConn(address(x.req.URL))
	}
	for !fresh {
		c, old := t.pool.take(at, t.idleTimeout())
		for _, o := range old {
			o.discard()
		}
		if c == nil {
			break
		}
		if c.lives() {
			return c, nil
		}
		c.discard()
	}
	return t.dial(x, at)
}

// address is where to connect to, host:port.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (t *Transport) dial(x *exchange, at place) (*conn, error) {
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(x.ctx, "tcp", address(x.req.URL))
	if err != nil {
		return nil, err
	}
	c := &conn{place: at, raw: raw, wire: raw}
	c.kill = c.hangUp
	if s, ok := raw.(syscall.Conn); ok {
		c.socket = true
		if c.probe, err = s.SyscallConn(); err != nil {
			c.probe = nil
		}
		c.probed = func(fd uintptr) bool { c.alive = silent(fd); return true }
	}
	if at.tls {
		if err := t.secure(x, c); err != nil {
			_ = raw.Close()
			return nil, err
		}
	}
	c.in.src = c.wire
	return c, nil
}

// secure puts TLS on a new connection.
func (t *Transport) secure(x *exchange, c *conn) error {
	ctx := x.ctx
	if limit := orDefault(t.HandshakeTimeout, 10*time.Second); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	trace := x.trace
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	secured := tls.Client(c.raw, t.tlsConfig(x.req.URL.Hostname()))
	err := secured.HandshakeContext(ctx)
	state := secured.ConnectionState()
	if p := state.NegotiatedProtocol; err == nil && p != "" && p != "http/1.1" {
		err = errors.New("http1: the server chose a protocol that was not offered")
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(state, err)
	}
	c.wire, c.state = secured, &state
	return err
}

func (t *Transport) tlsConfig(host string) *tls.Config {
	c := t.TLS.Clone()
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.NextProtos = []string{"http/1.1"}
	if c.ClientSessionCache == nil {
		t.sessions.Do(func() { t.cache = tls.NewLRUClientSessionCache(0) })
		c.ClientSessionCache = t.cache
	}
	return c
}

// lives reports whether an idle connection can serve: nothing has come on it,
// not its end either. Where only a read that waits could tell, it says yes.
func (c *conn) lives() bool {
	if c.probe == nil {
		return true
	}
	c.alive = false
	return c.probe.Read(c.probed) == nil && c.alive
}

// hangUp closes a connection at once: without TLS's word of farewell, which could
// wait for the other side.
func (c *conn) hangUp() {
	if !c.closed.Swap(true) {
		_ = c.raw.Close()
	}
}

// discard closes a connection that nobody uses.
func (c *conn) discard() {
	if !c.closed.Swap(true) {
		_ = c.wire.Close()
	}
}

// keep puts a connection into the pool, or closes it when there is no room, and
// says why.
func (t *Transport) keep(c *conn) error {
	c.used = true
	c.in.release()
	perHost := orDefault(t.MaxIdlePerHost, 256)
	if t.pool.put(c, perHost, orDefault(t.MaxIdle, 1024), t) {
		return nil
	}
	c.discard()
	return errNoRoom
}

var errNoRoom = errors.New("http1: no room for another idle connection")

// sweep closes the idle connections whose time is over, and those that the other
// side has closed.
func (t *Transport) sweep() {
	old, resting := t.pool.lift(t.idleTimeout())
	for _, c := range old {
		c.discard()
	}
	living := resting[:0]
	for _, c := range resting {
		if c.lives() {
			living = append(living, c)
		} else {
			c.discard()
		}
	}
	for _, c := range t.pool.lay(living, t) {
		c.discard()
	}
}

func (t *Transport) idleTimeout() time.Duration { return orDefault(t.IdleTimeout, 90*time.Second) }

// got tells the trace which connection serves.
func (x *exchange) got(began time.Time) {
	if x.trace == nil || x.trace.GotConn == nil {
		return
	}
	info := httptrace.GotConnInfo{Conn: x.conn.wire, Reused: x.conn.used, WasIdle: x.conn.used}
	if x.conn.used {
		info.IdleTime = began.Sub(x.conn.since)
	}
	x.trace.GotConn(info)
}
