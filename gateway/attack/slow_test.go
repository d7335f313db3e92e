package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestR18BodiesAreTakenUpToTheLimit: nothing, 1 MB and 32 MB pass; one byte more
// is refused unread; what unfolds to 10 GB is refused on the way.
func TestR18BodiesAreTakenUpToTheLimit(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	const limit = 32 << 20
	for size, want := range map[int]int{1 << 20: 200, limit: 200, limit + 1: 413, 33 << 20: 413} {
		head, tail := `{"model":"chat","x":"`, `","messages":[]}`
		body := head + strings.Repeat("x", size-len(head)-len(tail)) + tail
		g.measured(t, 2*limit, func() { // a body, and what is being collected
			if a, err := g.ask("POST", g.URL+"/v1/chat/completions", body, alice()); a.status != want && (err == nil || want == 200) {
				t.Errorf("%d bytes: %d, want %d, %v", size, a.status, want, err)
			}
		})
	}
	got := g.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + aliceKey() + "\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 413") {
		t.Errorf("100 GB that are only announced are answered with %.100q", got)
	}
	if a, err := g.ask("POST", g.URL+"/v1/chat/completions", "", alice()); err != nil || a.status != 400 && a.status != 404 {
		t.Errorf("an empty body: %d, %v", a.status, err)
	}
	h := alice()
	h.Set("Content-Encoding", "gzip")
	bomb := bombOf(10 << 30)
	if !attacking() {
		bomb = bombOf(1 << 30)
	}
	g.measured(t, 2*limit, func() {
		if a, err := g.ask("POST", g.URL+"/v1/chat/completions", bomb, h); err == nil && a.status != 413 {
			t.Errorf("%d bytes that unfold to 10 GB: %d", len(bomb), a.status)
		}
	})
	for _, coding := range []string{"zstd", "br", "deflate", "gzip, gzip", "compress", "x"} {
		h.Set("Content-Encoding", coding)
		if a, err := g.ask("POST", g.URL+"/v1/chat/completions", "abc", h); err != nil || a.status != 415 {
			t.Errorf("Content-Encoding: %s: %d, %v", coding, a.status, err)
		}
	}
	g.works(t)
}

// bombOf is a gzip stream of n zeros: one member that is repeated, as gzip allows.
func bombOf(n int64) string {
	const member = 1 << 30
	var one bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&one, gzip.BestSpeed)
	zeros := make([]byte, 1<<20)
	for range member >> 20 >> 4 { // 64 MiB are enough for a member
		_, _ = zip.Write(zeros)
	}
	_ = zip.Close()
	return strings.Repeat(one.String(), int(n/(member>>4)))
}

// TestR17SlowConnectionsEndAndDisturbNobody: S25, on both listeners and both
// protocols. Header and body arrive one byte at a time.
func TestR17SlowConnectionsEndAndDisturbNobody(t *testing.T) {
	long(t)
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "level: debug", "level: info", 1))
	operators := strings.TrimPrefix(g.admin, "http://")
	auth := "Host: gateway\r\nAuthorization: Bearer " + aliceKey() + "\r\n"
	kinds := []struct {
		name, address, first, drop string
		connections                int
		lives                      bool // its bytes keep the minimum rate for now
	}{
		{"header of callers", g.address, "GET / HTTP/1.1\r\nX-", "a", 400, false},
		{"header of operators", operators, "GET / HTTP/1.1\r\nX-", "a", 400, false},
		{"half a preface", g.address, "PRI * HTTP/2.0\r\n", "\r", 150, false},
		{"nothing at all", g.address, "", "", 150, false},
		{"body", g.address, "POST /v1/chat/completions HTTP/1.1\r\n" + auth + "Content-Length: 100000\r\n\r\n", " ", 200, false},
		{"body of somebody unknown", g.address, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\n", " ", 50, false},
		{"body of a health check", g.address, "POST /livez HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\n", " ", 50, false},
		{"body that streams", g.address, "POST /v1/files HTTP/1.1\r\n" + auth + "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n", "-", 300, false},
		{"body that streams, slow after its beginning", g.address, "POST /v1/files HTTP/1.1\r\n" + auth + "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("-", 70_000), "-", 300, true}, // as many of these as may hold a place at the provider each
		{"body of an operator", operators, "POST /api/v1/config/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n", " ", 50, false},
	}
	var all sync.WaitGroup
	var late atomic.Int64
	for _, kind := range kinds {
		for range kind.connections {
			all.Go(func() {
				if took := dripOn(t, kind.address, kind.first, kind.drop, 25*time.Second); took > 20*time.Second && !kind.lives {
					if late.Add(1); late.Load()%50 == 1 {
						t.Errorf("%s: a slow connection lived on", kind.name)
					}
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	for calls, lost := 0, 0; ; calls++ {
		a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), alice())
		if err != nil || a.status != 200 {
			if lost++; lost == 1 {
				t.Errorf("a good call gets %d %.200s, %v", a.status, a.body, err)
			}
		}
		select {
		case <-done:
			if lost > 0 || late.Load() > 0 {
				t.Errorf("%d of %d good calls were lost, %d slow connections lived on", lost, calls+1, late.Load())
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// dripOn sends a byte each second and returns how long the connection lived.
func dripOn(t *testing.T, address, first, drop string, patience time.Duration) time.Duration {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close()
	began := time.Now()
	_, _ = io.WriteString(conn, first)
	buf := make([]byte, 512)
	for time.Since(began) < patience {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(buf); err != nil {
			var slow net.Error
			if !asTimeout(err, &slow) {
				break
			}
		}
		if _, err := io.WriteString(conn, drop); err != nil {
			break
		}
	}
	return time.Since(began)
}

// TestR39NamesOfAnAttackerTakeNoMemory: models, keys and paths by the thousand
// make no series and no memory.
func TestR39NamesOfAnAttackerTakeNoMemory(t *testing.T) {
	names := 100_000
	if !attacking() {
		names = 600
	}
	v := startVillain(t)
	configuration := strings.Replace(settings(v.URL), "level: debug", "level: info", 1)
	configuration = strings.Replace(configuration, "routes:", "routes:\n  any: {match: {model: ['any-*']}, targets: [openai/*]}", 1)
	g := serve(t, configuration)
	g.works(t)
	series := func() int {
		a, err := g.ask("GET", g.admin+"/metrics", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(a.body, "\n")
	}
	ask := func(i int) {
		h := http.Header{"Authorization": {"Bearer " + aliceKey()}, "Content-Type": {"application/json"}, "User-Agent": {fmt.Sprint("agent-", i)}}
		switch i % 4 {
		case 0:
			_, _ = g.ask("POST", g.URL+"/v1/chat/completions", chat(fmt.Sprint("any-", i), false), h)
		case 1:
			_, _ = g.ask("POST", g.URL+"/v1/chat/completions", chat(fmt.Sprint("unknown-", i), false), h)
		case 2:
			h.Set("Authorization", fmt.Sprint("Bearer wrong-", i))
			_, _ = g.ask("GET", g.URL+"/v1/models", "", h)
		case 3:
			_, _ = g.ask("GET", g.URL+fmt.Sprintf("/v1/models/x%d", i), "", h)
		}
	}
	crowd := func(n int) {
		var all sync.WaitGroup
		var next atomic.Int64
		for range 8 {
			all.Go(func() {
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					ask(int(i))
				}
			})
		}
		all.Wait()
	}
	crowd(names / 3)
	early := series()
	v.be(nil)
	g.measured(t, 128<<20, func() { crowd(names) })
	if now := series(); now > 2000 || now > early+200 {
		t.Errorf("%d lines of metrics after %d names, %d after a third", now, names, early)
	}
	v.be(nil)
	g.works(t)
}

// TestS26FloodsOfFramesEndWithTheConnection: rapid resets, endless CONTINUATION,
// SETTINGS and PING without end. Five seconds later the processor is idle.
func TestS26FloodsOfFramesEndWithTheConnection(t *testing.T) {
	long(t)
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "level: debug", "level: info", 1))
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// :method GET, :scheme http, :path /, :authority a
	const head = "\x82\x86\x84\x41\x01a"
	frame := func(kind, flags byte, stream uint32, payload string) string {
		n := len(payload)
		return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}) + payload
	}
	floods := map[string]func(i uint32) string{
		"resets":   func(i uint32) string { return frame(1, 5, 2*i+1, head) + frame(3, 0, 2*i+1, "\x00\x00\x00\x08") },
		"settings": func(uint32) string { return frame(4, 0, 0, "\x00\x03\x00\x00\x00\x64") },
		"pings":    func(uint32) string { return frame(6, 0, 0, "12345678") },
		"continuation": func(i uint32) string {
			if i == 0 {
				return frame(1, 1, 1, head)
			}
			return frame(9, 0, 1, "\x00\x01x\x01"+strings.Repeat("y", 1))
		},
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					conn, err := net.Dial("tcp", g.address)
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					go func() { _, _ = io.Copy(io.Discard, conn) }()
					_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
					_, _ = io.WriteString(conn, preface)
					for i := uint32(0); i < 200_000; i++ {
						if _, err := io.WriteString(conn, flood(i)); err != nil {
							return
						}
					}
				})
			}
			all.Wait()
			g.idles(t, 5*time.Second)
			v.be(nil)
			g.works(t)
		})
	}
}

// idles fails unless the gateway uses at most a tenth of a core before long.
func (g *gateway) idles(t *testing.T, within time.Duration) {
	t.Helper()
	const window = 500 * time.Millisecond
	for began, before := time.Now(), g.cpu(t); ; {
		time.Sleep(window) // what is measured
		now := g.cpu(t)
		if used := now - before; used <= window/10 {
			return
		} else if time.Since(began) > within {
			t.Fatalf("%s after the flood it uses %s of processor time in %s", within, used, window)
		}
		before = now
	}
}
