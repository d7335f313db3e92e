package server

import (
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/admin"
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
			hurry(w, r)
			reading(metrics).ServeHTTP(w, r)
		default:
			if admin.Owns(r.URL.Path) {
				hurry(w, r)
				s.api.ServeHTTP(w, r)
				return
			}
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
	hurry(w, r)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/readyz" && s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // a prober that is gone hears nothing
}

// bodyTime is how long the small bodies that are for operators may take.
const bodyTime = 10 * time.Second

// hurry bounds how long net/http waits for the body of a request, read or not.
func hurry(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // a reader without deadlines, as in tests, needs none
	}
}
