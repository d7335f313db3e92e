package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// upgrade answers a caller who wants to switch protocols: on /v1/realtime with a
// tunnel, where the configuration says so, everywhere else with 426, which SDKs
// and agents take as the word to go on with HTTP.
func (h *Handler) upgrade(out *reply, r *http.Request) {
	switch {
	case !strings.HasSuffix(r.URL.Path, "/v1/realtime") || h.config.Realtime == nil || !h.config.Realtime():
		h.refuse(out, r, call.Problem{Status: http.StatusUpgradeRequired, Type: invalid, Code: "upgrade_required",
			Message: "WebSockets are not served here; use HTTP with \"stream\": true."})
	case !sameOrigin(r): // a web page somewhere must not talk through this machine
		h.refuse(out, r, call.Problem{Status: http.StatusForbidden, Type: invalid, Code: "cross_origin",
			Message: "Web pages of other origins may not call this gateway."})
	default:
		h.tunnel(out, r)
	}
}

// sameOrigin reports whether a WebSocket request comes from no web page, or from
// one of this host: cross-origin rules do not cover WebSockets.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// tunnel joins the caller's connection with one to the provider. It has the
// caller's authentication, one permit and one attempt; its bytes are not read, so
// a key that may not use everything has none, but to a tool of its own.
func (h *Handler) tunnel(out *reply, r *http.Request) {
	if problem := h.permitted(&out.who, r, nil); problem != nil {
		h.refuse(out, r, *problem)
		return
	}
	protocol := r.Header.Get("Upgrade")
	upstream, err := h.upstream(&out.who, r, &payload{})
	if err != nil {
		h.refuse(out, r, call.Problem{Reason: call.ReasonBadRequest, Message: "The request's address cannot be used."})
		return
	}
	upstream.Header.Set("Connection", "Upgrade")
	upstream.Header.Set("Upgrade", protocol)
	resp, err := h.config.Transport.RoundTrip(upstream)
	if err != nil {
		h.failed(out, r, err)
		return
	}
	far, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		h.answer(out, r, resp)
		return
	}
	defer far.Close()
	out.deadline(time.Time{})
	near, buffered, err := out.control.Hijack()
	if err != nil {
		h.config.Log.Warn("a connection cannot be switched", "error", err.Error())
		h.refuse(out, r, call.Problem{Status: http.StatusUpgradeRequired, Type: invalid, Code: "upgrade_required",
			Message: "This connection cannot be switched; use HTTP/1.1."})
		return
	}
	out.began = true
	newScrubber(io.Discard, h.wanted()).header(resp.Header)
	join(r.Context(), pressed{near, h.config.writeStall()}, buffered, far, resp.Header)
}

// pressed is a connection whose other side has to read what is written.
type pressed struct {
	net.Conn
	stall time.Duration
}

func (p pressed) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(p.stall)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// join tells the caller that the protocol is switched and carries bytes both
// ways until one side ends or the context does.
func join(ctx context.Context, near net.Conn, buffered *bufio.ReadWriter, far io.ReadWriteCloser, header http.Header) {
	_ = near.SetDeadline(time.Time{})
	end := func() {
		_ = near.Close()
		_ = far.Close()
	}
	stop := context.AfterFunc(ctx, end)
	defer stop()
	defer end()
	fmt.Fprintf(buffered, "HTTP/1.1 %d %s\r\n", http.StatusSwitchingProtocols, http.StatusText(http.StatusSwitchingProtocols))
	_ = header.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	if buffered.Flush() != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, buffered.Reader)
		end()
	}()
	_, _ = io.Copy(near, far)
	end()
	<-done
}
