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
	s.digest, s.sealed = digestOf(s.path), digestOf(s.current.Load().file.SecretFiles()...)
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
	s.sealed = digestOf(file.SecretFiles()...)
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
			if s.changed() || s.healed() {
				_ = s.Reload() // logged there
			}
		}
	}
}

func (s *Server) changed() bool {
	s.reload.Lock()
	defer s.reload.Unlock()
	now, secrets := digestOf(s.path), digestOf(s.current.Load().file.SecretFiles()...)
	return now != s.digest && now != [32]byte{} || secrets != s.sealed && secrets != [32]byte{}
}

// healed reports whether a file that was refused would be taken now although it
// is the same: what it refers to, such as a secret's file, may have come since.
// It is asked seldom, and says nothing while the answer is no.
func (s *Server) healed() bool {
	s.reload.Lock()
	defer s.reload.Unlock()
	if s.current.Load().problem == "" || time.Since(s.tried) < 10*s.options.Watch {
		return false
	}
	s.tried = time.Now()
	_, err := config.Load(s.path)
	return err == nil
}

// digestOf returns the digest of files' content, or zero when one cannot be
// read: a file that is being replaced may be away for a moment.
func digestOf(paths ...string) [32]byte {
	whole := sha256.New()
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return [32]byte{}
		}
		one := sha256.Sum256(content)
		whole.Write(one[:])
	}
	return [32]byte(whole.Sum(nil))
}

// keep adds a file that was put in force to its history. A history that cannot
// be written is told, and no reason to stop.
func (s *Server) keep(file *config.File) {
	if s.options.History == nil {
		return
	}
	if err := s.options.History(file.Text(), time.Now()); err != nil {
		s.log.Warn("this version of the configuration is not kept", "file", s.path, "error", err.Error())
	}
}
