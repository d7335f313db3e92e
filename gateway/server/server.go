package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/edge"
	"github.com/holdfast-gateway/holdfast/gateway/internal/reach"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
)

// Options are what a Server needs besides its file. A zero field means the
// default beside it.
type Options struct {
	Drain    time.Duration     // how long answers under way may take once nothing new is accepted; 10m
	Delay    time.Duration     // how long calls are still accepted after the end was asked for, while /readyz says 503; 0
	Watch    time.Duration     // how often the file is looked at for changes; 500ms, negative: never
	Log      *slog.Logger      // must not block; nil: nothing is logged
	Level    *slog.LevelVar    // follows logs.level of the file; nil: does not
	Dropped  func() int64      // log lines dropped so far; nil: unknown
	Recorder call.Recorder     // hears every event too; nil: nobody
	Upstream http.RoundTripper // to the providers; nil: the transport's own
	Version  string            // of the binary

	// History keeps the text of each version of the file that is put in force. nil:
	// nobody does.
	History func(text []byte, at time.Time) error
}

// Server is a gateway. Make it with New, then Start, then Run.
type Server struct {
	options   Options
	log       *slog.Logger
	transport *holdfast.Transport
	metrics   *telemetry.Metrics
	recorder  call.Recorder
	observers
	current  atomic.Pointer[loaded]
	draining atomic.Bool
	started  time.Time
	reach    reach.Guard // opens every connection that is not a caller's

	desk
	main, admin       *http.Server
	listener, adminAt net.Listener

	calls    context.Context // of every request; ends when answers are cut
	cut      context.CancelCauseFunc
	handling handling
	shown    *certificate // nil: callers come without TLS

	reload sync.Mutex
	path   string
	digest [32]byte // of the file as it was last read

	sealed [32]byte // of the secret files it refers to

	tried time.Time // when a refused file was last looked at again
}

// loaded is what one reading of the file left behind.
type loaded struct {
	file    *config.File
	keys    *keys.Set                  // of those who may call
	untold  []string                   // credentials that no caller may see
	proxies []netip.Prefix             // whose word on a caller's address is taken
	primary map[string]map[string]bool // route, then targets of its first place
	at      time.Time
	digest  [32]byte
	problem string // why the last reading was refused; "" if it was not
}

// New returns a Server for a file. It opens nothing.
func New(file *config.File, o Options) (*Server, error) {
	if o.Drain <= 0 {
		o.Drain = 10 * time.Minute
	}
	if o.Watch == 0 {
		o.Watch = 500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o, log: o.Log, path: file.Path(), started: time.Now()}
	s.reach.Dialer.KeepAlive = 15 * time.Second
	s.reach.Refused = func(e *reach.RefusedError) { s.log.Warn("an address is not called", "error", e.Error()) }
	s.calls, s.cut = context.WithCancelCause(context.Background())
	s.observe()
	s.remember()
	c, err := s.transportConfig(file)
	if err != nil {
		return nil, err
	}
	if s.transport, err = holdfast.NewTransport(c); err != nil {
		return nil, err
	}
	s.digest, s.sealed = digestOf(s.path), digestOf(file.SecretFiles()...)
	s.adopt(file)
	return s, nil
}

func (s *Server) transportConfig(file *config.File) (holdfast.Config, error) {
	c, err := file.Holdfast()
	if err != nil {
		return c, err
	}
	c.Recorder, c.Transport, c.Headers = s.recorder, s.options.Upstream, s.traces.Headers
	c.Dial = s.reach.DialContext
	return c, nil
}

// adopt makes a file that was put in force the one that is asked about models,
// first choices and the level of the log.
func (s *Server) adopt(file *config.File) {
	l := &loaded{file: file, keys: keys.NewSet(file.ClientKeys()), untold: untold(file), proxies: file.TrustedNetworks(), primary: map[string]map[string]bool{}, at: time.Now(), digest: s.digest}
	if c, err := file.Holdfast(); err == nil {
		for _, r := range c.Routes {
			l.primary[r.Name] = firstPlace(r.Targets)
		}
	}
	s.current.Store(l)
	s.reach.Allow(file.AllowedAddresses())
	s.metrics.Reloaded(true)
	s.retell(file)
	s.keep(file)
}

// firstPlace returns the targets that share a route's first place: the first
// one, and with a weight its neighbours that have one too.
func firstPlace(targets []holdfast.Target) map[string]bool {
	first := map[string]bool{}
	for i, t := range targets {
		if i > 0 && (targets[0].Weight == 0 || t.Weight == 0) {
			break
		}
		first[t.Name] = true
	}
	return first
}

func (s *Server) degraded(route, target string) bool {
	l := s.current.Load()
	if l == nil || target == "" {
		return false
	}
	first, known := l.primary[route]
	return known && !first[target]
}

// clientKeys are the keys in force, and whether callers need one.
func (s *Server) clientKeys() (set *keys.Set, required bool) {
	l := s.current.Load()
	return l.keys, l.file.KeysRequired()
}

func (s *Server) models() []string { return s.current.Load().file.Models() }

func (s *Server) status() holdfast.Status {
	if s.transport == nil { // a scrape cannot come before Start
		return holdfast.Status{}
	}
	return s.transport.Status()
}

// Start opens the listeners. The error says which address cannot be used.
func (s *Server) Start() error {
	file := s.current.Load().file
	door := edge.New(edge.Config{
		Transport: s.transport, Keys: s.clientKeys, Models: s.models,
		Route: func(model string) string { return s.current.Load().file.RouteFor(model) },
		Tool:  s.transport.ToolAt,
		Log:   s.log, Record: s.recorder.Record,
		MaxBody: func() int64 { return int64(s.current.Load().file.MaxBody) },
		Secrets: s.untold,
		Proxies: func() []netip.Prefix { return s.current.Load().proxies },

		Named:      func(host string) bool { return s.current.Load().file.Named(host) },
		WriteStall: func() time.Duration { return s.current.Load().file.WriteStall },
		Realtime:   func() bool { return s.current.Load().file.Realtime == "tunnel" },
	})
	s.openDesk(file)
	together := sameAddress(file.MainListen(), file.AdminListen())
	var err error
	if s.shown, err = certificateOf(file); err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", file.MainListen()); err != nil {
		return fmt.Errorf("cannot listen on %s: %w", file.MainListen(), bare(err))
	}
	s.main = s.newServer(s.callers(door, together))
	if together {
		return nil
	}
	if s.adminAt, err = net.Listen("tcp", file.AdminListen()); err != nil {
		_ = s.listener.Close()
		return fmt.Errorf("cannot listen on %s: %w", file.AdminListen(), bare(err))
	}
	s.admin = s.newServer(s.operators(http.NotFoundHandler()))
	return nil
}

// sameAddress reports whether two addresses are one listener. Port 0 means any
// free port, a different one each time.
func sameAddress(a, b string) bool {
	_, port, _ := net.SplitHostPort(a)
	return a == b && port != "0"
}

// bare takes the address out of a listen error, which names it already.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// newServer returns a server for HTTP/1.1 and for HTTP/2, with and without TLS.
func (s *Server) newServer(h http.Handler) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols:         protocols,
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return s.calls },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Addr is the address that callers use, once started.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// AdminAddr is the address for operators, once started; that of callers when
// they share one.
func (s *Server) AdminAddr() string {
	if s.adminAt == nil {
		return s.Addr()
	}
	return s.adminAt.Addr().String()
}

// ErrCut is returned by Run when answers under way had to be cut.
var ErrCut = errors.New("server: answers under way were cut")

// ErrPromptly, as the cause with which the context of Run is cancelled, leaves
// out the delay before nothing new is accepted.
var ErrPromptly = errors.New("server: ended by hand")

// Run serves until ctx ends, then drains: /readyz says 503 at once, nothing new
// is accepted after the delay, answers under way may go on for the drain time or
// until now is closed. What is left then is ended in a way its caller can read:
// a stream by its dialect's error event, another call by a 503. It returns nil
// after a clean end, ErrCut when it had to cut answers, or why a listener
// failed. Everything it started has ended when it returns.
func (s *Server) Run(ctx context.Context, now <-chan struct{}) error {
	defer s.tellObservers()()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var running sync.WaitGroup
	failed := make(chan error, 2)
	serve := func(server *http.Server, l net.Listener) {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	running.Go(func() { serve(s.main, s.guarded(s.listener)) })
	if s.admin != nil {
		running.Go(func() { serve(s.admin, framedListener{s.adminAt}) })
	}
	running.Go(func() { s.watch(watching) })

	var err error
	select {
	case <-ctx.Done():
		delay := s.options.Delay
		if errors.Is(context.Cause(ctx), ErrPromptly) {
			delay = 0
		}
		err = s.drain(delay, now)
	case <-s.asked:
		err = s.drain(s.options.Delay, now)
	case err = <-failed:
		_ = s.main.Close()
	}
	s.closeDesk()
	s.cut(nil)
	stopWatching()
	running.Wait()
	<-s.handling.close()
	return errors.Join(err, s.transport.Close())
}

// parting is how long callers have to read how their answers were ended.
const parting = 5 * time.Second

// drain lets go of the callers, gently for a while. Before the listener closes
// whoever balances load is to see /readyz; that time is not the answers'.
func (s *Server) drain(delay time.Duration, now <-chan struct{}) error {
	s.draining.Store(true)
	if s.admin == nil {
		s.api.Close() // readers of events at the callers' address would be waited for
	}
	s.log.Info("draining", "after", delay.String(), "for_at_most", s.options.Drain.String())
	select {
	case <-time.After(delay):
	case <-now:
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Drain)
	defer cancel()
	finished := make(chan struct{})
	defer close(finished)
	go func() { // ends with this function
		select {
		case <-now:
			cancel()
		case <-finished:
		}
	}()
	if err := s.main.Shutdown(ctx); err == nil {
		select { // tunnels: their connections are no longer the server's
		case <-s.handling.close():
			return nil
		case <-ctx.Done():
		}
	}
	s.log.Warn("ending answers under way")
	s.cut(holdfast.ErrDraining) // a stream ends with its dialect's error event
	last, cancelLast := context.WithTimeout(context.Background(), parting)
	defer cancelLast()
	_ = s.main.Shutdown(last) // who does not read even that is cut off
	_ = s.main.Close()
	return ErrCut
}
