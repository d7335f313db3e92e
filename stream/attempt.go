package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// ErrLeft is the cause with which an attempt's context is cancelled when the
// caller closes the answer before its end.
var ErrLeft = errors.New("stream: the caller left")

// ErrDraining is the cause with which a call's context is cancelled when this
// process can wait for it no longer. The caller is still there: unlike after
// other causes, a stream is ended with the dialect's error event.
var ErrDraining = errors.New("stream: this process is shutting down")

// Source is what an Attempt needs to know of the answer it reads.
type Source struct {
	Body    io.ReadCloser
	Status  int          // of the answer
	Framing Framing      // nil: nothing is known of this body, bytes pass unread
	Dialect call.Dialect // the target's; may be nil when Framing is nil
	Op      call.Op
	Request *call.Request
	Strict  bool // the dialect's own terminator is required
	Sent    time.Time
	Linger  time.Duration // how long the end of the body may follow the terminator; 0 means 1 s
	Clocks  *timeout.Clocks
	Context context.Context         // the attempt's: its cause says why a read failed
	Cancel  context.CancelCauseFunc // ends the attempt upstream
	// Head is called once with the first bytes of a body that passes unread; may
	// be nil.
	Head func([]byte)
	// FirstToken is called once, at the first meaningful event.
	FirstToken func(after time.Duration)
	// Classify names the Class of a fault or, given nil, of a complete answer.
	Classify func(f *Fault, s *call.Stream) call.Verdict
	// End hears the outcome, once, when the answer has ended.
	End func(call.Outcome)
}

// Attempt is one upstream answer. It is read by one goroutine at a time; Abandon
// may be called from any.
//
// Between two events of a stream thousands of others have their turn, and what an
// event touches is in no cache any more: a cache line costs more than a line of
// code. So what every event needs stands together, in front.
type Attempt struct {
	buf     []byte
	out     int // bytes before it were handed out
	pos     int // bytes before it are whole frames
	end     int // bytes before it were read
	body    io.ReadCloser
	clocks  *timeout.Clocks
	framing Framing
	dialect call.Dialect
	fault   *Fault
	bytes   int64
	whole   bool // the answer is one document
	opaque  bool // bytes pass unread to the end
	passing bool // the open frame is beyond the limit: its bytes pass unread
	eof     bool
	commit  bool
	made    produce
	stream  call.Stream

	src    Source
	pooled *[]byte
	large  call.Frame // what the frame beyond the limit means
	first  time.Duration
	once   sync.Once
}

// NewAttempt returns the Attempt that reads src.
func NewAttempt(src Source) *Attempt {
	a := &Attempt{
		src: src, body: src.Body, clocks: src.Clocks, framing: src.Framing, dialect: src.Dialect,
		opaque: src.Framing == nil,
	}
	_, a.whole = src.Framing.(*Whole)
	a.stream.Request = src.Request
	a.buf, a.pooled = getBuffer(a.opaque)
	return a
}

// Stream returns what was learnt of the answer so far.
func (a *Attempt) Stream() *call.Stream { return &a.stream }

// Committed reports whether the first meaningful event was seen.
func (a *Attempt) Committed() bool { return a.commit }

// Open reads up to the commit point and holds everything back. It returns nil
// when the answer may be shown to the caller: its first meaningful event is
// here, or it is complete, or its framing is unknown. The fault it returns ends
// the attempt.
func (a *Attempt) Open() *Fault {
	if a.opaque {
		a.committed()
		return nil
	}
	for !a.commit && a.fault == nil && !a.eof {
		a.read()
	}
	if !a.commit && a.fault == nil {
		a.fault = &Fault{Kind: Empty}
	}
	if !a.commit {
		a.finish(a.fault)
		return a.fault
	}
	return nil
}

// Next returns the next whole frames, byte for byte as they were received. The
// slice is valid until the following call. It returns io.EOF after a complete
// answer and a *Fault after a broken one; the attempt has then ended.
func (a *Attempt) Next() ([]byte, error) {
	for {
		if a.pos > a.out {
			batch := a.buf[a.out:a.pos]
			a.out = a.pos
			return batch, nil
		}
		if a.fault != nil {
			a.finish(a.fault)
			return nil, a.fault
		}
		if a.eof {
			a.finish(nil)
			return nil, io.EOF
		}
		a.read()
	}
}

// OnBoundary reports whether everything handed out ends on a frame boundary.
func (a *Attempt) OnBoundary() bool { return !a.passing }

// Abandon ends the attempt because the caller left. After the terminator it is
// not a loss: the answer was complete. It may be called while a read is under
// way, which it ends.
func (a *Attempt) Abandon() {
	if a.src.Cancel != nil {
		a.src.Cancel(ErrLeft)
	}
}

// Leave ends the attempt from the reader's side: a bounded drain when the answer
// is complete (so that its connection can serve again), an abandoned outcome
// otherwise.
func (a *Attempt) Leave() {
	if a.fault == nil && !a.eof && a.stream.Ended {
		a.clocks.Linger(drainWait)
		for range maxDrainReads {
			if a.eof || a.fault != nil {
				break
			}
			a.out = a.pos
			a.read()
		}
		a.fault = nil
		a.finish(nil)
		return
	}
	if a.fault == nil && !a.eof {
		a.fault = &Fault{Kind: Left, Err: ErrLeft}
	}
	a.finish(a.fault)
}

const (
	drainWait     = 50 * time.Millisecond
	maxDrainReads = 16
)

// read takes one read from the provider and looks at the frames it completed.
func (a *Attempt) read() {
	a.room()
	a.clocks.Reading(true)
	n, err := a.body.Read(a.buf[a.end:])
	a.clocks.Reading(false)
	if n > 0 {
		a.clocks.Byte()
		if a.opaque && a.bytes == 0 && a.src.Head != nil {
			a.src.Head(a.buf[a.end : a.end+n])
		}
		a.bytes += int64(n)
		a.end += n
		a.look()
	}
	if err != nil && a.fault == nil {
		a.over(err)
	}
}

// room makes space for the next read: frames handed out make way, then the
// buffer grows.
func (a *Attempt) room() {
	if a.out > 0 {
		copy(a.buf, a.buf[a.out:a.end])
		a.pos, a.end, a.out = a.pos-a.out, a.end-a.out, 0
	}
	if a.end < len(a.buf) {
		return
	}
	grown := make([]byte, 2*len(a.buf))
	copy(grown, a.buf[:a.end])
	putBuffer(a.pooled)
	a.buf, a.pooled = grown, nil
}

// look judges every frame that is complete.
func (a *Attempt) look() {
	for a.fault == nil && a.pos < a.end {
		switch {
		case a.opaque:
			a.pos = a.end
			return
		case a.passing && !a.skip():
			return
		}
		n, event, data, err := a.framing.Next(a.buf[a.pos:a.end])
		if err != nil {
			a.fault = &Fault{Kind: Malformed, Err: err}
			return
		}
		if n == 0 {
			a.bound()
			return
		}
		a.judge(n, a.meaning(event, data))
	}
}

// meaning asks the dialect about a frame, which may be the whole document.
func (a *Attempt) meaning(event, data []byte) call.Frame {
	if a.whole {
		return a.dialect.Answer(a.src.Op, data, &a.stream)
	}
	return a.dialect.Frame(event, data, &a.stream)
}

// bound keeps what is held within the framing's limit. A frame larger than that
// passes unread once the answer has shown that it speaks the dialect; many small
// frames before the commit point are simply let go.
func (a *Attempt) bound() {
	limit := a.framing.Limit()
	switch {
	case a.end-a.pos > limit && a.whole:
		a.opaque = true
		a.committed()
		a.pos = a.end
	case a.end-a.pos > limit && !a.stream.Started:
		a.fault = &Fault{Kind: Malformed, Err: errNoEvent}
	case a.end-a.pos > limit:
		a.pass()
	case a.end-a.out > limit && !a.commit:
		a.committed()
	}
}

var errNoEvent = errors.New("no event within the limit of one frame")

// skip passes bytes of the oversize frame on; it returns true at its end.
func (a *Attempt) skip() bool {
	s, ok := a.framing.(interface{ Skip([]byte) int })
	if !ok {
		a.opaque, a.passing, a.pos = true, false, a.end
		return false
	}
	n := s.Skip(a.buf[a.pos:a.end])
	if n < 0 {
		a.pos = a.end
		return false
	}
	a.passing = false
	a.judge(n, a.large)
	return a.fault == nil && a.pos < a.end
}

// pass lets the open frame go unread. What it means is judged from its head, and
// holds from its end on.
func (a *Attempt) pass() {
	a.passing = true
	a.large = call.Frame{Kind: call.FrameContent}
	if d, ok := a.dialect.(call.LargeFrames); ok {
		if f, ok := a.framing.(interface {
			Head([]byte) (event, data []byte)
		}); ok {
			event, data := f.Head(a.buf[a.pos:a.end])
			a.large = d.Large(event, data, &a.stream)
		}
	}
	a.committed()
	a.skip()
}

// judge acts on the meaning of the frame of n bytes at pos.
func (a *Attempt) judge(n int, f call.Frame) {
	switch f.Kind {
	case call.FrameMalformed:
		a.fault = &Fault{Kind: Malformed}
		return
	case call.FrameError:
		a.fault = &Fault{Kind: InBand, Problem: f.Problem}
		if f.KeepRaw {
			a.fault.Raw = append([]byte(nil), a.buf[a.pos:a.pos+n]...)
		}
		return
	case call.FrameEnd:
		if !a.commit && !a.stream.Content && a.stream.Finishes == 0 {
			a.fault = &Fault{Kind: Empty}
			return
		}
		a.clocks.Linger(a.src.Linger)
	default:
	}
	if f.Kind.Meaningful() {
		a.made.note(f.Kind, n, a.whole)
		a.clocks.Meaningful()
		a.committed()
	}
	a.pos += n
}

func (a *Attempt) committed() {
	if a.commit {
		return
	}
	a.commit = true
	a.first = time.Since(a.src.Sent)
	a.clocks.Commit()
	if a.src.FirstToken != nil {
		a.src.FirstToken(a.first)
	}
}

// over ends the reading: err is what the provider's body returned.
func (a *Attempt) over(err error) {
	if !errors.Is(err, io.EOF) {
		a.broken(err)
		return
	}
	a.eof = true
	if a.opaque {
		return
	}
	a.rest()
	if a.fault == nil && a.commit && !a.dialect.Ended(&a.stream, a.src.Strict) {
		a.fault = &Fault{Kind: Unterminated}
	}
}

// rest judges what follows the last frame boundary.
func (a *Attempt) rest() {
	if a.passing {
		a.fault = &Fault{Kind: Cut, Err: io.ErrUnexpectedEOF}
		return
	}
	if a.pos == a.end {
		return
	}
	event, data, ok := a.framing.Rest(a.buf[a.pos:a.end])
	if ok && a.whole {
		a.pos = a.end // white space after the document
		return
	}
	if !ok {
		a.fault = &Fault{Kind: Malformed, Err: io.ErrUnexpectedEOF}
		return
	}
	f := a.dialect.Frame(event, data, &a.stream)
	if f.Kind == call.FrameMalformed {
		a.fault = &Fault{Kind: Cut, Err: io.ErrUnexpectedEOF}
		return
	}
	a.judge(a.end-a.pos, f)
}

// broken names the fault behind a failed read: a clock, the caller, or the wire.
// After the terminator nothing is lost, whatever happens to the connection.
func (a *Attempt) broken(err error) {
	if a.stream.Ended {
		a.eof = true
		return
	}
	var clock *timeout.Error
	cause := context.Cause(a.src.Context)
	switch {
	case cause == nil:
		a.fault = &Fault{Kind: Cut, Err: err}
	case errors.As(cause, &clock):
		a.fault = &Fault{Kind: Clock, Clock: clock.Clock, Err: cause}
	case errors.Is(cause, ErrDraining):
		a.fault = &Fault{Kind: Draining, Err: cause}
	default:
		a.fault = &Fault{Kind: Left, Err: cause}
	}
}

// finish ends the attempt, once: everything that was held for it is given back
// by End.
func (a *Attempt) finish(f *Fault) {
	a.once.Do(func() {
		a.clocks.Stop()
		if f != nil || !a.eof {
			a.src.Cancel(ErrLeft)
		}
		_ = a.body.Close()
		a.src.Cancel(nil)
		o := call.Outcome{
			Verdict: a.src.Classify(f, &a.stream), Sent: true, Committed: a.commit, Status: a.src.Status,
			Usage: a.stream.Usage, FirstToken: a.first, Duration: time.Since(a.src.Sent), Bytes: a.bytes,
			Produced: a.made.tokens(a.whole),
		}
		if f != nil {
			o.Clock, o.Err = f.Clock, f
		}
		putBuffer(a.pooled)
		a.pooled = nil
		if a.out == a.pos {
			a.buf = nil
		}
		a.src.End(o)
	})
}

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, 4<<10); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}
)

func getBuffer(large bool) ([]byte, *[]byte) {
	pool := &smallBuffers
	if large {
		pool = &largeBuffers
	}
	b := pool.Get().(*[]byte)
	return *b, b
}

func putBuffer(b *[]byte) {
	switch {
	case b == nil:
	case len(*b) == 4<<10:
		smallBuffers.Put(b)
	default:
		largeBuffers.Put(b)
	}
}
