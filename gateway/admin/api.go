package admin

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

// Config is what the API shows and does. Functions are called from many
// goroutines at once and must not be nil unless it says so.
type Config struct {
	Status    func() Status                                                   // without recent failures, which the API adds
	Breaker   func(target, action, reason string, during time.Duration) error // moves a circuit: open, close, reset
	Queue     func(route, action string) error                                // moves a waiting room: pause, drain, resume
	Effective func() (any, error)                                             // the configuration in force, secrets masked; nil: not shown
	Reload    func() error                                                    // reads the file again; its error says what is wrong with it
	Drain     func()                                                          // begins to end the process; returns at once
	Book      *explain.Book                                                   // what happened to recent calls
	Feed      *explain.Feed                                                   // what happens
	Token     func() call.Secret                                              // what operators must send; "": nothing
	Hosts     func() []string                                                 // further names of this listener; nil: none
	Pprof     func() bool                                                     // whether the profiler is served; nil: never
	Exposed   func() bool                                                     // whether other machines reach the listener: then nothing is served without a token
	Listen    string                                                          // the address listened on: its host is a good name
	Version   string                                                          // of the binary
	Log       *slog.Logger                                                    // hears what operators changed; must not block
	Heartbeat time.Duration                                                   // between comments on a silent event stream; 15s
	now       func() time.Time
}

// API answers operators. Make it with New, end it with Close.
type API struct {
	Config
	origins    *http.CrossOriginProtection
	operations []operation
	document   []byte
	readers    chan struct{} // one place per reader of the event stream
	quit       chan struct{} // closed by Close

	mu     sync.Mutex
	hands  map[string]*Hand // by target: what was done by hand and holds
	timers map[string]*time.Timer
	closed bool
}

// maxReaders bounds the readers of the event stream.
const maxReaders = 64

// New returns an API.
func New(c Config) *API {
	if c.Heartbeat <= 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.now = time.Now
	a := &API{Config: c, origins: http.NewCrossOriginProtection(), readers: make(chan struct{}, maxReaders), quit: make(chan struct{}),
		hands: map[string]*Hand{}, timers: map[string]*time.Timer{}}
	a.operations = a.table()
	a.document = document(a.operations)
	return a
}

// Close ends the event streams and stops what was to happen later: circuits
// held closed for a time stay so. It may be called twice.
func (a *API) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		close(a.quit)
	}
	a.closed = true
	for target, t := range a.timers {
		t.Stop()
		delete(a.timers, target)
	}
}

// Readers returns how many readers follow the events now.
func (a *API) Readers() int { return len(a.readers) }

// Owns reports whether a path is the API's to answer, also to refuse it.
func Owns(path string) bool {
	return path == "/api" || strings.HasPrefix(path, "/api/") || path == "/debug/pprof" || strings.HasPrefix(path, "/debug/pprof/")
}

// ServeHTTP answers one request. Who asks is judged before what is asked.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if p := a.judge(r); p != nil {
		p.write(w)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/debug/pprof") {
		a.profile(w, r)
		return
	}
	o, args, p := a.find(r)
	if p != nil {
		p.write(w)
		return
	}
	if p := o.handle(w, r, args); p != nil {
		p.write(w)
	}
}
