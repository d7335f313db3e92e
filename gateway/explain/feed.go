package explain

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Live is one event as readers of the feed see it. Fields that do not apply are
// absent.
type Live struct {
	Kind     string    `json:"kind" doc:"call_started, attempt_ended, breaker_moved, ..."`
	At       time.Time `json:"at"`
	Request  string    `json:"request,omitempty" doc:"x-holdfast-request-id"`
	Route    string    `json:"route,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Target   string    `json:"target,omitempty"`
	Model    string    `json:"model,omitempty" doc:"of the call's events the one asked for, else the target's"`
	Key      string    `json:"key,omitempty" doc:"alias"`
	Attempt  int       `json:"attempt,omitempty"`
	Status   int       `json:"status,omitempty"`
	Class    string    `json:"class,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Source   string    `json:"source,omitempty"`
	Cache    string    `json:"cache,omitempty" doc:"of call_ended: what the route's cache did: hit, stale, shared, miss, bypass, and why in to"`
	WaitMS   float64   `json:"wait_ms,omitempty"`
	Duration float64   `json:"duration_ms,omitempty"`
}

// Feed keeps the last events for readers, each at its own pace. It never waits
// for one: who is slower than the ring is long has missed something, and hears
// so. Make it with NewFeed; it is safe for concurrent use.
type Feed struct {
	epoch string // of this process: ids of another one mean nothing here

	mu      sync.Mutex
	ring    []Live
	written uint64        // events so far; the next one goes to written % len(ring)
	wake    chan struct{} // closed at the next event
	waiting bool          // somebody holds wake
}

// NewFeed returns a Feed that keeps size events; 0 means 4,096.
func NewFeed(size int) *Feed {
	if size <= 0 {
		size = 4096
	}
	return &Feed{epoch: strconv.FormatInt(time.Now().UnixMilli(), 36), ring: make([]Live, size), wake: make(chan struct{})}
}

// Record adds an event.
func (f *Feed) Record(e *call.Event) {
	l := live(e)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring[f.written%uint64(len(f.ring))] = l
	f.written++
	if f.waiting {
		close(f.wake)
		f.wake, f.waiting = make(chan struct{}), false
	}
}

func live(e *call.Event) Live {
	l := Live{
		Kind: e.Kind.String(), At: e.At, Target: e.Target, Model: e.Model, Key: e.Key, Attempt: e.Attempt, Status: e.Status,
		From: e.From, To: e.To, Reason: e.Reason, Source: e.Source, Cache: e.Cached, WaitMS: milliseconds(e.Wait),
	}
	if c := e.Call; c != nil {
		l.Request, l.Route, l.Tenant = c.ID, c.Route, plain(c.Tenant)
		if l.Model == "" {
			l.Model = plain(c.Request.Model)
		}
	}
	switch e.Kind {
	case call.AttemptEnded:
		l.Class, l.Duration = e.Outcome.Class.String(), milliseconds(e.Outcome.Duration)
	case call.CallEnded:
		l.Class, l.Duration, l.WaitMS = e.Outcome.Class.String(), milliseconds(e.Wait), 0
	}
	return l
}

// ID returns the id of the event at a position, for Last-Event-ID.
func (f *Feed) ID(at uint64) string { return fmt.Sprintf("%s-%d", f.epoch, at) }

// Seek returns the position after the event of that id; "" means from now on.
// An id of another process, or none of ours, means from the oldest event kept.
func (f *Feed) Seek(id string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id == "" {
		return f.written
	}
	epoch, number, _ := strings.Cut(id, "-")
	at, err := strconv.ParseUint(number, 10, 64)
	if epoch != f.epoch || err != nil || at >= f.written {
		return f.first()
	}
	return at + 1
}

// first is the position of the oldest event kept.
func (f *Feed) first() uint64 { return f.written - min(f.written, uint64(len(f.ring))) }

// Read copies events from a position into out. It returns how many, and how many
// before them were overwritten: the first one read is at from+missed. When there
// are none, more is closed as soon as there are.
func (f *Feed) Read(from uint64, out []Live) (n int, missed uint64, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first := f.first(); from < first {
		missed = first - from
		from = first
	}
	for n < len(out) && from < f.written {
		out[n] = f.ring[from%uint64(len(f.ring))]
		n++
		from++
	}
	if n == 0 {
		f.waiting = true
	}
	return n, missed, f.wake
}
