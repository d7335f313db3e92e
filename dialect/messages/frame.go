package messages

import (
	"bytes"

	"github.com/holdfast-gateway/holdfast/call"
)

// categoryRefusal is a refusal of no, or of an unknown, category.
const categoryRefusal = "refusal"

// categories are the kinds of refusal Anthropic documents. The list is closed
// because a category becomes a metric label.
var categories = [...]string{"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"}

// event is what the members of one event say.
type event struct {
	typ     []byte // unquoted
	message call.Value
	delta   call.Value
	block   call.Value
	usage   call.Value
	details call.Value
	problem call.Value
}

// Frame reads one event. Its type is what data says, else the SSE event name.
func (dialect) Frame(name, data []byte, s *call.Stream) call.Frame {
	if len(bytes.TrimSpace(data)) == 0 {
		return call.Frame{Kind: call.FrameQuiet}
	}
	e := event{typ: name}
	if !e.read(data) {
		return call.Frame{Kind: call.FrameMalformed}
	}
	switch string(e.typ) {
	case "content_block_delta":
		return e.content(e.delta, s)
	case "content_block_start":
		return e.content(e.block, s)
	case "message_start":
		readMessage(e.message, s)
	case "message_delta":
		return e.finish(s)
	case "message_stop":
		s.Ended = true
		return call.Frame{Kind: call.FrameEnd}
	case "error":
		return e.failure(name, data)
	case "":
		if e.problem.Filled() {
			return e.failure(name, data)
		}
	}
	return call.Frame{Kind: call.FrameQuiet}
}

// read reads the members once. It reports whether data is an object.
func (e *event) read(data []byte) bool {
	p := call.PassOf(data)
	if !p.Enter('{') {
		return false
	}
	for key := p.Key(); key != nil; key = p.Key() {
		val := p.Value()
		switch string(key) {
		case "type":
			if val.Kind() == '"' {
				e.typ = val[1 : len(val)-1]
			}
		case "message":
			e.message = val
		case "delta":
			e.delta = val
		case "content_block":
			e.block = val
		case "usage":
			e.usage = val
		case "stop_details":
			e.details = val
		case "error":
			e.problem = val
		}
	}
	return p.Done()
}

// content reads a delta, or a block that starts with text already in it, as
// some compatible servers send. Signatures are proof, not content.
func (e *event) content(v call.Value, s *call.Stream) call.Frame {
	filled := false
	p := call.PassOf(v)
	if !p.Enter('{') {
		return call.Frame{Kind: call.FrameQuiet}
	}
	for key := p.Key(); key != nil; key = p.Key() {
		val := p.Value()
		switch string(key) {
		case "text", "thinking", "partial_json", "citation":
			filled = filled || val.Filled()
		case "signature":
			s.Make(call.Seal(val))
		}
	}
	if !filled {
		return call.Frame{Kind: call.FrameQuiet}
	}
	s.Content = true
	return call.Frame{Kind: call.FrameContent}
}

// finish reads message_delta. Its usage counts from the start of the message.
func (e *event) finish(s *call.Stream) call.Frame {
	readUsage(e.usage, &s.Usage)
	s.Make(e.delta.Get("container", "id").Text())
	reason := e.delta.Get("stop_reason").Text()
	if reason == "" {
		return call.Frame{Kind: call.FrameQuiet}
	}
	details := e.delta.Get("stop_details")
	if !details.Filled() {
		details = e.details
	}
	policy := policyOf(reason, details)
	s.Content, s.Finishes, s.Finish = true, 1, reason
	if policy != "" {
		s.Policy = policy
	}
	return call.Frame{Kind: call.FrameFinish, Policy: policy}
}

// failure reads an error event. SDKs raise it by themselves only when the event
// is named and its error is nested.
func (e *event) failure(name []byte, data call.Value) call.Frame {
	if !e.problem.Filled() {
		p := call.ReadProblem(data)
		p.Type = "" // flat, this is the event's
		return call.Frame{Kind: call.FrameError, Problem: p}
	}
	raw := e.problem.Kind() == '{' && string(name) == "error" && string(e.typ) == "error"
	return call.Frame{Kind: call.FrameError, Problem: readError(e.problem), KeepRaw: raw}
}

func readError(nested call.Value) call.Problem {
	p := call.ReadProblem(nested)
	if p.Code == "" {
		p.Code = nested.Get("details", "error_code").Text()
	}
	return p
}

func policyOf(reason string, details call.Value) string {
	if reason != categoryRefusal {
		return ""
	}
	category := details.Get("category")
	for _, known := range categories {
		if category.Is(known) {
			return known
		}
	}
	return categoryRefusal
}

func readMessage(v call.Value, s *call.Stream) {
	s.Started = true
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "id":
			if s.ID == "" {
				s.ID = val.Text()
			}
		case "model":
			if s.Model == "" {
				s.Model = val.Text()
			}
		case "usage":
			readUsage(val, &s.Usage)
		}
		return true
	})
}

// readUsage adds the parts of a prompt that Anthropic counts apart: what was
// read from a cache and what was written to one. A later usage replaces what it
// names and keeps the rest, because message_delta may name only the output.
func readUsage(v call.Value, u *call.Usage) {
	var input, created, cached, output int
	var hasInput, hasCached, hasOutput bool
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "input_tokens":
			input, hasInput = u.Count(val)
		case "cache_creation_input_tokens":
			created, _ = u.Count(val)
		case "cache_read_input_tokens":
			cached, hasCached = u.Count(val)
		case "output_tokens":
			output, hasOutput = u.Count(val)
		}
		return true
	})
	if hasInput {
		u.Input = input + created + cached
	}
	if hasInput || hasCached {
		u.Cached = cached
	}
	if hasOutput {
		u.Output = output
	}
	u.Known = u.Known || hasInput || hasOutput
}

// Answer reads a whole message or, for call.OpCountTokens, a count.
func (dialect) Answer(op call.Op, body []byte, s *call.Stream) call.Frame {
	whole := call.Value(bytes.TrimSpace(body))
	if whole.Kind() != '{' || !whole.Well() {
		return call.Frame{Kind: call.FrameMalformed}
	}
	if problem := whole.Get("error"); problem.Filled() || whole.Get("type").Is("error") {
		return call.Frame{Kind: call.FrameError, Problem: readError(problem)}
	}
	if op == call.OpCountTokens {
		return readCount(whole, s)
	}
	if !whole.Get("type").Is("message") || whole.Get("content").Kind() != '[' {
		return call.Frame{Kind: call.FrameMalformed}
	}
	readMessage(whole, s)
	s.Make(whole.Get("container", "id").Text())
	_ = whole.Get("content").Strings(func(_, key []byte, text call.Value) {
		if string(key) == "signature" {
			s.Make(call.Seal(text))
		}
	})
	s.Finish = whole.Get("stop_reason").Text()
	s.Policy = policyOf(s.Finish, whole.Get("stop_details"))
	s.Content, s.Ended, s.Finishes = true, true, 1
	return call.Frame{Kind: call.FrameEnd, Policy: s.Policy}
}

func readCount(whole call.Value, s *call.Stream) call.Frame {
	if _, ok := whole.Get("input_tokens").Int(); !ok {
		return call.Frame{Kind: call.FrameMalformed}
	}
	s.Started, s.Content, s.Ended = true, true, true
	return call.Frame{Kind: call.FrameEnd}
}
