package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultLines = 100         // of one kind in one second
	limitWindow  = time.Second // in which lines are counted
	limitKinds   = 1024        // are told apart; more share one account
)

// Limit keeps a flood of equal log lines from costing more than the calls they
// tell about: of one kind it lets a number through each second, counts the others
// and says how many there were in a line of its own. Make it with NewLimit; Run
// writes those lines when nothing else comes.
type Limit struct {
	most       atomic.Int64
	suppressed atomic.Int64

	mu    sync.Mutex
	kinds map[kind]*window
}

// kind is what lines have in common that are counted together.
type kind struct {
	level               slog.Level
	message, where, how string
}

// window is one second of one kind.
type window struct {
	began       time.Time
	lines, more int64
	to          slog.Handler
}

// NewLimit returns a Limit of 100 lines of one kind in a second.
func NewLimit() *Limit {
	l := &Limit{kinds: map[kind]*window{}}
	l.Set(0)
	return l
}

// Set changes how many lines of one kind are let through in a second: 0 is the
// default of 100, a negative number means all.
func (l *Limit) Set(most int) {
	if most == 0 {
		most = defaultLines
	}
	l.most.Store(int64(most))
}

// Suppressed returns how many lines were counted instead of written.
func (l *Limit) Suppressed() int64 { return l.suppressed.Load() }

// Handler returns a slog.Handler that hands lines to another one, those with the
// same message within the limit.
func (l *Limit) Handler(to slog.Handler) slog.Handler { return limited{l, to} }

// allow counts a line and reports whether it may be written.
func (l *Limit) allow(ctx context.Context, k kind, to slog.Handler) bool {
	most := l.most.Load()
	if most < 0 {
		return true
	}
	ok, before := l.count(k, to, most, time.Now())
	if before.more > 0 {
		before.tell(ctx, k)
	}
	if !ok {
		l.suppressed.Add(1)
	}
	return ok
}

// count also returns the window that ended with this line.
func (l *Limit) count(k kind, to slog.Handler, most int64, now time.Time) (ok bool, before window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.kinds[k]
	if w == nil && len(l.kinds) >= limitKinds {
		k = kind{level: k.level, message: "other"}
		w = l.kinds[k]
	}
	if w == nil {
		w = &window{began: now}
		l.kinds[k] = w
	}
	if now.Sub(w.began) >= limitWindow {
		before = *w
		*w = window{began: now}
	}
	w.to = to
	if w.lines < most {
		w.lines++
		return true, before
	}
	w.more++
	return false, before
}

// tell says how many lines were not written.
func (w window) tell(ctx context.Context, k kind) {
	r := slog.NewRecord(time.Now(), k.level, "more of the same", 0)
	r.AddAttrs(slog.String("message", k.message), slog.String("where", k.where), slog.String("how", k.how),
		slog.Int64("suppressed", w.more), slog.Time("since", w.began))
	_ = w.to.Handle(ctx, r)
}

// Run tells of suppressed lines every second until ctx ends, and once more then.
func (l *Limit) Run(ctx context.Context) {
	ticker := time.NewTicker(limitWindow)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			l.sweep(ctx, time.Now().Add(limitWindow))
			return
		case now := <-ticker.C:
			l.sweep(ctx, now)
		}
	}
}

// sweep ends the windows that are over, and forgets kinds that have gone quiet.
func (l *Limit) sweep(ctx context.Context, now time.Time) {
	for k, w := range l.ended(now) {
		w.tell(ctx, k)
	}
}

func (l *Limit) ended(now time.Time) map[kind]window {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := map[kind]window{}
	for k, w := range l.kinds {
		if now.Sub(w.began) < limitWindow {
			continue
		}
		if w.more > 0 {
			over[k] = *w
		}
		delete(l.kinds, k)
	}
	return over
}

// limited is a slog.Handler within a Limit.
type limited struct {
	limit *Limit
	to    slog.Handler
}

func (h limited) Enabled(ctx context.Context, level slog.Level) bool { return h.to.Enabled(ctx, level) }

func (h limited) Handle(ctx context.Context, r slog.Record) error {
	if !h.limit.allow(ctx, kind{level: r.Level, message: r.Message}, h.to) {
		return nil
	}
	return h.to.Handle(ctx, r)
}

func (h limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limited{h.limit, h.to.WithAttrs(attrs)}
}

func (h limited) WithGroup(name string) slog.Handler { return limited{h.limit, h.to.WithGroup(name)} }
