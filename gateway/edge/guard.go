package edge

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/internal/hosts"
)

// maxParameters is how many query parameters a request may have: parsers stop at
// different places, and what one does not see another one obeys.
const maxParameters = 100

// odd words what is wrong with a request that no honest client sends; nil when
// nothing is. Routing looks at none of these, so that this refuses only what
// another reader, of a log or behind us, could take for something else.
func odd(r *http.Request) *call.Problem {
	switch {
	case !isHost(r.Host):
		return oddRequest("invalid_host", "The request names no host that can be one.")
	case strings.Count(r.URL.RawQuery, "&")+strings.Count(r.URL.RawQuery, ";") >= maxParameters:
		return oddRequest("too_many_parameters", "The request has more than "+strconv.Itoa(maxParameters)+" query parameters.")
	case strings.ContainsFunc(r.URL.Path, isControl):
		return oddRequest("invalid_path", "The request's path holds control characters.")
	}
	return nil
}

// decisive are the members of a body by which it is decided who answers and how.
var decisive = []string{"model", "stream"}

// misdirected words what is wrong with a request under a name that is not this
// listener's: a web page's owner may have pointed it here, and then no browser
// sees another origin. Programs of HTTP/1.0 name no host, and no browser is one.
func (h *Handler) misdirected(r *http.Request) *call.Problem {
	if r.Host == "" || h.config.Named == nil || h.config.Named(hosts.Of(r.Host)) {
		return nil
	}
	return &call.Problem{Status: http.StatusMisdirectedRequest, Type: invalid, Code: "unknown_host",
		Message: "This gateway asks for no keys, so it is not served under a public name; use its IP address, or add the name to hosts."}
}

// ambiguous words what is wrong with a body that parsers read differently: one
// takes the first of two members, another one the last, and some, Go's own among
// them, take Model for model. Who may ask for one model could so be answered by
// another.
func ambiguous(r *http.Request, content []byte) *call.Problem {
	if len(content) == 0 || !isGuarded(r) {
		return nil
	}
	found, twice := map[string]bool{}, ""
	_ = call.Value(content).Members(func(key []byte, _ call.Value) bool { // a broken body is told by who reads it
		for _, name := range decisive {
			if strings.EqualFold(string(key), name) {
				if found[name] || string(key) != name {
					twice = name
				}
				found[name] = true
			}
		}
		return twice == ""
	})
	if twice == "" {
		return nil
	}
	return oddRequest("ambiguous_body", "The request body must hold \""+twice+"\" once, in lower case.")
}

func oddRequest(code, message string) *call.Problem {
	return &call.Problem{Status: http.StatusBadRequest, Type: invalid, Code: code, Message: message}
}

func isControl(r rune) bool {
	return r < 0x20 || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// isHost reports whether s is a host as URLs have them, with or without a port.
// An empty one is what HTTP/1.0 sends.
func isHost(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		if host == "" {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return ok && err == nil && address.Is6() && address.Zone() == ""
	}
	return len(host) <= 255 && !strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}
