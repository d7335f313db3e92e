package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-gateway/holdfast/fault"
)

// endpoint is one row of the provider's API.
type endpoint struct {
	dialect fault.Dialect
	parse   bool // the body is JSON with a model
	answer  func(*call)
}

// call is one attempt while it is served.
type call struct {
	endpoint
	p       *Provider
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context
	style   fault.Style
	dials   Dials
	attempt *Attempt // shared with the journal: change it only through note
	id      string   // of the request
	body    []byte
	req     request
	bad     error // what is wrong with the body
	fault   fault.Fault
	rng     *rand.Rand
	pace    pace

	broken    bool // a write failed: the caller is gone
	completed bool // a whole answer was written
}

// serve answers one call and records it, however it ends.
func (p *Provider) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	c := &call{endpoint: e, p: p, w: w, r: r, ctx: r.Context(), dials: p.Dials(), id: "req_" + newID(), fault: fault.None()}
	c.style = styleOf(e.dialect, r)
	c.begin()
	defer c.end()
	if !c.read() || !c.authorised() || !c.listens() || !p.gate.enter(c.ctx, c.dials.Parallel) {
		return
	}
	defer func() { p.gate.leave(p.Dials().Parallel) }()
	c.misbehave()
}

// listens waits for the end of a stall. A queue has an order to keep: who comes in a
// stall waits in it, not beside it.
func (c *call) listens() bool { return c.works() || c.dials.Parallel > 0 || c.wait(0) }

// styleOf tells the vendors apart where the endpoint does not.
func styleOf(d fault.Dialect, r *http.Request) fault.Style {
	if d == "" && (r.Header.Get("Anthropic-Version") != "" || strings.HasPrefix(r.URL.Path, "/v1/messages")) {
		return fault.Anthropic
	}
	return d.Style()
}

func (c *call) begin() {
	c.attempt = c.p.journal.begin(Attempt{
		Received:   time.Now(),
		Method:     clip(c.r.Method),
		Path:       clip(pathAsked(c.r)),
		Host:       clip(c.r.Host),
		Stray:      c.p.vendor != nil && c.p.vendor.stray(c.r.Header, c.dials.RequiredKey),
		Fault:      c.fault.Name,
		RequestID:  c.id,
		Tag:        clip(c.r.Header.Get("X-Sim-Tag")),
		RetryCount: clip(c.r.Header.Get("X-Stainless-Retry-Count")),
		KeyDigest:  fingerprint([]byte(keyOf(c.r.Header)), 8),
	})
	c.rng = rand.New(rand.NewPCG(c.dials.Seed, c.attempt.Seq))
}

// end records how the call ended. It runs also when the call drops its connection.
func (c *call) end() {
	gone := !c.completed && (c.broken || c.ctx.Err() != nil)
	now := time.Now()
	c.p.journal.end(c.attempt, func(a *Attempt) {
		a.Ended, a.Completed, a.Cancelled = now, c.completed, gone
		if gone {
			a.CancelledAt = now
		}
	})
}

func (c *call) note(f func(*Attempt)) { c.p.journal.change(c.attempt, f) }

// read takes the body, picks the fault and sets the pace. Only after the whole body has
// been read does net/http watch the connection and cancel the context when it drops.
func (c *call) read() bool {
	var err error
	c.body, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		c.refuse(fault.ForStatus(c.style, http.StatusRequestEntityTooLarge))
		return false
	}
	if err != nil {
		c.broken = true // the caller stopped in the middle of its body
		return false
	}
	if c.parse {
		c.req, c.bad = parseRequest(c.dialect, c.body)
	}
	c.pick()
	c.pace = paceOf(c.dials, c.dialect, c.req.stream, c.rng)
	if c.fault.Kind == fault.SlowMode && c.rng.IntN(c.fault.N) == 0 || c.dials.SlowShare > 0 && c.rng.Float64() < c.dials.SlowShare {
		c.pace = c.pace.slow()
	}
	c.note(func(a *Attempt) {
		a.Model, a.Stream, a.Fault = clip(c.req.model), c.req.stream, c.fault.Name
		a.BodyDigest = fingerprint(c.body, 16)
		if a.Tag == "" {
			a.Tag = clip(c.req.user)
		}
	})
	return true
}

// pick finds the call's fault: the dial's, by its chance, or else the model's.
func (c *call) pick() {
	if c.dials.Fault != "" && c.rng.Float64() < c.dials.faultProbability() {
		c.fault, _ = fault.Parse(c.dials.Fault) // validated
		return
	}
	name, ours := strings.CutPrefix(c.req.model, modelPrefix)
	if !ours {
		return
	}
	f, err := fault.Parse(name)
	if err != nil {
		c.bad = err
		return
	}
	c.fault = f
}

func (c *call) authorised() bool {
	if c.dials.RequiredKey == "" || sameKey(keyOf(c.r.Header), c.dials.RequiredKey) {
		return true
	}
	c.fault = fault.None() // the key came first
	c.note(func(a *Attempt) { a.Fault = c.fault.Name })
	c.refuse(fault.ForStatus(c.style, http.StatusUnauthorized))
	return false
}

// misbehave does the faults that need no answer, and otherwise answers.
func (c *call) misbehave() {
	if e, ok := c.refusal(); ok {
		c.refuse(e)
		return
	}
	switch c.fault.Kind {
	case fault.Reset:
		c.reset()
	case fault.Silent:
		<-c.ctx.Done()
	case fault.HTML:
		c.refuse(fault.Page(c.fault.N))
	case fault.Empty:
		c.empty()
	case fault.NoNewline:
		c.flood()
	default:
		c.answer(c)
	}
}

// refusal returns the error that the fault gives this attempt, if it gives one.
func (c *call) refusal() (fault.Error, bool) {
	e, ok := c.fault.Error(c.style)
	if !ok {
		return e, false
	}
	switch c.fault.Kind {
	case fault.RetryAfter:
		wait := c.fault.Duration() - time.Since(c.firstSeen().at)
		return fault.RateLimited(c.style, wait), wait > 0
	case fault.Once:
		return e, c.firstSeen().attempts == 1
	case fault.Flap:
		phase := time.Since(c.p.began) / c.fault.Duration()
		return e, phase%2 == 1
	case fault.RefusesPrefill:
		_, prefill := c.req.prefill()
		return e, prefill != ""
	case fault.NotFound:
		return fault.ModelNotFound(c.style, clip(c.req.model)), true
	case fault.ContextLength:
		if c.dialect == fault.Responses {
			e.Param = "input"
		}
	}
	return e, true
}

// firstSeen counts this attempt of its call and says when the first one was.
func (c *call) firstSeen() firstSeen {
	key := callKey{sha256.Sum256(c.body), clip(c.r.Header.Get("X-Sim-Tag"))}
	return c.p.seen.update(key, func(old firstSeen, known bool) firstSeen {
		if !known {
			old.at = time.Now()
		}
		old.attempts++
		return old
	})
}

// refuse answers with an error, after the delay that the dials put before headers.
func (c *call) refuse(e fault.Error) {
	if !c.wait(c.dials.scale(c.dials.HeaderDelay)) {
		return
	}
	body := e.Body(c.style, c.id)
	if p := c.p.vendor; p != nil && p.refusal != nil && e.Page == "" {
		e.Status, body = p.refusal(e)
	}
	c.head(e.Status, e.Header(c.style), len(body))
	c.completed = c.write(body) && !c.broken
}

// reset closes the connection before any byte; with TCP the caller sees a RST.
func (c *call) reset() {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 or a recorder: as hard as it gets
	}
	if lingering, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = lingering.SetLinger(0)
	}
	_ = conn.Close()
}

func (c *call) empty() {
	if c.wait(c.pace.headers) {
		c.head(c.fault.N, contentType(c.req.stream), 0)
		c.completed = c.write(nil) && !c.broken
	}
}

// flood sends one line that does not end.
func (c *call) flood() {
	if !c.wait(c.pace.headers) {
		return
	}
	c.head(http.StatusOK, contentType(c.req.stream), -1)
	line := []byte(strings.Repeat("x", 64<<10))
	for sent := 0; sent < c.fault.N; sent += len(line) {
		if !c.write(line) {
			return
		}
	}
	c.completed = !c.broken
}

func contentType(stream bool) http.Header {
	if stream {
		return http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}, "Cache-Control": {"no-cache"}}
	}
	return http.Header{"Content-Type": {"application/json"}}
}

// head writes the status line and the vendor's headers. length below 0 is not said.
func (c *call) head(status int, extra http.Header, length int) {
	h := c.w.Header()
	for name, values := range extra {
		h[name] = values
	}
	if length >= 0 {
		h.Set("Content-Length", strconv.Itoa(length))
	}
	c.vendorHeaders(h, status)
	now := time.Now()
	c.note(func(a *Attempt) { a.Status, a.FirstByte = status, now })
	c.w.WriteHeader(status)
}

func (c *call) vendorHeaders(h http.Header, status int) {
	var throttled time.Duration
	if status == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(h.Get("Retry-After"))
		throttled = time.Duration(seconds) * time.Second
	}
	c.p.meters.tellLimits(h, c.style, c.dials, throttled)
	if c.style == fault.Anthropic {
		h.Set("Request-Id", c.id)
		h.Set("Anthropic-Organization-Id", "00000000-0000-4000-8000-000000000000")
		return
	}
	h.Set("X-Request-Id", c.id)
	h.Set("Openai-Version", "2020-10-01")
	h.Set("Openai-Organization", "org-sim")
	h.Set("Openai-Processing-Ms", strconv.FormatInt(time.Since(c.attempt.Received).Milliseconds(), 10))
}

// write sends b at once and reports whether the call goes on: while the caller is
// there, or to its end where work once begun is finished.
func (c *call) write(b []byte) bool {
	if !c.here() {
		c.broken = true
		return c.works()
	}
	if c.p.stalled() > 0 && !c.wait(0) {
		return c.works()
	}
	n, err := c.w.Write(b)
	if err == nil {
		err = http.NewResponseController(c.w).Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil // a wrapper without Flush: as soon as it can
		}
	}
	c.broken = err != nil
	c.note(func(a *Attempt) { a.Bytes += int64(n) })
	return err == nil || c.works()
}

// here reports whether the caller is still there.
func (c *call) here() bool { return !c.broken && c.ctx.Err() == nil }

// abort drops the connection after what has been written.
func (c *call) abort() { panic(http.ErrAbortHandler) }

// clip bounds what a caller can put into the log.
func clip(s string) string {
	const longest = 200
	if len(s) <= longest {
		return s
	}
	end := longest
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
