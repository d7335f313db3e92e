package chat

import (
	"bytes"

	"github.com/holdfast-gateway/holdfast/call"
)

// Categories of policy signals that this dialect names.
const (
	categoryFilter  = "content_filter"
	categoryRefusal = "refusal"
)

// Frame reads one event. It looks at data only: this dialect names no events.
func (dialect) Frame(event, data []byte, s *call.Stream) call.Frame {
	if kind, ok := glance(event, data, s); ok {
		return call.Frame{Kind: kind}
	}
	return look(event, data, s)
}

// look reads an event of any kind.
func look(event, data []byte, s *call.Stream) call.Frame {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return call.Frame{Kind: call.FrameQuiet}
	}
	if string(data) == "[DONE]" {
		s.Ended = true
		return call.Frame{Kind: call.FrameEnd}
	}
	c := chunk{stream: s}
	if c.read(data) != nil {
		return call.Frame{Kind: call.FrameMalformed}
	}
	if c.problem.Filled() {
		// SDKs raise {"error":{...}} by themselves; any other shape they ignore.
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(c.problem), KeepRaw: c.problem.Kind() == '{'}
	}
	if c.flat || string(event) == "error" {
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(data)}
	}
	s.Started = true
	return c.frame()
}

// chunk collects what one chunk, or one whole answer, says.
type chunk struct {
	stream   *call.Stream
	content  bool
	finished bool
	choices  int
	policy   string
	problem  call.Value // the member "error"
	flat     bool       // the object itself says that it is an error
}

func (c *chunk) frame() call.Frame {
	s := c.stream
	if c.policy != "" {
		s.Policy = c.policy
	}
	f := call.Frame{Policy: c.policy}
	switch {
	case c.finished:
		f.Kind = call.FrameFinish
	case c.content:
		f.Kind = call.FrameContent
	default:
		return f
	}
	s.Content = true
	return f
}

func (c *chunk) read(data call.Value) error {
	return data.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "id":
			if c.stream.ID == "" {
				c.stream.ID = val.Text()
			}
		case "model":
			if c.stream.Model == "" {
				c.stream.Model = val.Text()
			}
		case "choices":
			c.readChoices(val)
		case "usage":
			readUsage(val, &c.stream.Usage)
		case "error":
			c.problem = val
		case "object":
			c.flat = val.Is("error")
		}
		return true
	})
}

func (c *chunk) readChoices(v call.Value) {
	_ = v.Elements(func(choice call.Value) bool {
		c.choices++
		c.readChoice(choice)
		return true
	})
}

func (c *chunk) readChoice(v call.Value) {
	index := 0
	var finish call.Value
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "index":
			index, _ = val.Int()
		case "delta", "message":
			c.readDelta(val)
		case "text": // the old completions, which some servers still stream
			c.content = c.content || val.Filled()
		case "finish_reason":
			finish = val
		}
		return true
	})
	if finish.Kind() == '"' && finish.Filled() {
		c.finish(index, finish)
	}
}

func (c *chunk) readDelta(v call.Value) {
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "refusal":
			if val.Filled() {
				c.content, c.policy = true, categoryRefusal
			}
		case "content", "reasoning_content", "reasoning", "reasoning_details", "tool_calls", "function_call", "audio":
			c.content = c.content || val.Filled()
		}
		return true
	})
}

// finish notes the end of one choice. Some servers repeat the reason in the
// chunk with the usage: a choice that ends twice must not stand for two.
func (c *chunk) finish(index int, reason call.Value) {
	c.finished = true
	s := c.stream
	bit := uint64(1) << min(index, 63)
	if index > 63 || s.Choices&bit == 0 {
		s.Finishes++
	}
	s.Choices |= bit
	s.Finish = finishText(reason)
	if s.Finish == categoryFilter {
		c.policy = categoryFilter
	}
}

func finishText(v call.Value) string {
	for _, known := range [...]string{"stop", "length", "tool_calls", categoryFilter, "function_call"} {
		if v.Is(known) {
			return known
		}
	}
	return v.Text()
}

// readUsage keeps the newest usage; what is no count counts as nothing.
func readUsage(v call.Value, u *call.Usage) {
	var got call.Usage
	_ = v.Members(func(key []byte, val call.Value) bool {
		switch string(key) {
		case "prompt_tokens":
			got.Input, got.Known = count(&got, val)
		case "completion_tokens":
			got.Output, got.Known = count(&got, val)
		case "prompt_tokens_details":
			got.Cached, _ = got.Count(val.Get("cached_tokens"))
		case "completion_tokens_details":
			got.Reasoning, _ = got.Count(val.Get("reasoning_tokens"))
		}
		return true
	})
	got.Odd = got.Odd || u.Odd
	if got.Known {
		*u = got
	}
	u.Odd = got.Odd
}

func count(u *call.Usage, v call.Value) (n int, known bool) {
	n, ok := u.Count(v)
	return n, ok || u.Known
}
