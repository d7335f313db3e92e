package server

import (
	"context"
	"crypto/sha256"
	"os"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/config"
)

// Reload reads the configuration file again and puts it in force for calls that
// begin from now on. A file with a mistake changes nothing; the error says where
// the mistake stands. Addresses to listen on need a restart.
func (s *Server) Reload() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	s.renew()
	s.digest = digestOf(s.path)
	file, err := s.readAgain()
	if err != nil {
		s.metrics.Reloaded(false)
		s.log.Error("configuration not changed", "file", s.path, "error", err.Error())
		now := *s.current.Load()
		now.problem = err.Error()
		s.current.Store(&now)
		return err
	}
	before := s.current.Load().file
	s.adopt(file)
	s.log.Info("configuration changed", "file", s.path)
	if before.MainListen() != file.MainListen() || before.AdminListen() != file.AdminListen() {
		s.log.Warn("a changed listen address takes effect after a restart", "file", s.path)
	}
	return nil
}

func (s *Server) readAgain() (*config.File, error) {
	file, err := config.Load(s.path)
	if err != nil {
		return nil, err
	}
	c, err := s.transportConfig(file)
	if err != nil {
		return nil, err
	}
	return file, s.transport.Update(c)
}

// watch reloads when the content of the file has changed. It looks at the
// content because links that are swapped, as Kubernetes does with mounted
// configuration, tell file watchers nothing.
func (s *Server) watch(ctx context.Context) {
	if s.options.Watch < 0 {
		return
	}
	ticker := time.NewTicker(s.options.Watch)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.renew()
			if s.changed() {
				_ = s.Reload() // logged there
			}
		}
	}
}

func (s *Server) changed() bool {
	s.reload.Lock()
	defer s.reload.Unlock()
	now := digestOf(s.path)
	return now != s.digest && now != [32]byte{}
}

// digestOf returns the digest of a file's content, or zero when it cannot be
// read: a file that is being replaced may be away for a moment.
func digestOf(path string) [32]byte {
	content, err := os.ReadFile(path)
	if err != nil {
		return [32]byte{}
	}
	return sha256.Sum256(content)
}
