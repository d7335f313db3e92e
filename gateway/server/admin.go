package server

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
)

// Status is what GET /api/v1/status tells.
type Status = admin.Status

// desk is where operators are answered.
type desk struct {
	api   *admin.API
	book  *explain.Book
	feed  *explain.Feed
	asked chan struct{} // closed when an operator asked for the end
	once  sync.Once
}

// remember makes the memory that operators are answered from, and lets it hear
// what happens.
func (s *Server) remember() {
	s.book, s.feed, s.asked = explain.NewBook(explain.Limits{}), explain.NewFeed(0), make(chan struct{})
	s.recorder = telemetry.Both(s.recorder, s.book, s.feed)
}

// openDesk makes the API for operators at the address of a file.
func (s *Server) openDesk(file *config.File) {
	host, _, _ := net.SplitHostPort(file.AdminListen())
	exposed := !config.IsLoopback(host)
	now := func() config.Admin { return s.current.Load().file.Admin }
	s.api = admin.New(admin.Config{
		Status: s.look, Breaker: s.transport.Breaker, Queue: s.transport.Queue, Reload: s.Reload, Drain: s.askToEnd,
		Effective: s.effective,
		Book:      s.book, Feed: s.feed,
		Token:   func() call.Secret { return now().Token },
		Hosts:   func() []string { return now().Hosts },
		Pprof:   func() bool { return now().Pprof },
		Exposed: func() bool { return exposed },
		Listen:  file.AdminListen(), Version: s.options.Version, Log: s.log,
	})
}

// effective is the configuration in force. The digest of a client's key is not
// shown either: it is what the key is looked up by.
func (s *Server) effective() (any, error) {
	settings, err := s.current.Load().file.Effective()
	for i := range settings {
		if strings.HasSuffix(settings[i].Path, ".sha256") {
			settings[i].Value = "***"
		}
	}
	return settings, err
}

// closeDesk ends the listener for operators. The one who asked for the end shall
// still hear that it was heard.
func (s *Server) closeDesk() {
	s.api.Close()
	if s.admin == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.admin.Shutdown(ctx) != nil {
		_ = s.admin.Close()
	}
}

// askToEnd makes Run drain, as if its context had ended.
func (s *Server) askToEnd() { s.once.Do(func() { close(s.asked) }) }

// look is the status as the API shows it.
func (s *Server) look() admin.Status {
	l := s.current.Load()
	return admin.Status{
		Version: s.options.Version, Started: s.started, Ready: !s.draining.Load(),
		Config: admin.File{File: s.path, Loaded: l.at, Error: l.problem, Digest: hex.EncodeToString(l.digest[:])},
		Status: s.status(),
	}
}
