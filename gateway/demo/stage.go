package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
	"github.com/holdfast-gateway/holdfast/sim"
)

// The names that the play uses everywhere: provider, target, metrics, log.
const (
	primaryName = "openai-sim"
	backupName  = "backup-sim"
	aloneName   = "unprotected-sim"
	modelName   = "chat" // what callers ask for, and the route's name
	upstream    = "sim-1"
)

// provider is a simulated provider on a port.
type provider struct {
	*sim.Provider
	name   string
	url    string
	server *http.Server
}

// stage is everything that runs: three providers and the gateway.
type stage struct {
	primary, backup *provider // behind the gateway
	alone           *provider // of the arm without it
	gateway         *server.Server
	moves           *moves

	log     *telemetry.Queue
	end     context.CancelFunc
	running sync.WaitGroup
}

// open starts the stage. Nothing runs when it returns an error.
func open(ctx context.Context, c Config) (*stage, error) {
	s := &stage{moves: &moves{}, end: func() {}}
	for _, p := range []struct {
		at   **provider
		name string
	}{{&s.primary, primaryName}, {&s.backup, backupName}, {&s.alone, aloneName}} {
		var err error
		if *p.at, err = s.serveProvider(ctx, p.name, dials(c.Seed, "")); err != nil {
			s.close(ctx)
			return nil, err
		}
	}
	file := func(main, admin string) *config.File { return s.file(c, main, admin) }
	if err := s.serveGateway(ctx, c, file); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *stage) serveProvider(ctx context.Context, name string, dials sim.Dials) (*provider, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", anyPort)
	if err != nil {
		return nil, fmt.Errorf("a simulated provider found no port: %w", err)
	}
	p := &provider{Provider: sim.New(sim.Config{Dials: dials}), name: name, url: "http://" + l.Addr().String()}
	p.server = &http.Server{Handler: letGo(p), ConnContext: withConn, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.running.Go(func() { _ = p.server.Serve(l) }) // until closed
	return p, nil
}

// connKey is under what a request's context has its connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// letGo closes the connections of callers who have left while a provider works on
// for them: thousands in a storm, more than a process may have open.
func letGo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			defer context.AfterFunc(r.Context(), func() { _ = c.Close() })()
		}
		next.ServeHTTP(w, r)
	})
}

// serveGateway starts the gateway with the file that is made for its addresses.
func (s *stage) serveGateway(ctx context.Context, c Config, file func(main, admin string) *config.File) error {
	options := server.Options{Drain: time.Second, Watch: -1, Recorder: s.moves, Version: c.Version}
	if c.Log != nil {
		s.log = telemetry.NewQueue() //nolint:contextcheck // its writer ends with close
		options.Log = slog.New(s.log.Handler(slog.NewJSONHandler(c.Log, nil)))
		options.Dropped = s.log.Dropped
	}
	gateway, err := listen(file(preferred(ctx, "127.0.0.1:8080"), preferred(ctx, "127.0.0.1:8081")), options)
	if err != nil { // somebody was quicker
		gateway, err = listen(file(anyPort, anyPort), options)
	}
	if err != nil {
		return err
	}
	s.gateway = gateway
	// It must outlive an interrupt, which ends the calls first.
	ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { _ = gateway.Run(ctx, nil) }) // what it cuts at the end are connections nobody uses
	return nil
}

const anyPort = "127.0.0.1:0"

// preferred returns an address if it is free, else one that surely is.
func preferred(ctx context.Context, address string) string {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return anyPort
	}
	_ = l.Close()
	return address
}

func listen(f *config.File, o server.Options) (*server.Server, error) {
	gateway, err := server.New(f, o)
	if err != nil {
		return nil, err
	}
	if err := gateway.Start(); err != nil {
		return nil, err
	}
	return gateway, nil
}

// file is the configuration that a user would write for two providers: what it
// does not say has the defaults of the gateway.
func (s *stage) file(c Config, main, admin string) *config.File {
	f := &config.File{
		Version: 1, Listen: main, Admin: config.Admin{Listen: admin}, Breaker: c.timing.breaker,
		Routes: []config.Route{{Name: modelName}},
	}
	for _, p := range []*provider{s.primary, s.backup} {
		f.Providers = append(f.Providers, config.Provider{Name: p.name, Kind: "openai", BaseURL: p.url, APIKey: "no-secret"})
		f.Routes[0].Targets = append(f.Routes[0].Targets, config.Target{Target: p.name + "/" + upstream})
	}
	if c.noBackup {
		f.Routes[0].Targets = f.Routes[0].Targets[:1]
	}
	return f
}

// outage makes the primary and the other arm's provider refuse new calls, or
// work again.
func (s *stage) outage(seed uint64, fault string) error {
	return errors.Join(s.primary.SetDials(dials(seed, fault)), s.alone.SetDials(dials(seed, fault)))
}

func (s *stage) gatewayURL() string { return "http://" + s.gateway.Addr() }
func (s *stage) adminURL() string   { return "http://" + s.gateway.AdminAddr() }

// close ends everything and waits for it, also when ctx has ended.
func (s *stage) close(ctx context.Context) {
	s.end()
	for _, p := range []*provider{s.primary, s.backup, s.alone} {
		if p != nil {
			_ = p.server.Close()
		}
	}
	s.running.Wait()
	if s.log != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.log.Close(ctx) // a log that nobody reads must not hold the process
	}
}

// move is one change of a circuit.
type move struct {
	at            time.Time
	target        string // as the gateway names it
	from, to, why string
}

// moves remembers the changes of all circuits: the one thing of the play that no
// provider can log. It is a call.Recorder.
type moves struct {
	mu   sync.Mutex
	list []move
}

// Record keeps what is told about circuits.
func (m *moves) Record(e *call.Event) {
	if e.Kind != call.BreakerMoved {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, move{at: e.At, target: e.Target, from: e.From, to: e.To, why: e.Reason})
}

// of returns the changes of one provider's circuit, the oldest first.
func (m *moves) of(name string) []move {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.list), func(one move) bool { return one.target != targetOf(name) })
}

// state is how a provider's circuit is now.
func (m *moves) state(name string) string {
	list := m.of(name)
	if len(list) == 0 {
		return "closed"
	}
	return list[len(list)-1].to
}

func targetOf(name string) string { return name + "/" + upstream }
