package call

import "math"

// UnnamedOutput is what an answer is expected to take, in tokens, whose request
// names no limit.
const UnnamedOutput = 1024

// Generates reports whether an operation has output that can be limited.
func (o Op) Generates() bool { return o == OpChat || o == OpResponses || o == OpMessages }

// Most is the output that one answer may have, in tokens: the largest limit that
// the body names, since which of two counts is the provider's business; 0 none.
func (r *Request) Most() int {
	if r.MaxNamed == math.MaxInt { // no count
		return r.MaxTokens
	}
	return max(r.MaxTokens, r.MaxNamed)
}

// Expected is what a request of an operation is expected to take, in tokens: its
// input, and for each answer the output that it allows, UnnamedOutput where it
// names no limit. Only what generates has output, and counting costs nothing.
// Neither figure is negative; they stop at the largest int64. Budgets, quotas,
// limits and retries all go by it.
func (r *Request) Expected(o Op) (input, output int64) {
	if o == OpCountTokens {
		return 0, 0
	}
	input = int64(max(0, r.InputTokens))
	if !o.Generates() {
		return input, 0
	}
	one, answers := int64(r.Most()), int64(max(1, r.Choices))
	if one <= 0 {
		one = UnnamedOutput
	}
	if one > math.MaxInt64/answers {
		return input, math.MaxInt64
	}
	return input, one * answers
}

// Tokens is Expected as one sum. A call that nobody reads counts as an answer
// without a limit: what repeating it costs is not known, and not nothing.
func (c *Call) Tokens() int {
	if c.Op == OpOther {
		return c.Request.InputTokens + UnnamedOutput
	}
	input, output := c.Request.Expected(c.Op)
	if input > math.MaxInt64-output {
		return math.MaxInt
	}
	return int(input + output)
}
