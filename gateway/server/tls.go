package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/config"
)

// handshakeTime bounds a TLS handshake.
const handshakeTime = 10 * time.Second

// certificate is what callers are shown, read from two files again whenever
// these have changed. Its methods may be called from several goroutines.
type certificate struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	digest [32]byte // of the files as they were last looked at
}

// newCertificate reads a certificate chain and its key, both PEM.
func newCertificate(cert, key string) (*certificate, error) {
	c := &certificate{cert: cert, key: key}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload looks at the files and, when they have changed, puts them in force for
// handshakes from now on. Files that do not fit change nothing: they may be in
// the middle of being replaced. The error is told once for each content.
func (c *certificate) reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, certErr := os.ReadFile(c.cert)
	key, keyErr := os.ReadFile(c.key)
	digest := sha256.Sum256(fmt.Appendf(nil, "%q %q %v %v", cert, key, certErr, keyErr))
	if digest == c.digest {
		return false, nil
	}
	c.digest = digest
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("tls: %s and %s cannot be used: %w", c.cert, c.key, err)
	}
	c.current.Store(&pair)
	return true, nil
}

// config offers HTTP/2 and HTTP/1.1 from TLS 1.2 on.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// certificateOf returns what a file says to show callers; nil for nothing.
func certificateOf(file *config.File) (*certificate, error) {
	if file.TLS.Cert == "" {
		return nil, nil
	}
	return newCertificate(file.TLS.Cert, file.TLS.Key)
}

// guarded puts TLS, where there is a certificate, and the watch over framing in
// front of a listener.
func (s *Server) guarded(l net.Listener) net.Listener {
	l = unsentListener{l}
	if s.shown == nil {
		return framedListener{l}
	}
	return newTLSListener(l, s.shown.config())
}

// renew reads the certificate again if it has changed.
func (s *Server) renew() {
	if s.shown == nil {
		return
	}
	switch changed, err := s.shown.reload(); {
	case err != nil:
		s.log.Error("certificate not changed", "error", err.Error())
	case changed:
		s.log.Info("certificate changed", "file", s.shown.cert)
	}
}

// tlsListener accepts connections whose handshake is over, so that those that
// speak HTTP/1.1 can have their framing followed; net/http serves HTTP/2 only on
// a *tls.Conn. Nobody waits for another one's handshake.
type tlsListener struct {
	net.Listener
	config *tls.Config

	ready  chan net.Conn
	failed chan error
	ctx    context.Context
	stop   context.CancelFunc
	all    sync.WaitGroup
}

func newTLSListener(l net.Listener, config *tls.Config) *tlsListener {
	t := &tlsListener{Listener: l, config: config, ready: make(chan net.Conn), failed: make(chan error)}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.all.Go(t.accept)
	return t
}

func (l *tlsListener) accept() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err: // net/http decides whether to go on
				continue
			case <-l.ctx.Done():
				return
			}
		}
		l.all.Go(func() { l.greet(c) })
	}
}

// greet brings one handshake to its end and hands the connection over.
func (l *tlsListener) greet(c net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, handshakeTime)
	defer cancel()
	conn := tls.Server(c, l.config)
	if conn.HandshakeContext(ctx) != nil {
		_ = c.Close() // whoever it was does not speak TLS, or not in time
		return
	}
	var out net.Conn = conn
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		out = framed(conn)
	}
	select {
	case l.ready <- out:
	case <-l.ctx.Done():
		_ = c.Close()
	}
}

// Accept waits for the next connection that has shaken hands.
func (l *tlsListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close stops listening, breaks off handshakes under way and waits for their end.
func (l *tlsListener) Close() error {
	err := l.Listener.Close()
	l.stop()
	l.all.Wait()
	return err
}
