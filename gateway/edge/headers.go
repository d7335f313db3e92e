package edge

import (
	"net/http"
	"slices"
	"strings"
)

// ofConnection reports whether a header belongs to one connection (RFC 9110
// 7.6.1), besides those that Connection names.
func ofConnection(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Expect": // answered here
		return true
	}
	return false
}

// kept are the headers that nobody can take away by naming them in Connection:
// what comes after them relies on them (golang/go#50580).
var kept = []string{
	"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Anthropic-Version", "Anthropic-Beta",
	"Content-Type", "Content-Encoding", "Content-Length", "Idempotency-Key",
}

// listened are the headers by which a caller speaks to the gateway.
var listened = []string{"X-Holdfast-Timeout-Ms", "X-Holdfast-No-Retry", "X-Holdfast-No-Fallback", "X-Holdfast-Priority"}

// isOurs reports whether a header speaks in the gateway's name, in any spelling:
// servers behind us may take an underscore for a hyphen.
func isOurs(name string) bool {
	if len(name) < len("x-holdfast-") || name[0]|0x20 != 'x' {
		return false
	}
	return strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-holdfast-")
}

// endToEnd takes the headers out that are those of one connection, and those
// that speak in the gateway's name.
func endToEnd(h http.Header) {
	connection := h["Connection"]
	for name := range h {
		if ofConnection(name) || isOurs(name) && !slices.Contains(listened, name) {
			delete(h, name)
		}
	}
	withoutNamed(h, connection)
}

// withoutNamed removes the headers that Connection names.
func withoutNamed(h http.Header, connection []string) {
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if !slices.Contains(kept, name) && !isOurs(name) {
				delete(h, name)
			}
		}
	}
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
