package stream

import (
	"errors"
	"io"
	"sync"

	"github.com/holdfast-gateway/holdfast/call"
)

// ErrClosed is returned by reads after Close.
var ErrClosed = errors.New("stream: read after Close")

// Result is how a call ended, seen from its caller.
type Result struct {
	Fault *Fault // nil: complete
	Bytes int64  // bytes given to the caller
}

// Body is what the caller reads, in the caller's dialect. It forwards an
// Attempt's frames and ends honestly when the attempt breaks. Read, WriteTo and
// Close may be called from different goroutines, as net/http does.
type Body struct {
	attempt *Attempt
	dialect call.Dialect // nil: bytes pass unread, a fault is a read error
	stream  bool         // a fault can be told inside the answer
	problem func(*Fault) call.Problem
	ended   func(Result)

	mu      sync.Mutex // held while reading
	pending []byte
	err     error
	bytes   int64
	once    sync.Once
}

// NewBody returns the Body that reads a. dialect is the caller's. stream says
// that the answer is an event stream, into which an error event can be written.
// problem words a fault for the caller; ended hears the call's one result.
func NewBody(a *Attempt, dialect call.Dialect, stream bool, problem func(*Fault) call.Problem, ended func(Result)) *Body {
	return &Body{attempt: a, dialect: dialect, stream: stream, problem: problem, ended: ended}
}

// Read implements io.Reader. It returns io.EOF after a complete answer and after
// an honest error event; another error when the answer broke and its format has
// no place for an error.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.pending) == 0 {
		batch, err := b.next()
		if err != nil {
			return 0, err
		}
		b.pending = batch
	}
	n := copy(p, b.pending)
	b.pending = b.pending[n:]
	b.bytes += int64(n)
	return n, nil
}

// WriteTo writes the answer to w, one Write for each read from the provider, so
// that w can flush after each.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.pending
	b.pending = nil
	var total int64
	if b.err == nil {
		n, ended, err := forward(w, batch, b.attempt)
		total, b.bytes = n, b.bytes+n
		if err != nil {
			return total, err
		}
		batch, _ = b.over(ended)
	}
	if len(batch) > 0 {
		n, err := w.Write(batch)
		total, b.bytes = total+int64(n), b.bytes+int64(n)
		if err != nil {
			return total, err
		}
	}
	if errors.Is(b.err, io.EOF) {
		return total, nil
	}
	return total, b.err
}

// forward writes batch and what a has to follow it, until a has ended or a Write
// has failed. A Body is not touched by an event; why, says Attempt.
func forward(w io.Writer, batch []byte, a *Attempt) (total int64, ended, failed error) {
	for {
		if len(batch) > 0 {
			n, err := w.Write(batch)
			total += int64(n)
			if err != nil {
				return total, nil, err
			}
		}
		if batch, ended = a.Next(); ended != nil {
			return total, ended, nil
		}
	}
}

// next returns the next bytes for the caller.
func (b *Body) next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	batch, err := b.attempt.Next()
	if err != nil {
		return b.over(err)
	}
	return batch, nil
}

// over ends the answer with what ended the attempt. It returns the last bytes for
// the caller, if there are any.
func (b *Body) over(err error) ([]byte, error) {
	var fault *Fault
	if errors.As(err, &fault) {
		err = fault
	}
	b.err = err
	if fault != nil && fault.Kind != Left && b.dialect != nil && b.stream {
		b.err = io.EOF
		b.end(fault)
		return b.honestEnd(fault), nil
	}
	b.end(fault)
	return nil, b.err
}

// honestEnd returns the bytes that tell the fault in the caller's dialect, on a
// frame boundary.
func (b *Body) honestEnd(f *Fault) []byte {
	s := b.attempt.Stream()
	p := b.problem(f)
	var out []byte
	if !b.attempt.OnBoundary() {
		out = append(out, "\n\n"...)
	}
	out = append(out, f.Raw...)
	if f.Raw == nil || s.Failed {
		out = append(out, b.dialect.ErrorEvent(p, s)...)
	}
	return out
}

// end reports the call's result, once.
func (b *Body) end(f *Fault) {
	b.once.Do(func() { b.ended(Result{Fault: f, Bytes: b.bytes}) })
}

// Close ends the answer. Before its end it counts as the caller leaving: the
// provider is told at once. A second Close does nothing.
func (b *Body) Close() error {
	if !b.mu.TryLock() {
		b.attempt.Abandon()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.err == nil {
		b.attempt.Leave()
		b.err = ErrClosed
		fault := b.attempt.fault
		b.end(fault)
	}
	b.pending = nil
	return nil
}
