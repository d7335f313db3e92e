package sim

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// generate answers a request for words, streamed or whole.
func (c *call) generate() {
	if e, ok := c.invalid(); ok {
		c.refuse(e)
		return
	}
	a := c.compose()
	if wait := c.bill(a); wait > 0 {
		c.refuse(fault.RateLimited(c.style, wait))
		return
	}
	c.note(func(t *Attempt) { t.InputTokens = a.input })
	defer c.account(a)
	if !c.occupy() {
		return
	}
	defer c.vacate()
	voice := voiceIn(a)
	c.store(voice)
	if p := c.p.vendor; p != nil && p.voice != nil {
		voice = p.voice(voice)
	}
	if c.req.stream {
		c.stream(voice, a.tokens)
	} else {
		c.whole(voice.whole(), len(a.tokens))
	}
}

// store keeps a response that may be fetched by its id. It exists from its first event
// on, whether or not the caller hears its end.
func (c *call) store(v dialectVoice) {
	if r, ok := v.(*responsesVoice); ok && c.req.store {
		c.p.responses.update(r.responseID(), func(json.RawMessage, bool) json.RawMessage { return r.whole() })
	}
}

// reserved is what the vendor charges on arrival: OpenAI also the output it might send.
func (c *call) reserved(a answer) int {
	if c.style == fault.Anthropic {
		return a.input
	}
	if c.req.maxTokens > 0 {
		return a.input + c.req.maxTokens
	}
	return a.input + len(a.tokens)
}

// invalid says what a vendor would find wrong with the request.
func (c *call) invalid() (fault.Error, bool) {
	if errors.Is(c.bad, fault.ErrUnknown) {
		e := fault.ModelNotFound(c.style, clip(c.req.model))
		e.Message += " " + c.bad.Error()
		return e, true
	}
	if bad := (badRequest{}); errors.As(c.bad, &bad) {
		return fault.Invalid(c.style, bad.param, bad.message), true
	}
	switch c.dialect {
	case fault.Messages:
		return c.invalidMessages()
	case fault.Responses:
		if _, known := c.p.responses.get(c.req.previous); c.req.previous != "" && !known {
			e := fault.Invalid(c.style, "previous_response_id", "Previous response with id '"+clip(c.req.previous)+"' not found.")
			e.Code = "previous_response_not_found"
			return e, true
		}
	}
	return fault.Error{}, false
}

func (c *call) invalidMessages() (fault.Error, bool) {
	_, prefill := c.req.prefill()
	switch {
	case c.req.maxTokens == 0:
		return fault.Invalid(c.style, "max_tokens", "Field required"), true
	case prefill != strings.TrimRight(prefill, " \t\r\n"):
		return fault.Invalid(c.style, "messages", "final assistant content cannot end with trailing whitespace"), true
	}
	return fault.Error{}, false
}

// stream sends an answer frame by frame, and breaks where the fault says.
func (c *call) stream(v dialectVoice, tokens []string) {
	if !c.wait(c.pace.headers) {
		return
	}
	c.head(http.StatusOK, contentType(true), -1)
	switch c.fault.Kind {
	case fault.ErrorFirst:
		c.writeAll(v.failure(fault.Overloaded(c.style)))
		return
	case fault.OnlyPings:
		c.ping(v)
		return
	}
	if !c.write(nil) || !c.writeAll(v.start()) || !c.wait(c.firstToken()+c.prefill()) || !c.writeAll(v.open()) {
		return
	}
	if c.speak(v, tokens) {
		c.conclude(v)
	}
}

// firstToken is the wait between the headers and the first token.
func (c *call) firstToken() time.Duration {
	if c.fault.Kind == fault.SlowFirstToken {
		return c.fault.Duration()
	}
	return c.pace.first
}

func (c *call) writeAll(frames [][]byte) bool {
	for _, frame := range frames {
		if !c.write(frame) {
			return false
		}
	}
	return true
}

// speak sends the tokens and reports whether the answer may be concluded.
func (c *call) speak(v dialectVoice, tokens []string) bool {
	breaks := c.breakingPoint(len(tokens))
	for i, token := range tokens {
		if i == breaks {
			c.breakOff(v, func() []byte { return v.token(token) })
			return false
		}
		if i > 0 && !c.wait(c.decode()) {
			return false
		}
		frame := v.token(token)
		if c.fault.Kind == fault.BadEvent && i+1 == min(c.fault.N, len(tokens)) {
			frame = malformed(frame)
		}
		if !c.write(frame) {
			return false
		}
		c.produced(1)
	}
	if breaks == len(tokens) {
		c.breakOff(v, func() []byte { return v.finish()[0] })
		return false
	}
	return c.here()
}

// breakingPoint is the number of tokens after which the fault comes, at the latest before
// the finish; -1 for faults that come elsewhere or not at all.
func (c *call) breakingPoint(tokens int) int {
	switch c.fault.Kind {
	case fault.Cut, fault.CutClean, fault.Stall, fault.ErrorAfter:
		return min(c.fault.N, tokens)
	}
	return -1
}

// breakOff does the fault; next makes the frame that would have followed.
func (c *call) breakOff(v dialectVoice, next func() []byte) {
	switch c.fault.Kind {
	case fault.Cut:
		frame := next()
		c.write(frame[:len(frame)/2])
		c.abort()
	case fault.Stall:
		<-c.ctx.Done()
	case fault.ErrorAfter:
		c.writeAll(v.failure(fault.Broken(c.style)))
	}
}

// conclude sends what follows the last token.
func (c *call) conclude(v dialectVoice) {
	if !c.writeAll(v.finish()) || c.fault.Kind == fault.NoDone {
		return
	}
	c.completed = c.write(v.end()) && !c.broken
	if c.fault.Kind == fault.NeverCloses {
		<-c.ctx.Done()
	}
}

// ping begins an answer and never gets to its content.
func (c *call) ping(v dialectVoice) {
	if !c.writeAll(v.start()) || !c.writeAll(v.open()) {
		return
	}
	for c.wait(time.Second) && c.write(v.keepAlive()) {
	}
}

// malformed cuts a frame's JSON in the middle and keeps the frame: only a reader of the
// JSON notices.
func malformed(frame []byte) []byte {
	text := strings.TrimRight(string(frame), "\n")
	return []byte(text[:len(text)-len(text)/4] + "\n\n")
}

// whole sends a JSON body of n tokens, and breaks it where the fault says.
func (c *call) whole(body json.RawMessage, n int) {
	if c.fault.Kind == fault.SlowFirstToken {
		c.slowWhole(body)
		return
	}
	if !c.wait(c.prefill()) || !c.compute(n) {
		return
	}
	switch c.fault.Kind {
	case fault.ErrorFirst:
		body = fault.Overloaded(c.style).Body(c.style, c.id)
	case fault.ErrorAfter:
		body = fault.Broken(c.style).Body(c.style, c.id)
	case fault.BadEvent:
		body = body[:len(body)-len(body)/4]
	case fault.Cut, fault.CutClean, fault.Stall, fault.OnlyPings, fault.NeverCloses:
		c.hang(body)
		return
	}
	c.head(http.StatusOK, contentType(false), len(body))
	c.completed = c.write(body) && !c.broken
	c.said(n)
}

// said records the tokens of a whole answer once it is out, or made for nobody.
func (c *call) said(n int) {
	if c.completed || c.works() {
		c.produced(n)
	}
}

// slowWhole sends headers at once and the body late.
func (c *call) slowWhole(body json.RawMessage) {
	c.head(http.StatusOK, contentType(false), len(body))
	if c.write(nil) && c.wait(c.fault.Duration()) {
		c.completed = c.write(body) && !c.broken
	}
}

// hang does the faults of a whole body that does not end as it should.
func (c *call) hang(body json.RawMessage) {
	length := -1
	if c.fault.Kind == fault.Cut {
		length = len(body)
	}
	c.head(http.StatusOK, contentType(false), length)
	switch c.fault.Kind {
	case fault.OnlyPings: // blank lines before the JSON are keep-alives
		for c.write([]byte("\n")) && c.wait(time.Second) {
		}
		return
	case fault.NeverCloses:
		c.completed = c.write(body) && !c.broken
		<-c.ctx.Done()
		return
	}
	c.write(body[:len(body)/2])
	switch c.fault.Kind {
	case fault.Cut:
		c.abort()
	case fault.Stall:
		<-c.ctx.Done()
	}
}
