package ratelimit

import "net/netip"

// AddressKey is the key under which an address is limited: the address itself
// for IPv4, its /64 for IPv6, of which everybody has at least one. An IPv4
// address written as IPv6 is itself; zones are ignored; no address is "".
func AddressKey(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}
