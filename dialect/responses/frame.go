package responses

import (
	"bytes"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
)

// Categories of policy signals that this dialect names.
const (
	categoryFilter  = "content_filter"
	categoryRefusal = "refusal"
)

// event is what the members of one event say.
type event struct {
	typ      []byte // unquoted
	sequence call.Value
	delta    call.Value
	image    call.Value
	response call.Value
	problem  call.Value
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
	if n, ok := e.sequence.Int(); ok {
		s.Sequence = max(s.Sequence, int64(n))
	}
	return e.frame(data, s)
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
		case "sequence_number":
			e.sequence = val
		case "delta":
			e.delta = val
		case "partial_image_b64":
			e.image = val
		case "response":
			e.response = val
		case "error":
			e.problem = val
		}
	}
	return p.Done()
}

func (e *event) frame(data call.Value, s *call.Stream) call.Frame {
	switch string(e.typ) {
	case "response.created", "response.in_progress", "response.queued":
		readResponse(e.response, s)
		return call.Frame{Kind: call.FrameQuiet}
	case "response.completed", "response.incomplete":
		return e.end(s)
	case "response.failed":
		readResponse(e.response, s)
		s.Failed = true
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(e.response.Get("error")), KeepRaw: true}
	case "error":
		return call.Frame{Kind: call.FrameError, Problem: readError(data, e.problem)}
	case "response.refusal.delta":
		return e.content(s, categoryRefusal)
	case "response.refusal.done":
		s.Policy = categoryRefusal
		return call.Frame{Kind: call.FrameQuiet, Policy: categoryRefusal}
	}
	if bytes.HasSuffix(e.typ, []byte(".delta")) || e.image.Filled() {
		return e.content(s, "")
	}
	if len(e.typ) == 0 && e.problem.Filled() {
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(e.problem)}
	}
	return call.Frame{Kind: call.FrameQuiet}
}

func (e *event) content(s *call.Stream, policy string) call.Frame {
	if !e.delta.Filled() && !e.image.Filled() {
		return call.Frame{Kind: call.FrameQuiet}
	}
	s.Content = true
	if policy != "" {
		s.Policy = policy
	}
	return call.Frame{Kind: call.FrameContent, Policy: policy}
}

// end reads a whole response: the last event is also the last word on usage,
// on how it ended and on whether it refused.
func (e *event) end(s *call.Stream) call.Frame {
	readResponse(e.response, s)
	readMade(e.response, s)
	s.Content, s.Ended, s.Finishes = true, true, 1
	policy := policyOf(e.response, s.Finish)
	if policy != "" {
		s.Policy = policy
	}
	return call.Frame{Kind: call.FrameEnd, Policy: policy}
}

// readError reads an "error" event, whose members stand flat beside type or
// nested in error; the nested ones count where both are there.
func readError(data, nested call.Value) call.Problem {
	p := call.ReadProblem(data)
	p.Type = "" // flat, this is the event's
	if !nested.Filled() {
		return p
	}
	n := call.ReadProblem(nested)
	for _, member := range [...]struct{ to, from *string }{{&n.Message, &p.Message}, {&n.Code, &p.Code}, {&n.Param, &p.Param}} {
		if *member.to == "" {
			*member.to = *member.from
		}
	}
	n.Status = max(n.Status, p.Status)
	return n
}

// readResponse remembers what the response object says of itself.
func readResponse(v call.Value, s *call.Stream) {
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
		case "status":
			s.Finish = val.Text()
		case "usage":
			readUsage(val, &s.Usage)
		}
		return true
	})
	if reason := v.Get("incomplete_details", "reason").Text(); reason != "" {
		s.Finish = reason
	}
}

// readMade remembers what a response leaves at its account for later requests.
func readMade(response call.Value, s *call.Stream) {
	s.Make(response.Get("conversation", "id").Text())
	if !bytes.Contains(response, []byte(`"container_id"`)) && !bytes.Contains(response, []byte(`"encrypted_content"`)) {
		return
	}
	_ = response.Get("output").Strings(func(_, key []byte, text call.Value) {
		switch string(key) {
		case "container_id":
			s.Make(text.Text())
		case "encrypted_content":
			s.Make(call.Seal(text))
		}
	})
}

// policyOf finds what a policy did to a whole response.
func policyOf(response call.Value, finish string) string {
	if finish == categoryFilter {
		return categoryFilter
	}
	if !bytes.Contains(response, []byte(`"refusal"`)) {
		return ""
	}
	category := ""
	_ = response.Get("output").Strings(func(parent, key []byte, s call.Value) {
		if string(parent) == "content" && string(key) == "refusal" && s.Filled() {
			category = categoryRefusal
		}
	})
	return category
}

// readUsage keeps the newest usage; what is no count counts as nothing.
func readUsage(v call.Value, u *call.Usage) {
	var got call.Usage
	var in, out bool
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "input_tokens":
			got.Input, in = got.Count(val)
		case "output_tokens":
			got.Output, out = got.Count(val)
		case "input_tokens_details":
			got.Cached, _ = got.Count(val.Get("cached_tokens"))
		case "output_tokens_details":
			got.Reasoning, _ = got.Count(val.Get("reasoning_tokens"))
		}
		return true
	})
	got.Odd = got.Odd || u.Odd
	if got.Known = in || out; got.Known {
		*u = got
	}
	u.Odd = got.Odd
}

// Answer reads a whole response object. One that is queued or in progress is a
// complete answer to a request for background work.
func (dialect) Answer(_ call.Op, body []byte, s *call.Stream) call.Frame {
	whole := call.Value(bytes.TrimSpace(body))
	if whole.Kind() != '{' || !whole.Well() {
		return call.Frame{Kind: call.FrameMalformed}
	}
	problem, status := whole.Get("error"), whole.Get("status").Text()
	if problem.Filled() || status == "failed" {
		s.Failed = status == "failed"
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(problem)}
	}
	if !strings.Contains(" completed incomplete in_progress queued cancelled ", " "+status+" ") {
		return call.Frame{Kind: call.FrameMalformed}
	}
	e := event{response: whole}
	return e.end(s)
}
