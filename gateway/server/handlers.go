package server

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast"
)

// callers answers on the main listener. It is no ServeMux, which would redirect
// paths that a provider takes as they are.
func (s *Server) callers(door http.Handler, together bool) http.Handler {
	rest := door
	if together {
		rest = s.operators(door)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close") // the next call shall find another gateway
		}
		switch r.URL.Path {
		case "/livez", "/readyz":
			s.health(w, r)
		default:
			if !s.handling.enter() {
				panic(http.ErrAbortHandler) // the connection is being closed
			}
			defer s.handling.leave()
			rest.ServeHTTP(w, r)
		}
	})
}

// operators answers what is for operators only.
func (s *Server) operators(rest http.Handler) http.Handler {
	metrics := s.exposition()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz":
			s.health(w, r)
		case "/metrics":
			reading(metrics).ServeHTTP(w, r)
		case "/api/v1/status":
			reading(http.HandlerFunc(s.showStatus)).ServeHTTP(w, r)
		default:
			rest.ServeHTTP(w, r)
		}
	})
}

// reading refuses methods that are not for reading.
func reading(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only for reading", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// health answers /livez (the process runs) and /readyz (it takes calls).
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/readyz" && s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // a prober that is gone hears nothing
}

// Status is what GET /api/v1/status tells.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Config  Config    `json:"config"`
	holdfast.Status
}

// Config is the part of a Status about the configuration file.
type Config struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"`          // when the one in force was
	Error  string    `json:"error,omitempty"` // why a newer one was refused
}

func (s *Server) showStatus(w http.ResponseWriter, _ *http.Request) {
	l := s.current.Load()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(Status{ // a reader that is gone hears nothing
		Version: s.options.Version, Started: s.started, Ready: !s.draining.Load(),
		Config: Config{File: s.path, Loaded: l.at, Error: l.problem},
		Status: s.status(),
	})
}
