package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ErrMalformed reports an answer that is not HTTP/1.1, or a dangerous kind of
// it. The error's text says which rule it broke, never what the server sent.
var ErrMalformed = errors.New("http1: malformed answer")

// ErrTooLarge reports an answer whose head is larger than it may be.
var ErrTooLarge = errors.New("http1: the answer's head is too large")

// ErrRequest reports a request that cannot be written: a name or value that
// would break out of its line, a missing host, a scheme that is not http(s).
// Nothing of it was sent.
var ErrRequest = errors.New("http1: invalid request")

// ErrBodyClosed is returned by reads of an answer's body after Close.
var ErrBodyClosed = errors.New("http1: read of a closed answer")

// Transport is an http.RoundTripper. The zero value is ready to use; a zero field
// means the default beside it. Fields must not be changed after the first
// request. It is safe for concurrent use.
type Transport struct {
	// DialContext makes connections; nil: a net.Dialer with the operating
	// system's defaults. addr is host:port. Connections need not be TCP.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is cloned for each connection; ServerName, NextProtos and, where nil, the
	// session cache are set. nil: the standard library's defaults.
	TLS *tls.Config
	// Proxy says whether a request goes through a proxy: then it goes to Fallback.
	// nil: never.
	Proxy func(*http.Request) (*url.URL, error)
	// Fallback takes what this package does not do; nil: ErrRequest.
	Fallback http.RoundTripper

	HandshakeTimeout time.Duration // of TLS; 10s; negative: none
	ContinueTimeout  time.Duration // waiting for 100 with Expect: 100-continue; 1s
	IdleTimeout      time.Duration // an idle connection is closed after it; 90s; negative: never
	MaxIdlePerHost   int           // idle connections kept for one host; 256; negative: none are kept
	MaxIdle          int           // idle connections kept in all; 1024
	MaxHeaderBytes   int           // of an answer's head, informational ones included; 64 KiB

	pool     pool
	sessions sync.Once
	cache    tls.ClientSessionCache
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// RoundTrip sends a request and returns its answer when the answer's head has
// come. The request's body is closed in every case, perhaps after RoundTrip has
// returned. When the request's context ends, the error is its cause.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if other, err := t.elsewhere(req); err != nil || other != nil {
		if err != nil {
			closeBody(req)
			return nil, err
		}
		return other.RoundTrip(req)
	}
	x, err := newExchange(t, req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	for fresh := false; ; fresh = true {
		err = x.run(fresh)
		if err == nil {
			return &x.resp, nil
		}
		if cause := context.Cause(x.ctx); cause != nil {
			return nil, cause
		}
		if !x.mayRepeat() {
			return nil, err
		}
		again, failed := x.again()
		if failed != nil {
			return nil, failed
		}
		x = again
	}
}

// CloseIdleConnections closes connections that no request uses, and those in use
// when their answers end, until the next request comes.
func (t *Transport) CloseIdleConnections() {
	for _, c := range t.pool.empty() {
		c.discard()
	}
	if c, ok := t.Fallback.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// elsewhere returns who takes a request that is not for this package; nil for
// one that is.
func (t *Transport) elsewhere(req *http.Request) (http.RoundTripper, error) {
	if req.URL == nil || req.Header == nil {
		return nil, invalid("it has no URL or no header")
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return nil, invalid("the scheme is neither http nor https")
	}
	why := ""
	switch {
	case req.Method == http.MethodConnect:
		why = "its method is CONNECT"
	case !ascii(req.URL.Host) || !ascii(req.Host):
		why = "its host is not ASCII"
	case t.Proxy != nil:
		proxy, err := t.Proxy(req)
		if err != nil {
			return nil, err
		}
		if proxy != nil {
			why = "a proxy applies to it"
		}
	}
	switch {
	case why == "":
		return nil, nil
	case t.Fallback == nil:
		return nil, invalid(why + ", and there is no fallback")
	}
	return t.Fallback, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
