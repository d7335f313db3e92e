package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry/traces"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// observers are those that the Server tells what happens.
type observers struct {
	limit   *telemetry.Limit
	traces  *traces.Tracer
	targets atomic.Pointer[map[string]traces.Upstream]
	telling atomic.Bool // spans may be sent: Run has begun
}

// observe makes the observers and the recorder that tells them. Nothing runs yet.
func (s *Server) observe() {
	s.limit = telemetry.NewLimit()
	whole := s.log // calls have accounts of their own in the limit
	s.log = slog.New(s.limit.Handler(whole.Handler()))
	s.traces = traces.New(traces.Options{
		Outcome: func(e *call.Event) string { return s.metrics.Outcome(e) },
		Target:  s.upstream, Log: s.log, Version: s.options.Version, Dial: s.reach.DialContext,
	})
	s.metrics = telemetry.NewMetrics(telemetry.Sources{
		Status: s.status, Degraded: s.degraded, Trace: s.traceOf,
		Dropped:  map[string]func() int64{"log": s.options.Dropped, "traces": s.traces.Dropped},
		Withheld: s.limit.Suppressed,
		Version:  s.options.Version, Go: runtime.Version(),
	})
	recorders := []call.Recorder{s.metrics, telemetry.Logs{To: whole, Outcome: s.metrics.Outcome, Limit: s.limit, Trace: s.traceOf}, s.traces}
	if s.options.Recorder != nil {
		recorders = append(recorders, s.options.Recorder)
	}
	s.recorder = telemetry.Both(recorders...)
}

// traceOf names the trace of a call, if somebody keeps it.
func (s *Server) traceOf(c *call.Call) (trace, span string) {
	id := s.traces.Identify(c)
	if !id.Sampled {
		return "", ""
	}
	return id.Trace.String(), id.Span.String()
}

func (s *Server) upstream(target string) traces.Upstream {
	if known := s.targets.Load(); known != nil {
		return (*known)[target]
	}
	return traces.Upstream{}
}

// retell puts what a file says of logs and spans in force.
func (s *Server) retell(file *config.File) {
	if s.options.Level != nil {
		s.options.Level.Set(file.LogLevel())
	}
	s.limit.Set(int(file.Logs.Limit))
	known := upstreams(file)
	s.targets.Store(&known)
	if !s.telling.Load() {
		return
	}
	t := file.Telemetry
	if err := s.traces.Use(traces.Config{Endpoint: t.OTLP, Ratio: t.Traces.Share(), Propagate: t.Traces.Propagate, GenAI: t.GenAISemconv}); err != nil {
		s.log.Error("no spans are sent", "error", err.Error())
	}
}

// upstreams says for each target of a file whose API it speaks, and where.
func upstreams(file *config.File) map[string]traces.Upstream {
	known := map[string]traces.Upstream{}
	c, err := file.Holdfast()
	if err != nil {
		return known
	}
	for _, r := range c.Routes {
		for _, t := range r.Targets {
			up := traces.Upstream{Vendor: t.Vendor}
			base := t.BaseURL
			if v := all.ByName(t.Vendor); v != nil {
				base = cmp.Or(base, v.BaseURL)
			}
			if u, err := url.Parse(base); err == nil && u.Host != "" {
				up.Address, up.Port = u.Hostname(), portOf(u)
			}
			known[t.Name] = up
		}
	}
	return known
}

func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// tellObservers lets the observers work until the returned function is called,
// which gives spans under way three seconds.
func (s *Server) tellObservers() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.limit.Run(ctx) })
	s.reload.Lock()
	s.telling.Store(true)
	s.retell(s.current.Load().file)
	s.reload.Unlock()
	return func() {
		last, giveUp := context.WithTimeout(context.Background(), 3*time.Second)
		defer giveUp()
		s.traces.Close(last)
		cancel()
		running.Wait()
	}
}

// exposition serves the metrics, unless the file in force says no.
func (s *Server) exposition() http.Handler {
	metrics := s.metrics.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.current.Load().file.Telemetry.Metrics == "false" {
			http.NotFound(w, r)
			return
		}
		metrics.ServeHTTP(w, r)
	})
}
