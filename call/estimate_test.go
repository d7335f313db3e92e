package call

import (
	"math"
	"testing"
)

func TestARequestIsExpectedToTakeWhatItAllows(t *testing.T) {
	for _, c := range []struct {
		name          string
		op            Op
		r             Request
		input, output int64
		sum           int
	}{
		{"a named limit", OpChat, Request{InputTokens: 100, MaxTokens: 50, MaxNamed: 50, Choices: 1}, 100, 50, 150},
		{"the larger of two limits", OpChat, Request{InputTokens: 100, MaxTokens: 50, MaxNamed: 900, Choices: 1}, 100, 900, 1000},
		{"no limit", OpResponses, Request{InputTokens: 100}, 100, UnnamedOutput, 100 + UnnamedOutput},
		{"a limit that is no count", OpChat, Request{InputTokens: 100, MaxTokens: 50, MaxNamed: math.MaxInt}, 100, 50, 150},
		{"only a limit that is no count", OpChat, Request{InputTokens: 100, MaxNamed: math.MaxInt}, 100, UnnamedOutput, 100 + UnnamedOutput},
		{"several answers", OpChat, Request{InputTokens: 100, MaxTokens: 50, Choices: 3}, 100, 150, 250},
		{"embeddings", OpEmbeddings, Request{InputTokens: 100, MaxTokens: 50, Choices: 3}, 100, 0, 100},
		{"counting", OpCountTokens, Request{InputTokens: 100}, 0, 0, 0},
		{"what nobody reads", OpOther, Request{}, 0, 0, UnnamedOutput},
		{"more than can be", OpChat, Request{InputTokens: 100, MaxTokens: 1<<53 - 1, Choices: 1<<53 - 1}, 100, math.MaxInt64, math.MaxInt},
	} {
		input, output := c.r.Expected(c.op)
		call := Call{Op: c.op, Request: c.r}
		if input != c.input || output != c.output || call.Tokens() != c.sum {
			t.Errorf("%s: %d in, %d out, %d together; want %d, %d, %d", c.name, input, output, call.Tokens(), c.input, c.output, c.sum)
		}
	}
}
