package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/sim"
)

// floodModel is answered by events without a pause until the caller leaves.
const floodModel = "flood"

// provider is what stands behind the gateway, in a process of its own: the simulated
// provider, and a flood that says how long somebody took it.
type provider struct {
	*sim.Provider
	server *http.Server

	mu     sync.Mutex
	floods []flooded
}

// flooded is one flood as it was.
type flooded struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
}

// provide is the whole process. It ends when its standard input does, so that it
// never outlives who started it.
func provide() int {
	p := &provider{Provider: sim.New(sim.Config{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("http://%s\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = p.server.Close()
	}()
	_ = p.server.Serve(l)
	return 0
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/soak/rest":
		p.server.SetKeepAlivesEnabled(false) // closes the connections that nobody uses
		p.server.SetKeepAlivesEnabled(true)
	case r.URL.Path == "/soak/floods":
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = json.NewEncoder(w).Encode(p.floods)
		p.floods = nil
	case r.Header.Get("X-Soak") == floodModel:
		p.flood(w, r)
	default:
		p.Provider.ServeHTTP(w, r)
	}
}

// flood writes until nobody reads any more.
func (p *provider) flood(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	const event = `data: {"id":"f","object":"chat.completion.chunk","created":1,"model":"flood","choices":[{"index":0,"delta":{"content":"story "},"finish_reason":null}]}` + "\n\n"
	events := []byte(strings.Repeat(event, 64))
	one := flooded{Began: time.Now()}
	for r.Context().Err() == nil {
		if _, err := w.Write(events); err != nil {
			break
		}
	}
	one.Ended = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.floods = append(p.floods, one)
}
