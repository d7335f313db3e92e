// Package hosts judges the names by which a listener is called. A web page's
// owner may point a name of his at this machine (DNS rebinding), and then no
// browser sees another origin; he cannot do so with an address, nor with a name
// that public DNS does not have.
package hosts

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Of returns the name in "name", "name:port" or "[address]:port", in lower case
// and without a final dot.
func Of(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	return strings.TrimSuffix(strings.ToLower(s), ".")
}

// private are the ends of names that only the network around this machine knows:
// RFC 6761, RFC 6762, and what ICANN keeps for private use.
var private = []string{".localhost", ".local", ".internal"}

// Private reports whether a host, as Of returns it, is an address or a name that
// public DNS cannot lead here: one word, or under a private end.
func Private(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && !strings.Contains(host, ".") ||
		slices.ContainsFunc(private, func(end string) bool { return strings.HasSuffix(host, end) })
}
