// Command reverseproxy is the yardstick of the benchmark: what a Go programmer
// gets who takes httputil.ReverseProxy and tunes it, without any policy.
//
//	reverseproxy LISTEN UPSTREAM
//
// LISTEN is host:port, UPSTREAM an http URL. It runs until it is killed.
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// maxBody bounds what is read of a request, as every gateway does.
const maxBody = 32 << 20

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reverseproxy LISTEN UPSTREAM")
	}
	upstream, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: os.Args[1], Handler: tuned(upstream), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// tuned returns a reverse proxy to upstream. What is tuned: connections are
// kept for every caller at once, copies use pooled buffers, nothing is
// compressed, and what was read is written at once.
func tuned(upstream *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		FlushInterval: -1,
		BufferPool:    &buffers{},
		Transport: &http.Transport{
			MaxIdleConns:        20_000,
			MaxIdleConnsPerHost: 20_000,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
	}
	return bodyFirst(proxy)
}

// bodyFirst reads the request's body before anything is sent: an upstream that
// answers before it has read everything makes the transport give up the rest
// of the answer otherwise, and 2 to 3 of 100 streams break.
func bodyFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := readAll(http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength)
		if err != nil {
			http.Error(w, "cannot read the request", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		next.ServeHTTP(w, r)
	})
}

// readAll reads everything into one buffer of the right size, if it is known.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size < 0 || size > maxBody {
		return io.ReadAll(r)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return body, err
}

// buffers lends the proxy what it copies with.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
