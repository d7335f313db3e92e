package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// smuggled are requests whose end two servers may see at different places. The
// text GOOD stands for a whole good request; behind every case another one is
// pipelined, which must not be answered when the first was refused.
var smuggled = []struct {
	name, text string
	calls      int // that may reach the provider; the pipelined one counts
}{
	{"nothing odd", "GOOD", 2},
	{"two of them", "GOODGOOD", 3},
	{"length and coding", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 0},
	{"coding and length", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG", 0},
	{"length 0 and coding", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	{"coding in capitals", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 6\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\nG", 0},
	{"a tab before the coding", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 6\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\nG", 0},
	{"a coding with a vertical tab", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 6\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\nG", 0},
	{"a space before the colon", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding : chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG", 0},
	{"a coding nobody knows", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0},
	{"two codings", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 0},
	{"coding twice", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 0},
	{"an empty coding", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding:\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a coding on a continued line", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG", 0},
	{"a coding hidden in a continued line", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nX: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a coding behind a bare line feed", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nX: y\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG", 0},
	{"a coding behind a bare return", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nX: y\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a NUL in a header", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a coding with HTTP/1.0", "POST /v1/chat/completions HTTP/1.0\r\nAUTH\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	{"two lengths", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 0},
	{"two lengths in one", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 2, 3\r\n\r\n{}", 0},
	{"a length with a sign", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: +2\r\n\r\n{}", 0},
	{"a negative length", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: -2\r\n\r\n{}", 0},
	{"a length in hexadecimal", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 0x2\r\n\r\n{}", 0},
	{"a length beyond numbers", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 99999999999999999999\r\n\r\n{}", 0},
	{"an empty length", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length:\r\n\r\n{}", 0},
	{"a length with an underscore", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent_Length: 50\r\n\r\n", 1}, // no length: no body, and a call without a model
	{"a chunk with a bare line feed", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", 0},
	{"a chunk with a bare return in its extension", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n2;a\rb\r\n{}\r\n0\r\n\r\n", 0},
	{"a chunk with a sign", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", 0},
	{"a chunk in 0x", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 0},
	{"a chunk beyond numbers", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n", 0},
	{"a chunk that is longer than told", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}GOOD", 0},
	{"a chunk without its end", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n", 0},
	{"a trailer that is a length", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\n\r\n", 1},
	{"two hosts", "POST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nHost: other\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"no host", "POST /v1/chat/completions HTTP/1.1\r\nX: y\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a host with a path", "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:4000/#@attacker\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a space in the target", "POST /v1/chat /completions HTTP/1.1\r\nAUTH\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a version of its own", "POST /v1/chat/completions HTTP/1.9\r\nAUTH\r\nContent-Length: 2\r\n\r\n{}", 1},
	{"HTTP/2 in words", "POST /v1/chat/completions HTTP/2.0\r\nAUTH\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"a line before the request", "\r\nPOST /v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Length: 2\r\n\r\n{}", 0},
	{"an authority in the target", "POST http://attacker.test/v1/chat/completions HTTP/1.1\r\nAUTH\r\nContent-Type: application/json\r\nContent-Length: LENGTH\r\n\r\nBODY", 2},
	{"CONNECT", "CONNECT attacker.test:443 HTTP/1.1\r\nAUTH\r\n\r\n", 1},
	{"TRACE", "TRACE / HTTP/1.1\r\nAUTH\r\n\r\n", 1},
	{"a method of its own", "GET\x00 / HTTP/1.1\r\nAUTH\r\n\r\n", 0},
}

// TestS18EveryRequestEndsWhereTheProviderThinksItDoes: each case is answered once
// or closed, and the provider hears of exactly the calls that were meant.
func TestS18EveryRequestEndsWhereTheProviderThinksItDoes(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	body := chat("chat", false)
	auth := "Host: gateway\r\nAuthorization: Bearer " + aliceKey()
	request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", auth, len(body), body)
	fill := strings.NewReplacer("GOOD", request, "AUTH", auth, "LENGTH", fmt.Sprint(len(body)), "BODY", body)
	for _, c := range smuggled {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			v.be(nil)
			got := g.raw(fill.Replace(c.text) + request)
			seen := v.saw()
			if len(seen) != c.calls {
				t.Errorf("the provider saw %d calls, want %d; the answer was %.600q", len(seen), c.calls, got)
			}
			for _, s := range seen {
				if s.target != "/v1/chat/completions" || !strings.Contains(string(s.body), `"model":"gpt-4o"`) {
					t.Errorf("the provider was asked for %s with %.200q", s.target, s.body)
				}
			}
			if answers := strings.Count(got, "HTTP/1.1 "); c.calls == 0 && answers > 1 {
				t.Errorf("%d answers to a request that should end the connection: %.600q", answers, got)
			}
		})
	}
	v.be(nil)
	g.works(t)
}

// TestBadFramingAndAbortsAreNoFaultOfTheProvider is R38: else any client could
// open the breaker for all.
func TestBadFramingAndAbortsAreNoFaultOfTheProvider(t *testing.T) {
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "breaker: {consecutive: off, failure_ratio: off}", "breaker: {consecutive: 2}", 1))
	auth := "Host: gateway\r\nAuthorization: Bearer " + aliceKey()
	for _, text := range []string{
		"POST /v1/chat/completions HTTP/1.1\r\n" + auth + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /v1/files HTTP/1.1\r\n" + auth + "\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
		"POST /v1/files HTTP/1.1\r\n" + auth + "\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\nabc",
	} {
		for range 5 {
			_ = g.raw(text)
		}
	}
	status, targets, err := g.operator(http.MethodGet, "/api/v1/breakers", "")
	if err != nil || status != 200 || strings.Contains(targets, `"open"`) {
		t.Errorf("the circuits are %d %s, %v", status, targets, err)
	}
	v.be(nil)
	g.works(t)
}
