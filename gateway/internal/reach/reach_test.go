package reach

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// names answers questions of the resolver: each with the next of the answers for
// a name, the last one from then on.
type names struct {
	mu      sync.Mutex
	answers map[string][][]string // by name, then by question about IPv4
}

// resolver is one that asks n over a connection in memory.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go n.serve(theirs)
		return ours, nil
	}}
}

// serve speaks DNS as over TCP: each message behind its length.
func (n *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := n.answer(question)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer answers one question: the question, then a record for each address.
func (n *names) answer(question []byte) []byte {
	name, at := "", 12
	for question[at] != 0 {
		size := int(question[at])
		name += string(question[at+1:at+1+size]) + "."
		at += 1 + size
	}
	at += 5 // the zero, type and class
	asked := binary.BigEndian.Uint16(question[at-4:])
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.answers[strings.ToLower(name)]
	var records []byte
	count := uint16(0)
	if len(all) > 0 {
		for _, text := range all[0] {
			a := netip.MustParseAddr(text)
			if kind := uint16(1); a.Is6() == (asked == 28) {
				if a.Is6() {
					kind = 28
				}
				records = append(records, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(a.BitLen()/8))
				records = append(records, a.AsSlice()...)
				count++
			}
		}
	}
	if asked == 1 && len(all) > 1 {
		n.answers[strings.ToLower(name)] = all[1:]
	}
	out := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, byte(count >> 8), byte(count), 0, 0, 0, 0}, question[12:at]...)
	return append(out, records...)
}

// canary counts the connections to a listener on loopback.
func canary(t *testing.T) (port string, heard *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard = &atomic.Int64{}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			heard.Add(1)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); accepting.Wait() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, heard
}

// dial opens and closes a connection.
func dial(t *testing.T, g *Guard, host, port string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := g.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// badAddresses are addresses that a name must not lead to.
var badAddresses = []string{
	"127.0.0.1", "127.0.1.1", "127.255.255.254", "::1", "0.0.0.0", "0.1.2.3", "::",
	"169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42", "169.254.0.23", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
	"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe", "fe80::1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1",
	"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:169.254.169.254", "::127.0.0.1", "::a9fe:a9fe",
	"64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::0.0.0.0", "64:ff9b:1::169.254.169.254", "64:ff9b:1:a9fe:a9:fe00::",
	"2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "2001:0:808:808::80ff:fffe", "2001:db8::5efe:169.254.169.254", "2001:db8::200:5efe:127.0.0.1",
}

func TestANameThatLeadsToABadAddressIsRefusedBeforeTheConnection(t *testing.T) {
	port, heard := canary(t)
	n := &names{answers: map[string][][]string{}}
	g := &Guard{Dialer: net.Dialer{Resolver: n.resolver()}}
	var told atomic.Int64
	g.Refused = func(*RefusedError) { told.Add(1) }
	for _, address := range badAddresses {
		n.mu.Lock()
		n.answers["api.provider.test."] = [][]string{{address}}
		n.mu.Unlock()
		err := dial(t, g, "api.provider.test", port)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Host != "api.provider.test" || refused.Address != netip.MustParseAddr(address).Unmap() {
			t.Errorf("%s: %v", address, err)
		}
	}
	if heard.Load() > 0 || told.Load() < int64(len(badAddresses)) {
		t.Errorf("%d connections were opened, %d refusals told of", heard.Load(), told.Load())
	}
}

func TestANameThatIsReboundIsRefusedTheNextTime(t *testing.T) {
	port, heard := canary(t)
	n := &names{answers: map[string][][]string{"rebound.test.": {{"127.0.0.7"}, {"127.0.0.1"}, {"169.254.169.254"}}}}
	g := &Guard{Dialer: net.Dialer{Resolver: n.resolver()}}
	g.Allow(map[string][]netip.Prefix{"rebound.test": {netip.MustParsePrefix("127.0.0.7/32")}})
	var refused *RefusedError
	if err := dial(t, g, "rebound.test", port); errors.As(err, &refused) { // nobody listens there, which is another matter
		t.Errorf("the address that is allowed: %v", err)
	}
	for range 2 {
		if err := dial(t, g, "rebound.test", port); !errors.As(err, &refused) {
			t.Errorf("rebound: %v", err)
		}
	}
	if heard.Load() > 0 {
		t.Errorf("%d connections to what the name was bound to", heard.Load())
	}
}

func TestAGoodAddressBesideABadOneIsCalled(t *testing.T) {
	port, heard := canary(t)
	n := &names{answers: map[string][][]string{"both.test.": {{"169.254.169.254", "127.0.0.1"}}}}
	g := &Guard{Dialer: net.Dialer{Resolver: n.resolver()}}
	g.Allow(map[string][]netip.Prefix{"both.test": {netip.MustParsePrefix("127.0.0.0/8")}})
	if err := dial(t, g, "Both.Test", port); err != nil {
		t.Error(err)
	}
	if err := dial(t, g, "127.0.0.1", port); err != nil { // until the other one was taken
		t.Error(err)
	}
	if heard.Load() == 0 {
		t.Error("nothing was called")
	}
}

func TestLoopbackIsCalledWhereItIsWrittenOrListed(t *testing.T) {
	port, _ := canary(t)
	n := &names{answers: map[string][][]string{"local.test.": {{"127.0.0.1"}}, "llm.localhost.": {{"127.0.0.1"}}}}
	g := &Guard{Dialer: net.Dialer{Resolver: n.resolver()}}
	for _, host := range []string{"127.0.0.1", "localhost", "LocalHost", "llm.localhost"} {
		if err := dial(t, g, host, port); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	var refused *RefusedError
	for _, host := range []string{"local.test", "::ffff:127.0.0.1", "localhost.", "0.0.0.0", "::", ""} {
		if err := dial(t, g, host, port); err == nil {
			t.Errorf("%q is called", host)
		}
	}
	if err := dial(t, g, "local.test", port); !errors.As(err, &refused) ||
		refused.Error() != "local.test is 127.0.0.1: a loopback address; write localhost or a loopback address as the host, or list it in the provider's allow_addresses" {
		t.Errorf("got %v", err)
	}
	g.Allow(map[string][]netip.Prefix{"local.test": {netip.MustParsePrefix("127.0.0.1/32")}})
	if err := dial(t, g, "local.test", port); err != nil {
		t.Errorf("listed: %v", err)
	}
	g.Allow(nil)
	if err := dial(t, g, "local.test", port); !errors.As(err, &refused) {
		t.Errorf("no longer listed: %v", err)
	}
}

func TestPrivateAndPublicAddressesNeedNoWord(t *testing.T) {
	for _, text := range []string{
		"10.0.0.1", "172.16.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.100", "198.18.0.1", "8.8.8.8", "104.18.7.192",
		"fd12:3456::1", "fc00::1", "2606:4700::1", "2001:4860:4860::8888", "64:ff9b::808:808", "64:ff9b:1::8.8.8.8", "64:ff9b::10.0.0.1", "2002:808:808::1",
	} {
		if err := refusal("api.test", netip.MustParseAddr(text), nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMetadataIsNeverAllowedByAList(t *testing.T) {
	everything := []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("127.0.0.0/8")}
	if err := refusal("host.internal", netip.MustParseAddr("169.254.1.2"), everything); err != nil {
		t.Errorf("a link-local address that is listed: %v", err)
	}
	for _, text := range []string{"169.254.169.254", "169.254.170.2", "fe80::a9fe:a9fe", "::ffff:169.254.169.254", "64:ff9b::7f00:1"} {
		if err := refusal("host.internal", netip.MustParseAddr(text), everything); err == nil {
			t.Errorf("%s is called", text)
		}
	}
}

func TestOddSpellingsAreRefusedAsTheyAreWritten(t *testing.T) {
	for host, want := range map[string]string{
		"2130706433": "another spelling of the address 127.0.0.1", "0x7f000001": "127.0.0.1", "0x7F.1": "127.0.0.1", "017700000001": "127.0.0.1", "0177.0.0.1": "127.0.0.1",
		"127.1": "127.0.0.1", "127.0.1": "127.0.0.1", "127.0.0.1.": "127.0.0.1", "0x7f.0x0.0x0.0x1": "127.0.0.1", "127.0.0.01": "127.0.0.1", "::ffff:127.0.0.1": "127.0.0.1", "::ffff:7f00:1": "127.0.0.1",
		"2852039166": "2852039166 is 169.254.169.254: the metadata service", "0xa9fea9fe": "metadata", "0251.0376.0251.0376": "metadata", "169.254.43518": "metadata", "169.16689662": "metadata", "169.254.169.254.": "metadata",
		"::ffff:169.254.169.254": "metadata", "::ffff:a9fe:a9fe": "metadata", "64:ff9b::a9fe:a9fe": "another way to 169.254.169.254", "2002:a9fe:a9fe::": "metadata", "::127.0.0.1": "another way to 127.0.0.1",
		"169.254.169.254": "metadata", "fd00:ec2::254": "metadata", "100.100.100.200": "metadata", "168.63.129.16": "metadata", "fe80::1": "link-local", "fe80::1%eth0": "link-local", "169.254.1.2": "list it in the provider's allow_addresses",
		"0.0.0.0": "no address of a service", "0": "no address", "0x0": "no address", "00.0.0.0": "no address", "::": "no address", "224.0.0.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "broadcast", "4294967295": "broadcast", "0xffffffff": "broadcast",
		"localhost.": "without the dot", "LOCALHOST.": "without the dot", "llm.localhost.": "without the dot",
		"１２７.０.０.１": "ASCII", "ⓛocalhost": "ASCII", "127。0。0。1": "ASCII", "local\u00adhost": "ASCII", "a b": "ASCII", "a%00b": "ASCII", "a\\b": "ASCII",
		"256.256.256.256": "looks like an address and is none", "1.2.3.4.5": "looks like", "127.0.0.08": "looks like", "example.0x7f": "looks like", "99999999999": "looks like",
		"": "no host", ".": "no host",
	} {
		if err := Judge(host, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", host, err, want)
		}
	}
}

func TestPlainHostsAreGood(t *testing.T) {
	for _, host := range []string{
		"api.openai.com", "api.openai.com.", "vllm", "vllm-1.internal", "my_service", "xn--bcher-kva.example", "1password.com", "4.example.org", "0x7f.example",
		"127.0.0.1", "127.8.9.10", "::1", "0:0:0:0:0:0:0:1", "localhost", "LocalHost", "ollama.localhost", "10.1.2.3", "192.168.0.1", "fd12::1", "8.8.8.8", "2606:4700::1111",
	} {
		if err := Judge(host, nil); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	if err := Judge("169.254.1.2", []netip.Prefix{netip.MustParsePrefix("169.254.1.0/24")}); err != nil {
		t.Errorf("listed: %v", err)
	}
}

func TestOnlyWhatIsRefusedCanBeListed(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.1.1": "127.0.1.1/32", "127.0.0.0/8": "127.0.0.0/8", "127.0.1.1/16": "127.0.0.0/16", "::1": "::1/128", "169.254.1.2": "169.254.1.2/32", "169.254.0.0/16": "169.254.0.0/16", "fe80::/64": "fe80::/64", "::ffff:127.0.0.1": "127.0.0.1/32",
	} {
		if p, err := ParsePrefix(text); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "x", "10.0.0.0/8", "0.0.0.0/0", "::/0", "0.0.0.0", "169.254.169.254", "169.254.169.0/24", "100.100.100.200", "127.0.0.0/7", "fe80::/9", "fe80::1%eth0", "8.8.8.8", "224.0.0.1", "fe80::a9fe:a9fe", "localhost"} {
		if p, err := ParsePrefix(text); err == nil {
			t.Errorf("%s is listed as %s", text, p)
		}
	}
}

func FuzzWhatJudgeTakesIsCalledAsItIsWritten(f *testing.F) {
	for _, seed := range []string{"127.0.0.1", "0x7f.1", "api.test", "::ffff:7f00:1", "localhost.", "1.2.3.4", "fe80::1%1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if Judge(host, nil) != nil {
			return
		}
		if a, err := netip.ParseAddr(host); err == nil {
			if err := refusal(host, a, nil); err != nil {
				t.Errorf("%q is taken, and refused later: %v", host, err)
			}
		} else if _, ok := numeric(strings.TrimRight(host, ".")); ok {
			t.Errorf("%q is taken for a name, and others read an address", host)
		}
	})
}
