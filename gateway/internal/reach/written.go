package reach

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Judge says what is wrong with a host as it is written in a base URL, without
// port and brackets: an address that is refused in any case, a spelling that
// other parsers read as another host, or nothing. listed are the addresses that
// the operator allows for it. A name is judged by what it resolves to, later.
func Judge(host string, listed []netip.Prefix) error {
	bare := strings.TrimRight(host, ".")
	a, err := netip.ParseAddr(host)
	plainly := err == nil && !a.Is4In6()
	if err != nil {
		a, _ = numeric(bare)
	}
	switch {
	case a.IsValid():
		return judgeAddress(host, a, plainly, listed)
	case bare == "":
		return errors.New("there is no host in it")
	case strings.ContainsFunc(host, func(r rune) bool { return !nameRune(r) }):
		return errors.New("a host is written in ASCII letters, digits, dots and hyphens; names in other scripts as xn--...")
	case endsInNumber(bare):
		return fmt.Errorf("%q looks like an address and is none", host)
	case host != bare && isLocalhost(bare):
		return fmt.Errorf("write %s, without the dot at its end", bare)
	}
	return nil
}

// judgeAddress judges a host that is an address, written plainly or not.
func judgeAddress(host string, a netip.Addr, plainly bool, listed []netip.Prefix) error {
	bare := a.WithZone("").Unmap()
	if k, _ := look(a); k != loopback || plainly {
		if err := refusal(host, a, listed); err != nil {
			return err
		}
	}
	if !plainly {
		return fmt.Errorf("%q is another spelling of the address %s: write that, if it is meant", host, bare)
	}
	return nil
}

func nameRune(r rune) bool {
	return r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// isLocalhost reports whether a name is localhost or below it, which is no name
// of the public DNS (RFC 6761).
func isLocalhost(name string) bool {
	lower := strings.ToLower(name)
	return lower == "localhost" || strings.HasSuffix(lower, ".localhost")
}

// endsInNumber reports whether URL parsers take a host for an IPv4 address: its
// last label is a number.
func endsInNumber(bare string) bool {
	last := bare[strings.LastIndexByte(bare, '.')+1:]
	_, err := part(last)
	return err == nil || strings.Trim(last, "0123456789") == ""
}

// numeric reads an IPv4 address in the ways of inet_aton: one to four parts,
// each decimal, octal (0...) or hexadecimal (0x...), the last one filling the
// bytes that are left.
func numeric(text string) (netip.Addr, bool) {
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var whole uint64
	for i, p := range parts {
		n, err := part(p)
		left := 5 - len(parts) // bytes that the last part fills
		switch {
		case err != nil:
			return netip.Addr{}, false
		case i < len(parts)-1 && n > 255:
			return netip.Addr{}, false
		case i == len(parts)-1 && n >= 1<<(8*left):
			return netip.Addr{}, false
		case i == len(parts)-1:
			whole = whole<<(8*left) | n
		default:
			whole = whole<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(whole >> 24), byte(whole >> 16), byte(whole >> 8), byte(whole)}), true
}

func part(text string) (uint64, error) {
	base := 10
	if digits, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		if digits == "" { // a bare 0x is zero to some
			return 0, nil
		}
		text, base = digits, 16
	} else if len(text) > 1 && text[0] == '0' {
		base = 8
	}
	return strconv.ParseUint(text, base, 40)
}

// ParsePrefix reads an address or a range that an operator lists for a host. It
// must lie where a refusal can be lifted.
func ParsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return p, errors.New("want an address or a range: 127.0.1.1, 127.0.0.0/8, ::1")
		}
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
	}
	p = p.Masked()
	for _, s := range special {
		if !s.prefix.Contains(p.Addr()) || s.prefix.Bits() > p.Bits() {
			continue
		}
		if s.kind == never {
			return p, fmt.Errorf("%s is %s, and never called", p.Addr(), s.name)
		}
		return p, nil
	}
	return p, errors.New("only loopback and link-local addresses are refused and can be allowed: " +
		"127.0.0.0/8, ::1, 169.254.0.0/16, fe80::/10 or a part of these. Private and public ones need no word")
}
