package edge

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestTheCallersAddressIsTheLastThatNoTrustedProxyWrote(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	cases := []struct {
		name, peer    string
		plain, standd []string
		want          string
	}{
		{"nobody in between", "192.0.2.1:4711", nil, nil, "192.0.2.1"},
		{"a stranger who says more", "192.0.2.1:4711", []string{"203.0.113.9"}, []string{"for=203.0.113.9"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:80", []string{"203.0.113.9"}, nil, "203.0.113.9"},
		{"what the caller wrote to the left", "10.0.0.1:80", []string{"1.1.1.1, 203.0.113.9"}, nil, "203.0.113.9"},
		{"two proxies, in two lines", "10.0.0.1:80", []string{"1.1.1.1, 203.0.113.9", "10.2.3.4"}, nil, "203.0.113.9"},
		{"only proxies", "10.0.0.1:80", []string{"10.9.9.9, 10.2.3.4"}, nil, "10.9.9.9"},
		{"a proxy that says nothing", "10.0.0.1:80", nil, nil, "10.0.0.1"},
		{"an entry that is no address", "10.0.0.1:80", []string{"203.0.113.9, unknown, 10.2.3.4"}, nil, "10.2.3.4"},
		{"an empty entry", "10.0.0.1:80", []string{"203.0.113.9,"}, nil, "10.0.0.1"},
		{"with a port", "10.0.0.1:80", []string{"203.0.113.9:5050"}, nil, "203.0.113.9"},
		{"IPv6", "[2001:db8:ffff::1]:80", []string{"2001:db8::7"}, nil, "2001:db8::7"},
		{"IPv4 written as IPv6", "[::ffff:10.0.0.1]:80", []string{"::ffff:203.0.113.9"}, nil, "203.0.113.9"},
		{"Forwarded", "10.0.0.1:80", nil, []string{`for=1.1.1.1, For="[2001:db8::7]:4711";proto=https;by=10.0.0.1`}, "2001:db8::7"},
		{"Forwarded without for", "10.0.0.1:80", nil, []string{`proto=https`}, "10.0.0.1"},
		{"Forwarded with a hidden name", "10.0.0.1:80", nil, []string{`for=_hidden`}, "10.0.0.1"},
		{"both, and they agree", "10.0.0.1:80", []string{"203.0.113.9"}, []string{"for=203.0.113.9"}, "203.0.113.9"},
		{"both, and they do not: one of them is the caller's", "10.0.0.1:80", []string{"203.0.113.9"}, []string{"for=1.1.1.1"}, "10.0.0.1"},
		{"no address at all", "@", []string{"203.0.113.9"}, nil, "invalid IP"},
	}
	for _, c := range cases {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.plain != nil {
			r.Header["X-Forwarded-For"] = c.plain
		}
		if c.standd != nil {
			r.Header["Forwarded"] = c.standd
		}
		if got := addressOf(r, trusted).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestWithoutTrustedProxiesNobodysWordIsTaken(t *testing.T) {
	r := &http.Request{RemoteAddr: "127.0.0.1:99", Header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}
	if got := addressOf(r, nil).String(); got != "127.0.0.1" {
		t.Fatalf("%s, want 127.0.0.1", got)
	}
}

func TestALongForwardingHeaderIsNotReadToItsEnd(t *testing.T) {
	line := "203.0.113.9"
	for range 100 {
		line += ",10.0.0.2"
	}
	r := &http.Request{RemoteAddr: "10.0.0.1:99", Header: http.Header{"X-Forwarded-For": {line}}}
	if got := addressOf(r, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}).String(); got != "10.0.0.2" {
		t.Fatalf("%s, want the last hop that was looked at", got)
	}
}
