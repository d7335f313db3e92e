package edge

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/chat"
	"github.com/holdfast-gateway/holdfast/dialect/messages"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// reply is the caller's side of an answer: a ResponseWriter that knows whether
// it has begun, gives every write its own deadline and flushes streams.
type reply struct {
	http.ResponseWriter
	control *http.ResponseController
	flusher interface{ FlushError() error } // what control would find; nil: it may find another
	stall   time.Duration
	arrived time.Time
	due     time.Time // the write deadline in force; zero: none
	idle    bool      // the deadline may stay while nothing is written
	flush   bool      // after every write
	began   bool      // the header has been sent
	broken  bool      // the answer is not whole and must not look so
	err     error     // the first write that failed
	asked   *paced    // the request's body; nil when there is none
	who     caller    // once known
}

// newReply returns the answer to a request. HTTP/1 looks at a write deadline only
// while it writes; one of HTTP/2 ends its stream also in silence.
func newReply(w http.ResponseWriter, req *http.Request, stall time.Duration) *reply {
	r := &reply{ResponseWriter: w, control: http.NewResponseController(w), stall: stall, arrived: time.Now(), idle: req.ProtoMajor < 2}
	r.flusher, _ = w.(interface{ FlushError() error })
	r.watch(r.arrived) // the last request of this connection may have left a deadline that has passed
	r.rest()
	return r
}

// Unwrap lets http.ResponseController reach the connection.
func (r *reply) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader sends the header.
func (r *reply) WriteHeader(status int) {
	r.began = true
	r.asked.part() // writing a header reads what is left of the body
	r.watch(time.Now())
	r.ResponseWriter.WriteHeader(status)
}

// Write sends bytes to the caller, within the stall time.
func (r *reply) Write(p []byte) (int, error) {
	r.began = true
	r.watch(time.Now())
	n, err := r.ResponseWriter.Write(p)
	if err == nil {
		err = r.send()
	}
	r.rest()
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}

// finish leaves a deadline for what net/http still has to write.
func (r *reply) finish() {
	r.asked.part()
	r.watch(time.Now())
}

// watch sees to it that what is written from now on is cut when the caller does
// not read for the stall time, less an eighth at most: a deadline a write would
// cost more than looking at what a stream's event is.
func (r *reply) watch(now time.Time) {
	if due := now.Add(r.stall); due.Sub(r.due) > r.stall/8 {
		r.deadline(due)
	}
}

// rest says that nothing is written for now: silence between events is the
// upstream's clock, not this one.
func (r *reply) rest() {
	if !r.idle && !r.due.IsZero() {
		r.deadline(time.Time{})
	}
}

func (r *reply) deadline(t time.Time) {
	r.due = t
	_ = r.control.SetWriteDeadline(t) // a writer without deadlines, as in tests, needs none
}

// relay copies an answer to the caller while it comes, and closes its body. It
// returns what went wrong on either side; then broken is set.
func (r *reply) relay(resp *http.Response, secrets *wanted) error {
	defer resp.Body.Close() // at once when the caller is gone: it ends the upstream call
	header := r.Header()
	withoutNamed(resp.Header, resp.Header["Connection"])
	for name, values := range resp.Header {
		if !ofConnection(name) {
			header[name] = values
		}
	}
	clean := newScrubber((*onlyWriter)(r), secrets)
	clean.header(header)
	r.flush = isStream(resp)
	r.WriteHeader(resp.StatusCode)
	err := r.send()
	if err == nil {
		err = errors.Join(r.copy(clean, resp.Body), clean.Close())
	}
	if err != nil {
		r.broken = true
	}
	return err
}

// send flushes the header of a stream: its first event may be a while.
func (r *reply) send() error {
	if !r.flush {
		return nil
	}
	defer r.rest()
	var err error
	if r.flusher != nil {
		err = r.flusher.FlushError()
	} else {
		err = r.control.Flush()
	}
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// onlyWriter hides every ability of a reply but Write, so that io.Copy cannot
// pass it by.
type onlyWriter reply

func (w *onlyWriter) Write(p []byte) (int, error) { return (*reply)(w).Write(p) }

func (r *reply) copy(to io.Writer, body io.Reader) error {
	var err error
	if source, ok := body.(io.WriterTo); ok {
		_, err = source.WriteTo(to)
	} else {
		_, err = io.Copy(to, body)
	}
	if r.err != nil {
		return r.err
	}
	return err
}

// isStream reports whether an answer's pieces should leave as they come.
func isStream(resp *http.Response) bool {
	return resp.ContentLength < 0 || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
}

// refuse answers with an error of our own, in the dialect of the path, and
// returns the status it has there.
func (r *reply) refuse(req *http.Request, p call.Problem) int {
	status, body := dialectOf(req).Refusal(p)
	h := r.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Holdfast-Request-Id", p.Request)
	h.Set("X-Holdfast-Error-Source", "gateway")
	h.Set("X-Holdfast-Reason", cmp.Or(p.Reason, call.ReasonBadRequest))
	h.Set("X-Should-Retry", "false")
	if (p.Reason == call.ReasonShed || p.Reason == call.ReasonDraining) && isFirstTry(req) {
		h.Set("X-Should-Retry", "true")
		h.Set("Retry-After", "1")
	}
	if status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	r.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = r.Write(body) // a caller who is gone hears nothing
	}
	return status
}

// isFirstTry reports whether the caller's SDK is not itself retrying.
func isFirstTry(r *http.Request) bool {
	count := r.Header.Get("X-Stainless-Retry-Count")
	return count == "" || count == "0"
}

// operation is what a request asks for; one whose body is read for routing must
// be whole before the call begins.
func operation(r *http.Request) call.Op {
	if v, endpoint := all.Reading(r.Method, r.URL.Path); v != nil {
		return endpoint.Op
	}
	return call.OpOther
}

func isGuarded(r *http.Request) bool { return operation(r) != call.OpOther }

// dialectOf is how errors are told on a path: as Anthropic's SDKs read them
// where they call, else as OpenAI's do.
func dialectOf(r *http.Request) call.Dialect {
	if r.Header.Get("Anthropic-Version") != "" || strings.Contains(r.URL.Path, "/v1/messages") {
		return messages.New()
	}
	return chat.New()
}

func stack() string {
	const limit = 8 << 10
	s := debug.Stack()
	return string(s[:min(len(s), limit)])
}

// panicText names a panic without its value where the value may hold a body.
func panicText(p any) string {
	if err, ok := p.(error); ok {
		return capped(err.Error())
	}
	if s, ok := p.(string); ok {
		return capped(s)
	}
	return "not an error"
}

// capped bounds what a caller can put into a log line.
func capped(s string) string {
	const limit = 256
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
