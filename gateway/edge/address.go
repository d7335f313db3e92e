package edge

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many entries of a forwarding header are looked at.
const maxHops = 64

// addressOf is the address that a call came from: whoever opened the connection,
// unless that is a proxy whose word is taken. Then it is the last address of its
// forwarding header that is no such proxy: what stands to the left of it was
// written by the caller.
//
// A proxy writes X-Forwarded-For or Forwarded, and lets the other one through as
// the caller made it up. Where both are there and do not agree neither is
// believed, and the call counts as the proxy's own.
func addressOf(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer := hop(r.RemoteAddr)
	if !among(peer, trusted) {
		return peer
	}
	plain, standard := r.Header["X-Forwarded-For"], r.Header["Forwarded"]
	switch {
	case len(standard) == 0:
		return lastStranger(peer, entries(plain), trusted)
	case len(plain) == 0:
		return lastStranger(peer, forwardedFor(standard), trusted)
	}
	one, other := lastStranger(peer, entries(plain), trusted), lastStranger(peer, forwardedFor(standard), trusted)
	if one != other {
		return peer
	}
	return one
}

// lastStranger goes from right to left to the first hop that is no trusted proxy.
// At one that cannot be read it stops: who added it is known, nobody before.
func lastStranger(peer netip.Addr, hops []string, trusted []netip.Prefix) netip.Addr {
	found := peer
	for i, text := range slices.Backward(hops) {
		a := hop(text)
		if !a.IsValid() || len(hops)-i > maxHops {
			return found
		}
		found = a
		if !among(a, trusted) {
			return found
		}
	}
	return found
}

func among(a netip.Addr, list []netip.Prefix) bool {
	return a.IsValid() && slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// entries are the members of a header that is a list.
func entries(lines []string) []string {
	return strings.Split(strings.Join(lines, ","), ",")
}

// forwardedFor are the for parameters of Forwarded (RFC 7239), one for each
// element; "" where there is none.
func forwardedFor(lines []string) []string {
	elements := entries(lines)
	hops := make([]string, len(elements))
	for i, element := range elements {
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if strings.EqualFold(strings.TrimSpace(name), "for") {
				hops[i] = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return hops
}

// hop reads an address, with or without a port; the invalid one if it is none.
func hop(text string) netip.Addr {
	text = strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
