package all_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// BenchmarkClassify is what a failed attempt costs before it is decided what
// follows from it: an error body read, a table asked, a wait found.
func BenchmarkClassify(b *testing.B) {
	for _, c := range []struct {
		name, vendor, body string
		status             int
		header             http.Header
		want               call.Class
	}{
		{
			"openai throttled", "openai", `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`,
			http.StatusTooManyRequests, http.Header{"Retry-After": {"20"}}, call.Throttled,
		},
		{
			"openai without quota", "openai", `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`,
			http.StatusTooManyRequests, nil, call.QuotaExhausted,
		},
		{
			"anthropic overloaded", "anthropic", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`,
			529, nil, call.Overloaded,
		},
		{"a page of a proxy", "openai", `<html><body><h1>502 Bad Gateway</h1></body></html>`, http.StatusBadGateway, http.Header{"Content-Type": {"text/html"}}, call.ProviderFault},
	} {
		b.Run(c.name, func(b *testing.B) {
			vendor := all.ByName(c.vendor)
			e := provider.Evidence{Status: c.status, Header: c.header, Body: []byte(c.body), Now: time.Unix(1_700_000_000, 0)}
			b.ReportAllocs()
			for b.Loop() {
				if v := vendor.Classify(e); v.Class != c.want {
					b.Fatalf("got %s, want %s", v.Class, c.want)
				}
			}
		})
	}
}
