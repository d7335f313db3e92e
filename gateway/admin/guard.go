package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/holdfast-gateway/holdfast/gateway/internal/hosts"
)

// judge says why a request is not served, whatever it asks for.
func (a *API) judge(r *http.Request) *problem {
	switch {
	case !a.knows(r):
		return &problem{Status: http.StatusMisdirectedRequest, Code: "unknown_host",
			Detail: "This address is not served under that name. Use its IP address, or add the name to admin.hosts."}
	case a.origins.Check(r) != nil:
		return &problem{Status: http.StatusForbidden, Code: "cross_origin", Detail: "Web pages of other origins may not change anything here."}
	case !a.knowsOperator(r):
		return &problem{Status: http.StatusUnauthorized, Code: "unauthorized", Detail: "Send the token of admin.token as Authorization: Bearer."}
	}
	return nil
}

// knows reports whether the request came under a name of this listener. Another
// name may be one that a web page's owner has pointed here; an address cannot.
func (a *API) knows(r *http.Request) bool {
	host := hosts.Of(r.Host)
	if host == "" {
		return false
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback() || sameIP(ip, hosts.Of(a.Listen)) || sameIP(ip, localAddress(r)) || a.named(host)
	}
	return host == "localhost" || host == hosts.Of(a.Listen) || a.named(host)
}

func (a *API) named(host string) bool {
	return a.Hosts != nil && slices.ContainsFunc(a.Hosts(), func(h string) bool { return hosts.Of(h) == host })
}

func sameIP(ip net.IP, text string) bool {
	other := net.ParseIP(text)
	return other != nil && !other.IsUnspecified() && ip.Equal(other)
}

// localAddress is the address that the connection came in at.
func localAddress(r *http.Request) string {
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return hosts.Of(at.String())
	}
	return ""
}

// knowsOperator reports whether the request has the token. Without a token a
// listener for this machine alone is open, and another one is closed.
func (a *API) knowsOperator(r *http.Request) bool {
	want := string(a.Token())
	if want == "" {
		return !a.Exposed()
	}
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	got, wanted := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(got[:], wanted[:]) == 1 && strings.EqualFold(scheme, "bearer")
}

// profile serves Go's profiler, but not the command line.
func (a *API) profile(w http.ResponseWriter, r *http.Request) {
	if a.Pprof == nil || !a.Pprof() {
		notFound().write(w)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		wrongMethod("GET, HEAD").write(w)
		return
	}
	w.Header().Del("Content-Security-Policy") // its index is a page of links
	switch strings.TrimPrefix(r.URL.Path, "/debug/pprof/") {
	case "cmdline":
		notFound().write(w)
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	default:
		pprof.Index(w, r)
	}
}
