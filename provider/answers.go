package provider

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
)

// Answers is what is known of the answers of a vendor whose dialect nobody
// speaks here yet: enough to say how an answer ended, not enough to translate
// it. Paths are member names with dots between them; a number is an index, "*"
// every element.
type Answers struct {
	Content []string // where text, reasoning or a tool call stands
	Finish  []string // where the finish reason stands
	Blocked []string // where the reason stands for which a prompt was blocked
	Model   string   // where the model stands that answered; "" nowhere
	Errors  []string // ends of the names of events that are errors: "Exception"
	Last    string   // path that is true in the last frame; "" for the frame with the finish reason
	Input   []string // where the tokens of the prompt are counted
	Output  []string // where the tokens of the answer are counted
}

// Read says what one frame, or one whole answer, means. event is the frame's
// name, "" if it has none. What a finish reason means stands in the vendor's
// table, as rows with Finish.
func (a *Answers) Read(table Table, event string, data []byte, s *call.Stream) call.Frame {
	v := call.Value(bytes.TrimSpace(data))
	switch {
	case string(v) == "[DONE]":
		s.Ended = true
		return call.Frame{Kind: call.FrameEnd}
	case v.Kind() != '{' || !v.Well():
		return call.Frame{Kind: call.FrameMalformed}
	case v.Get("error").Filled():
		body := ParseError(v)
		return call.Frame{Kind: call.FrameError, Problem: body.Problem(body.Status)}
	case a.isError(event):
		return call.Frame{Kind: call.FrameError, Problem: call.Problem{Type: capital(event), Message: v.Get("message").Text()}}
	}
	s.Started = true
	if a.Model != "" && s.Model == "" {
		s.Model = each(v, a.Model).Text()
	}
	a.count(v, s)
	return a.ending(table, v, s)
}

func (a *Answers) isError(event string) bool {
	for _, end := range a.Errors {
		if strings.HasSuffix(event, end) {
			return true
		}
	}
	return false
}

// ending reads why an answer is over, if it is, and else whether it said anything.
func (a *Answers) ending(table Table, v call.Value, s *call.Stream) call.Frame {
	reason := text(v, a.Finish)
	if reason == "" {
		reason = text(v, a.Blocked)
	}
	if reason == "" {
		if some(v, a.Content) {
			s.Content = true
			return call.Frame{Kind: call.FrameContent}
		}
		return call.Frame{}
	}
	s.Content, s.Finish, s.Finishes = true, reason, 1
	s.Ended = a.Last == "" || v.Get(a.Last).True()
	row, known := table.Finish(reason)
	switch {
	case known && row.Class == call.PolicyViolation:
		s.Policy = row.Category
	case known:
		return call.Frame{Kind: call.FrameError, Problem: call.Problem{Code: reason}}
	}
	return call.Frame{Kind: call.FrameFinish, Policy: s.Policy}
}

func (a *Answers) count(v call.Value, s *call.Stream) {
	see := func(paths []string, into *int) {
		for _, path := range paths {
			if n, ok := each(v, path).Int(); ok && n > 0 {
				*into, s.Usage.Known = n, true
			}
		}
	}
	see(a.Input, &s.Usage.Input)
	see(a.Output, &s.Usage.Output)
}

func text(v call.Value, paths []string) string {
	for _, path := range paths {
		if found := each(v, path); found.Kind() == '"' && found.Filled() {
			return found.Text()
		}
	}
	return ""
}

func some(v call.Value, paths []string) bool {
	for _, path := range paths {
		if each(v, path).Filled() {
			return true
		}
	}
	return false
}

// each returns the first filled value at path.
func each(v call.Value, path string) call.Value {
	name, rest, more := strings.Cut(path, ".")
	if name == "*" {
		var found call.Value
		_ = v.Elements(func(e call.Value) bool {
			found = e
			if more {
				found = each(e, rest)
			}
			return !found.Filled()
		})
		return found
	}
	next := v.Get(name)
	if n, err := strconv.Atoi(name); err == nil && v.Kind() == '[' {
		next = element(v, n)
	}
	if !more || len(next) == 0 {
		return next
	}
	return each(next, rest)
}

func element(v call.Value, n int) (found call.Value) {
	_ = v.Elements(func(e call.Value) bool {
		if n--; n < 0 {
			found = e
		}
		return n >= 0
	})
	return found
}

// Category writes a vendor's reason ("PROHIBITED_CONTENT") as the category of a
// policy violation: "prohibited_content".
func Category(reason string) string { return strings.ToLower(reason) }

// capital writes the event "throttlingException" as the error type it is.
func capital(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
