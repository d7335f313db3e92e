package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// queueLines is how many log lines may wait to be written.
const queueLines = 8192

// pause is how long the writer lets lines gather after it has written: being woken
// for each line costs more than writing it.
const pause = 5 * time.Millisecond

// gathered is how much of what is logged at the same time is written at once, in
// bytes.
const gathered = 64 << 10

// Queue writes log lines in the background, so that a slow reader of the log
// cannot slow a call. Lines that find it full are dropped and counted. Make it
// with NewQueue; Close it when the process ends.
type Queue struct {
	out     atomic.Pointer[gathering]
	lines   chan line
	stop    chan struct{}
	once    sync.Once
	left    chan struct{} // closed when nobody takes from lines any more
	done    chan struct{} // closed when all is written or counted
	dropped atomic.Int64
}

type line struct {
	to     slog.Handler
	record slog.Record
}

// NewQueue returns an empty Queue and starts its writer.
func NewQueue() *Queue {
	q := &Queue{lines: make(chan line, queueLines), stop: make(chan struct{}), left: make(chan struct{}), done: make(chan struct{})}
	go q.write()
	return q
}

// Gather returns a writer for the handlers behind this queue: lines that wait
// together are written to out together. Nobody else may write to it; a queue has
// one.
func (q *Queue) Gather(out io.Writer) io.Writer {
	g := &gathering{to: out}
	q.out.Store(g)
	return g
}

// gathering collects what its queue's writer, and nobody else, writes. What could
// not be written is lost, and what comes later tried again.
type gathering struct {
	to   io.Writer
	held []byte
}

// Write keeps a line until flush.
func (g *gathering) Write(p []byte) (int, error) {
	g.held = append(g.held, p...)
	if len(g.held) >= gathered {
		g.flush()
	}
	return len(p), nil
}

func (g *gathering) flush() {
	if g == nil || len(g.held) == 0 {
		return
	}
	_, _ = g.to.Write(g.held) // a log that cannot be written has nowhere to say so
	g.held = g.held[:0]
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
	defer q.forfeit() // what came between the last look and now
	defer close(q.left)
	for {
		select {
		case l := <-q.lines:
			q.tell(l)
			if len(q.lines) == 0 {
				q.out.Load().flush()
				q.rests()
			}
		case <-q.stop:
			q.rest()
			return
		}
	}
}

// rests waits for lines to gather, not beyond the stop.
func (q *Queue) rests() {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.stop:
	}
}

// tell writes one line.
func (q *Queue) tell(l line) {
	_ = l.to.Handle(context.Background(), harmless(l.record))
}

// rest writes what was queued before the stop.
func (q *Queue) rest() {
	for {
		select {
		case l := <-q.lines:
			q.tell(l)
		default:
			q.out.Load().flush()
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
	select {
	case <-q.left: // it ended in between: nobody comes for what was just queued
		q.forfeit()
	default:
	}
}

// forfeit drops and counts what waits when nobody writes any more.
func (q *Queue) forfeit() {
	for {
		select {
		case <-q.lines:
			q.dropped.Add(1)
		default:
			return
		}
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
