package holdfast

import (
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/http1"
)

// The values of Config.HTTP.
const (
	httpLean = "lean"
	httpNet  = "net"
)

// wire is a Transport's own way to the providers.
type wire interface {
	http.RoundTripper
	CloseIdleConnections()
}

// wireFor returns the way that a Config asks for: the one there is, if it is of
// that kind. What was there before serves the calls it has and is not kept.
func (t *Transport) wireFor(c Config) http.RoundTripper {
	kind := c.HTTP
	if kind == "" {
		kind = httpLean
	}
	if t.own != nil && t.kind == kind {
		return t.own
	}
	if t.own != nil {
		t.own.CloseIdleConnections()
	}
	t.kind, t.own = kind, newTransport(c)
	if kind == httpLean {
		t.own = newLean(c, t.own)
	}
	return t.own
}

// newLean returns the client for HTTP/1.1 that works in the caller's goroutine,
// with as many connections, and the same limits, as newTransport's. Requests that
// a proxy takes go through other.
func newLean(c Config, other http.RoundTripper) *http1.Transport {
	connect := c.Timeout.WithDefaults().Connect
	return &http1.Transport{
		Proxy:            http.ProxyFromEnvironment,
		Fallback:         other,
		DialContext:      dial(c.Dial, max(connect, 0)),
		HandshakeTimeout: connect,
		ContinueTimeout:  time.Second,
		IdleTimeout:      90 * time.Second,
		MaxIdle:          1024,
		MaxIdlePerHost:   256,
		MaxHeaderBytes:   256 << 10,
	}
}
