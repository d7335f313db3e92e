package http1_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/http1"
)

// BenchmarkRequest is a chat request of 2 kB and an answer of 1 kB over loopback,
// against a server that costs next to nothing. cpu-ns/op is the CPU time of the
// whole process, that server's included: the difference between two clients is
// theirs.
func BenchmarkRequest(b *testing.B) {
	for _, client := range clients() {
		for _, parallel := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/parallel=%d", client.name, parallel), func(b *testing.B) {
				at := answerAll(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nX-Request-Id: req_0123456789\r\nContent-Length: 1024\r\n\r\n"+strings.Repeat("a", 1024))
				measure(b, client.make(), at, parallel)
			})
		}
	}
}

// BenchmarkStream is an answer of a hundred events, each a chunk of its own.
func BenchmarkStream(b *testing.B) {
	event := "data: " + strings.Repeat("x", 200) + "\n\n"
	answer := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", len(event), event), 100) + "0\r\n\r\n"
	for _, client := range clients() {
		b.Run(client.name, func(b *testing.B) { measure(b, client.make(), answerAll(b, answer), 1) })
	}
}

type named struct {
	name string
	make func() http.RoundTripper
}

func clients() []named {
	return []named{
		{"net", func() http.RoundTripper {
			return &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
		}},
		{"lean", func() http.RoundTripper { return &http1.Transport{} }},
	}
}

func measure(b *testing.B, client http.RoundTripper, at string, parallel int) {
	body := bytes.Repeat([]byte("b"), 2048)
	b.ReportAllocs()
	b.SetParallelism(max(1, parallel/runtime.GOMAXPROCS(0)))
	before := cpu()
	run := func(next func() bool) {
		piece := make([]byte, 32<<10)
		for next() {
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, "POST", at+"/v1/chat/completions", bytes.NewReader(body))
			req.Header["Content-Type"] = []string{"application/json"}
			req.Header["Authorization"] = []string{"Bearer sk-0123456789"}
			resp, err := client.RoundTrip(req)
			if err != nil {
				b.Error(err)
				cancel()
				return
			}
			for err == nil {
				_, err = resp.Body.Read(piece)
			}
			resp.Body.Close()
			cancel()
			if !errors.Is(err, io.EOF) {
				b.Error(err)
				return
			}
		}
	}
	if parallel == 1 {
		n := 0
		run(func() bool { n++; return n <= b.N })
	} else {
		b.RunParallel(func(pb *testing.PB) { run(pb.Next) })
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
	if c, ok := client.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// answerAll gives one answer to every request of 2 kB, looking at nothing.
func answerAll(b *testing.B, answer string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in, text := make([]byte, 16<<10), []byte(answer)
				for got := 0; ; {
					n, err := c.Read(in[got:])
					if err != nil {
						return
					}
					got += n
					if at := bytes.Index(in[:got], []byte("\r\n\r\n")); at < 0 || got < at+4+2048 {
						continue
					}
					got = 0
					if _, err := c.Write(text); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}
