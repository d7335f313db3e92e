package hosts_test

import (
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/internal/hosts"
)

func TestOnlyNamesThatPublicDNSCannotHaveArePrivate(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "[::1]": true, "192.168.1.7": true, "203.0.113.9:80": true,
		"localhost": true, "LOCALHOST.:8080": true, "holdfast:8080": true, "a.localhost": true,
		"host.docker.internal:8080": true, "laptop.local": true,
		"": false, ":8080": false, "evil.example": false, "evil.example.:8080": false, "127.0.0.1.evil.example": false,
		"localhost.evil.example": false, "internal.evil.example": false, "1.2.3": false, "0x7f.1": false,
	} {
		if got := hosts.Private(hosts.Of(host)); got != want {
			t.Errorf("%q is private: %t, want %t", host, got, want)
		}
	}
}
