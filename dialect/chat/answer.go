package chat

import (
	"bytes"

	"github.com/holdfast-gateway/holdfast/call"
)

// Answer reads a whole chat completion or, for call.OpEmbeddings, embeddings.
// An answer without choices, or without vectors, is malformed: a provider that
// has nothing to say still says a choice.
func (dialect) Answer(op call.Op, body []byte, s *call.Stream) call.Frame {
	c := chunk{stream: s}
	var data call.Value
	whole := call.Value(bytes.TrimSpace(body)) // blank lines are sent as keep-alive
	err := whole.Members(func(key []byte, val call.Value) bool {
		if string(key) == "data" {
			data = val
		}
		return true
	})
	if err != nil || c.read(whole) != nil {
		return call.Frame{Kind: call.FrameMalformed}
	}
	if c.problem.Filled() {
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(c.problem)}
	}
	if c.flat {
		return call.Frame{Kind: call.FrameError, Problem: call.ReadProblem(whole)}
	}
	complete := c.choices > 0
	if op == call.OpEmbeddings {
		complete = data.Kind() == '[' && data.Filled()
	}
	if !complete {
		return call.Frame{Kind: call.FrameMalformed}
	}
	s.Started, s.Content, s.Ended, s.Policy = true, true, true, c.policy
	return call.Frame{Kind: call.FrameEnd, Policy: c.policy}
}
