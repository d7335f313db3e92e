package quota

import (
	"slices"

	"github.com/holdfast-gateway/holdfast/call"
)

// hold is what of an answer a provider counts when the request arrives, before
// the answer exists.
type hold uint8

const (
	// holdNothing counts output as it is produced; max_tokens does not matter.
	holdNothing hold = iota
	// holdSum counts the input and max_tokens.
	holdSum
	// holdLarger counts the larger of the input and max_tokens.
	holdLarger
)

// contract is how a provider counts what a call takes from its limits. It is
// data: a new contract is a new row.
type contract struct {
	Name       string
	Hold       hold
	TrueUp     bool // what was held and not used comes back when the answer has ended
	Weight     int  // tokens of the limit that one token of output takes
	CacheReads bool // input that was read from a cache counts
	Failed     bool // a failed call counts as a request
	Headers    []header
}

// header names the response headers that tell about one limit.
type header struct {
	Of               Dimension
	Limit, Remaining string // canonical
}

// accountings are the contracts as the providers document them, read in November
// 2026. Where a page says nothing the more careful reading stands here.
var accountings = []contract{
	// platform.claude.com/docs/en/api/rate-limits: input is estimated at the start
	// and adjusted, cache reads do not count on most models (set accounting:
	// anthropic-cached for those where they do), output counts as it is produced
	// and max_tokens does not.
	{Name: "anthropic", Hold: holdNothing, TrueUp: true, Weight: 1, Headers: anthropicHeaders},
	{Name: "anthropic-cached", Hold: holdNothing, TrueUp: true, Weight: 1, CacheReads: true, Headers: anthropicHeaders},

	// learn.microsoft.com/azure/ai-foundry/openai/how-to/quota: the most tokens that
	// the request may take are counted on arrival, from the prompt, max_tokens and
	// best_of; this is not what is billed, and nothing says that it comes back.
	{Name: "azure", Hold: holdSum, Weight: 1, CacheReads: true, Failed: true, Headers: openAIHeaders},

	// docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html: input
	// and max_tokens are deducted at the start; at the end it is input without
	// cache reads, and output times the burndown rate: 5 for Claude from 3.7 on, 1
	// for other models (bedrock-1).
	{Name: "bedrock", Hold: holdSum, TrueUp: true, Weight: 5},
	{Name: "bedrock-1", Hold: holdSum, TrueUp: true, Weight: 1},

	// inference-docs.cerebras.ai/support/rate-limits: the estimated input and
	// max_completion_tokens must be there on arrival; the quota is the limit less
	// what was used, and refills all the time.
	{Name: "cerebras", Hold: holdSum, TrueUp: true, Weight: 1, CacheReads: true, Headers: []header{
		{Tokens, "X-Ratelimit-Limit-Tokens-Minute", "X-Ratelimit-Remaining-Tokens-Minute"},
		{Day, "X-Ratelimit-Limit-Requests-Day", "X-Ratelimit-Remaining-Requests-Day"},
	}},

	// ai.google.dev/gemini-api/docs/rate-limits: tokens per minute are input only;
	// failed calls count as requests; no header tells anything.
	{Name: "gemini", Hold: holdNothing, TrueUp: true, CacheReads: true, Failed: true},

	// console.groq.com/docs/rate-limits: cached tokens do not count; the header about
	// requests speaks of the day, that about tokens of the minute. A 429 names the
	// sum of prompt and max_tokens as what was requested.
	{Name: "groq", Hold: holdSum, TrueUp: true, Weight: 1, Headers: []header{
		{Tokens, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens"},
		{Day, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests"},
	}},

	// developers.openai.com/api/docs/guides/rate-limits: the maximum of max_tokens and
	// the tokens estimated from the characters of the request; unsuccessful requests
	// count; nothing says that anything comes back.
	{Name: "openai", Hold: holdLarger, Weight: 1, CacheReads: true, Failed: true, Headers: openAIHeaders},

	// For everybody else: what the request may take is held, and what it did take
	// stays.
	{Name: "usage", Hold: holdSum, TrueUp: true, Weight: 1, CacheReads: true, Failed: true, Headers: openAIHeaders},
}

var openAIHeaders = []header{
	{Requests, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests"},
	{Tokens, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens"},
}

var anthropicHeaders = []header{
	{Requests, "Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining"},
	{Tokens, "Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining"},
	{Input, "Anthropic-Ratelimit-Input-Tokens-Limit", "Anthropic-Ratelimit-Input-Tokens-Remaining"},
	{Output, "Anthropic-Ratelimit-Output-Tokens-Limit", "Anthropic-Ratelimit-Output-Tokens-Remaining"},
}

// Accountings returns the names that Config.Accounting takes, in alphabetical
// order.
func Accountings() []string {
	names := make([]string, len(accountings))
	for i, a := range accountings {
		names[i] = a.Name
	}
	return names
}

// accountingOf returns the contract of that name.
func accountingOf(name string) (contract, bool) {
	i := slices.IndexFunc(accountings, func(a contract) bool { return a.Name == name })
	if i < 0 {
		return contract{}, false
	}
	return accountings[i], true
}

// AccountingFor returns the name of the contract that fits a vendor: its own, or
// "usage".
func AccountingFor(vendor string) string {
	if _, known := accountingOf(vendor); known {
		return vendor
	}
	return "usage"
}

// Dimension is one kind of limit.
type Dimension uint8

// The kinds of limits.
const (
	Requests Dimension = iota // per minute
	Tokens                    // per minute
	Input                     // tokens per minute
	Output                    // tokens per minute
	Day                       // requests in any 24 hours
	dimensions
)

var dimensionNames = [dimensions]string{"rpm", "tpm", "itpm", "otpm", "rpd"}

// String returns the name of the limit as in Config.
func (d Dimension) String() string { return dimensionNames[d] }

// Need is what a request asks for, in tokens.
type Need struct {
	Input     int  // estimated
	MaxTokens int  // of one answer; 0: the request names no limit
	Choices   int  // answers; 0 is one
	Mute      bool // no output will come: embeddings, tools
	Thinks    bool // some of the output may be thought that nobody is shown
}

// NeedOf is what a request of an operation asks for, as call.Request.Expected has
// it; where it names no limit the Account knows better what an answer takes.
func NeedOf(op call.Op, r *call.Request) Need {
	return Need{Input: r.InputTokens, MaxTokens: r.Most(), Choices: r.Choices, Mute: !op.Generates()}
}

// amounts are one call's shares of the limits.
type amounts [dimensions]int64

// held is what a request takes when it arrives, if output tokens are expected.
// maxOutput is what counts as max_tokens where the request names none.
func (a *contract) held(n Need, expected, maxOutput int64) amounts {
	input, most := min(int64(max(0, n.Input)), beyond), n.most()
	if n.Mute {
		most, expected = 0, 0
	} else if most == 0 && a.Hold == holdSum {
		most = n.together(maxOutput)
	}
	h := amounts{Requests: 1, Day: 1, Input: input, Output: expected}
	used := input + int64(a.Weight)*expected
	switch a.Hold {
	case holdNothing:
		h[Tokens] = used
	case holdSum:
		h[Tokens] = max(input+most, used)
		if !a.TrueUp {
			h[Tokens] = input + most
		}
	case holdLarger:
		h[Tokens] = max(input, most)
	}
	return h
}

// most is the output that the request allows; 0 unlimited.
func (n Need) most() int64 { return n.together(int64(max(0, n.MaxTokens))) }

// together is what all answers take if one takes so much. It stops far above any
// limit, and below what a sum of such figures can be.
func (n Need) together(one int64) int64 {
	answers := int64(max(1, n.Choices))
	if one > beyond/answers {
		return beyond
	}
	return one * answers
}

// used is what a call took in the end.
func (a *contract) used(held amounts, input, cached, output int64) amounts {
	if !a.CacheReads {
		input = max(0, input-cached)
	}
	u := held
	u[Input], u[Output] = input, output
	if a.TrueUp {
		u[Tokens] = input + int64(a.Weight)*output
	}
	return u
}
