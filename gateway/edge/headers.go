package edge

import (
	"net/http"
	"strings"
)

// hopByHop are the headers that belong to one connection (RFC 9110 7.6.1),
// besides those that Connection names.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// endToEnd returns a copy of headers without those of one connection.
func endToEnd(from http.Header) http.Header {
	to := from.Clone()
	if to == nil {
		return http.Header{}
	}
	for _, line := range from["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			to.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		to.Del(name)
	}
	to.Del("Expect") // answered here
	return to
}

// headerHas reports whether a list header holds a word, in any case.
func headerHas(h http.Header, name, word string) bool {
	for _, line := range h.Values(name) {
		for one := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(one), word) {
				return true
			}
		}
	}
	return false
}
