package holdfast

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/holdfast-gateway/holdfast/call"
)

// realtimePath is where providers take calls over a connection of their own.
const realtimePath = "/v1/realtime"

// upgradeOf returns the protocol a request wants to switch to, "" for none.
func upgradeOf(req *http.Request) string {
	for _, line := range req.Header["Connection"] {
		for word := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(word), "upgrade") {
				return req.Header.Get("Upgrade")
			}
		}
	}
	return ""
}

// tunnel is a connection that the provider switched to another protocol. It
// holds its permit until it is closed; nothing on it is read by us, nothing is
// tried again.
type tunnel struct {
	io.ReadWriteCloser
	end func(error)

	once   sync.Once
	mu     sync.Mutex
	broken error
}

func (t *tunnel) Read(p []byte) (int, error)  { return t.seen(t.ReadWriteCloser.Read(p)) }
func (t *tunnel) Write(p []byte) (int, error) { return t.seen(t.ReadWriteCloser.Write(p)) }

func (t *tunnel) seen(n int, err error) (int, error) {
	if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader promises it
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.broken == nil {
			t.broken = err
		}
	}
	return n, err
}

// Close ends the tunnel on both sides. A second Close does nothing.
func (t *tunnel) Close() (err error) {
	t.once.Do(func() {
		t.mu.Lock()
		broken := t.broken
		t.mu.Unlock()
		err = t.ReadWriteCloser.Close()
		t.end(broken)
	})
	return err
}

// errSwitched is an answer with which nothing can begin: the provider speaks
// another protocol from here, which nobody asked for or nobody can write to.
var errSwitched = errors.New("holdfast: the provider switched protocols unasked")

// dig makes a tunnel of a switched connection.
func (s *sending) dig(resp *http.Response) *answer {
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || s.in.upgrade == "" {
		_ = resp.Body.Close() // what comes on it has no end
		return s.failed(errSwitched)
	}
	s.clocks.Commit()
	s.permit.FirstToken()
	t := &tunnel{ReadWriteCloser: conn}
	t.end = func(broken error) {
		o := call.Outcome{Verdict: call.Verdict{Class: call.OK}, Status: http.StatusSwitchingProtocols, Sent: true, Committed: true}
		if broken != nil && s.ctx.Err() == nil {
			o.Class, o.Err = call.Truncated, broken
		}
		s.end(o)
		s.in.ended(s.outcome, http.StatusSwitchingProtocols, "provider", "")
	}
	return &answer{sending: s, resp: resp, tunnel: t}
}

// join returns the answer that hands a tunnel to the caller: its Body is an
// io.ReadWriteCloser, as with http.Transport. From here on it may end at any
// moment, and its end reads what was written until now.
func (in *incoming) join(a *answer) *http.Response {
	h := a.resp.Header
	foreign(h)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", in.upgrade)
	in.stamp(h)
	resp := in.response(http.StatusSwitchingProtocols, h, a.tunnel, -1)
	context.AfterFunc(a.sending.ctx, func() { _ = a.tunnel.Close() }) // the attempt's end cancels it: nothing is left to stop
	return resp
}
