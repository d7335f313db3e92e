package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// queueLines is how many log lines may wait to be written.
const queueLines = 8192

// Queue writes log lines in the background, so that a slow reader of the log
// cannot slow a call. Lines that find it full are dropped and counted. Make it
// with NewQueue; Close it when the process ends.
type Queue struct {
	lines   chan line
	stop    chan struct{}
	once    sync.Once
	done    chan struct{}
	dropped atomic.Int64
}

type line struct {
	to     slog.Handler
	record slog.Record
}

// NewQueue returns an empty Queue and starts its writer.
func NewQueue() *Queue {
	q := &Queue{lines: make(chan line, queueLines), stop: make(chan struct{}), done: make(chan struct{})}
	go q.write()
	return q
}

// Handler returns a slog.Handler that hands lines to another one through q.
func (q *Queue) Handler(to slog.Handler) slog.Handler { return queued{q, to} }

// Dropped returns how many lines were dropped since q was made.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

// Close writes what waits and stops the writer. It gives up when ctx ends, as
// when nobody reads the log. Lines that come later are dropped. It may be called
// twice.
func (q *Queue) Close(ctx context.Context) error {
	q.once.Do(func() { close(q.stop) })
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *Queue) write() {
	defer close(q.done)
	for {
		select {
		case l := <-q.lines:
			_ = l.to.Handle(context.Background(), harmless(l.record)) // a log that cannot be written has nowhere to say so
		case <-q.stop:
			q.rest()
			return
		}
	}
}

// rest writes what was queued before the stop.
func (q *Queue) rest() {
	for {
		select {
		case l := <-q.lines:
			_ = l.to.Handle(context.Background(), harmless(l.record))
		default:
			return
		}
	}
}

func (q *Queue) put(l line) {
	select {
	case <-q.stop:
		q.dropped.Add(1)
		return
	default:
	}
	select {
	case q.lines <- l:
	default:
		q.dropped.Add(1)
	}
}

// queued is a slog.Handler in front of another one.
type queued struct {
	queue *Queue
	to    slog.Handler
}

func (h queued) Enabled(ctx context.Context, level slog.Level) bool { return h.to.Enabled(ctx, level) }

func (h queued) Handle(_ context.Context, r slog.Record) error {
	h.queue.put(line{h.to, r.Clone()})
	return nil
}

func (h queued) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queued{h.queue, h.to.WithAttrs(attrs)}
}

func (h queued) WithGroup(name string) slog.Handler { return queued{h.queue, h.to.WithGroup(name)} }
