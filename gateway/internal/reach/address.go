package reach

import (
	"encoding/binary"
	"net/netip"
)

// kind is what an address is to us.
type kind int

const (
	open      kind = iota // called
	loopback              // called where it is written as such, or listed
	linkLocal             // called where it is listed
	never
)

// special are the ranges that are not simply called; the first that holds an
// address counts. Metadata services stand where their clouds document them.
var special = []struct {
	prefix netip.Prefix
	kind   kind
	name   string
}{
	{netip.MustParsePrefix("169.254.169.0/24"), never, metadata},    // AWS, Azure, Google, OpenStack and most others
	{netip.MustParsePrefix("169.254.170.0/24"), never, metadata},    // credentials of AWS ECS and EKS
	{netip.MustParsePrefix("169.254.0.23/32"), never, metadata},     // Tencent
	{netip.MustParsePrefix("169.254.42.42/32"), never, metadata},    // Scaleway
	{netip.MustParsePrefix("100.100.100.200/32"), never, metadata},  // Alibaba
	{netip.MustParsePrefix("168.63.129.16/32"), never, metadata},    // Azure's wire server
	{netip.MustParsePrefix("192.0.0.192/32"), never, metadata},      // Oracle
	{netip.MustParsePrefix("fd00:ec2::/32"), never, metadata},       // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), never, metadata},    // Google
	{netip.MustParsePrefix("fd00:42::42/128"), never, metadata},     // Scaleway
	{netip.MustParsePrefix("fe80::a9fe:a9fe/128"), never, metadata}, // OpenStack
	{netip.MustParsePrefix("0.0.0.0/8"), never, "no address of a service"},
	{netip.MustParsePrefix("::/128"), never, "no address of a service"},
	{netip.MustParsePrefix("224.0.0.0/4"), never, "a multicast address"},
	{netip.MustParsePrefix("ff00::/8"), never, "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), never, "the broadcast address"},
	{netip.MustParsePrefix("127.0.0.0/8"), loopback, "a loopback address"},
	{netip.MustParsePrefix("::1/128"), loopback, "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal, "a link-local address"},
	{netip.MustParsePrefix("fe80::/10"), linkLocal, "a link-local address"},
}

const metadata = "the metadata service of a cloud, which hands out credentials"

// look tells what an address is, and in words why it is not simply called. What
// leads through IPv6 to an IPv4 address that is not simply called is never.
func look(a netip.Addr) (kind, string) {
	a = a.WithZone("").Unmap()
	k, why := plain(a)
	if k == never {
		return k, why
	}
	for _, inside := range carried(a) {
		if k, name := plain(inside); k != open {
			return never, "another way to " + inside.String() + ", " + name
		}
	}
	return k, why
}

func plain(a netip.Addr) (kind, string) {
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.kind, s.name
		}
	}
	return open, ""
}

// carriers are the ranges of IPv6 that carry an IPv4 address, and the byte that
// it begins at. Mapped addresses are IPv4 ones to us already.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // translated (SIIT)
	{netip.MustParsePrefix("::/96"), 12},           // compatible, of old
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // NAT64 of one's own, with a prefix of 96
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
	{netip.MustParsePrefix("2001::/32"), 4},        // Teredo's server
}

var (
	teredo     = netip.MustParsePrefix("2001::/32")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
)

// carried returns the IPv4 addresses that an IPv6 address leads to.
func carried(a netip.Addr) (all []netip.Addr) {
	if a.Is4() || a.IsLoopback() || a.IsUnspecified() {
		return nil
	}
	b := a.As16()
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			all = append(all, netip.AddrFrom4([4]byte(b[c.at:])))
		}
	}
	if teredo.Contains(a) { // the client's, inverted
		all = append(all, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	if localNAT64.Contains(a) && b[6] != 0 { // with a prefix of 48: around a byte of zero
		all = []netip.Addr{netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]})}
	}
	if id := binary.BigEndian.Uint32(b[8:]); id == 0x5efe || id == 0x0200_5efe { // ISATAP, below any prefix
		all = append(all, netip.AddrFrom4([4]byte(b[12:])))
	}
	return all
}
