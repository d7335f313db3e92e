package reach

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

// Guard opens connections to addresses that may be called. The zero value is
// ready; it is safe for concurrent use.
type Guard struct {
	// Dialer is how connections are opened; its Control and ControlContext are
	// replaced. It is not changed once connections are opened.
	Dialer net.Dialer
	// Refused hears of every address that was refused. It may be called by several
	// goroutines at once. nil: nobody.
	Refused func(*RefusedError)

	listed atomic.Pointer[map[string][]netip.Prefix]
}

// Allow makes listed the addresses that may be called in spite of what they are,
// by the host, in lower case, that is written in a base URL. They are the only
// ones from now on; connections that are open are not looked at again. listed is
// not changed afterwards.
func (g *Guard) Allow(listed map[string][]netip.Prefix) { g.listed.Store(&listed) }

// DialContext opens a connection as net.Dialer does. An address that may not be
// called is refused with a *RefusedError, and the host's next one is tried.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var listed []netip.Prefix
	if all := g.listed.Load(); all != nil {
		listed = (*all)[strings.ToLower(host)]
	}
	d := g.Dialer
	d.Control = nil
	d.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		return g.check(host, resolved, listed)
	}
	return d.DialContext(ctx, network, address)
}

// check judges an address just before a connection to it.
func (g *Guard) check(host, resolved string, listed []netip.Prefix) error {
	at, err := netip.ParseAddrPort(resolved)
	if err != nil {
		return fmt.Errorf("%q is no address", resolved)
	}
	if err := refusal(host, at.Addr(), listed); err != nil {
		if g.Refused != nil {
			g.Refused(err)
		}
		return err
	}
	return nil
}

// RefusedError says that an address may not be called.
type RefusedError struct {
	Host    string     // as it is written in a base URL
	Address netip.Addr // that it stands for, or resolves to
	why     string
	remedy  string
}

// Error names the host, the address, the reason and, where there is one, the key
// of the configuration that would lift it. It holds nothing that a caller or a
// provider sent.
func (e *RefusedError) Error() string {
	what := e.Host + " is "
	if e.Host != e.Address.String() {
		what += e.Address.String() + ": "
	}
	return what + e.why + e.remedy
}

// refusal returns why a host may not be called at an address, or nil.
func refusal(host string, a netip.Addr, listed []netip.Prefix) *RefusedError {
	k, why := look(a)
	bare := a.WithZone("").Unmap()
	e := &RefusedError{Host: host, Address: bare, why: why, remedy: ", and never called"}
	contains := func(p netip.Prefix) bool { return p.Contains(bare) }
	switch {
	case k == open:
		return nil
	case k == never:
		return e
	case slices.ContainsFunc(listed, contains), k == loopback && writtenAsLoopback(host):
		return nil
	case k == loopback:
		e.remedy = "; write localhost or a loopback address as the host, or list it in the provider's allow_addresses"
	default:
		e.remedy = "; list it in the provider's allow_addresses, if it is meant"
	}
	return e
}

// writtenAsLoopback reports whether a host says by itself, in a plain way, that
// it is this machine.
func writtenAsLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return isLocalhost(host) || err == nil && !a.Is4In6() && a.IsLoopback()
}
