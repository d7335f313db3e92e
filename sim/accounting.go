package sim

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// modelMaximum is the longest answer of the model, which providers that reckon
// with the worst assume of a request without a limit.
const modelMaximum = 4096

// charge is what a provider takes from its limits for one call.
type charge struct {
	tokens int // of the limit on tokens, or on input where output has its own
	output int // of the limit on output
}

// biller is one provider's way to count, written from its own documentation and
// from nothing that Holdfast knows of it: two readings are better than one.
type biller struct {
	name string
	// arrival is what must be there when the request comes, and is taken.
	arrival func(input, cached, maxTokens int) charge
	// departure is what is taken besides when the answer has ended, below zero for
	// what comes back. nil: nothing.
	departure func(input, cached, maxTokens, output int) charge
	// produced says whether output is taken token by token, as it is made.
	produced bool
	// errors says whether a refused call counts as a request.
	errors bool
	// tell writes the headers; nil: there are none.
	tell func(h http.Header, requests, tokens, output gauge)
}

var billers = []biller{
	{
		name:     "anthropic",
		arrival:  func(input, cached, _ int) charge { return charge{tokens: input - cached} },
		produced: true,
		tell: func(h http.Header, requests, tokens, output gauge) {
			tokens.name = "input-tokens"
			both := gauge{"tokens", tokens.limit + output.limit, tokens.remaining + output.remaining, max(tokens.reset, output.reset)}
			for _, g := range []gauge{requests, tokens, output, both} {
				g.anthropic(h)
			}
		},
	},
	{
		name:    "azure",
		arrival: func(input, _, maxTokens int) charge { return charge{tokens: input + orElse(maxTokens, modelMaximum)} },
		errors:  true,
		tell:    tellOpenAI,
	},
	{
		name:    "bedrock",
		arrival: func(input, _, maxTokens int) charge { return charge{tokens: input + orElse(maxTokens, modelMaximum)} },
		departure: func(_, cached, maxTokens, output int) charge {
			return charge{tokens: 5*output - cached - orElse(maxTokens, modelMaximum)}
		},
	},
	{
		name:    "cerebras",
		arrival: func(input, _, maxTokens int) charge { return charge{tokens: input + orElse(maxTokens, modelMaximum)} },
		departure: func(_, _, maxTokens, output int) charge {
			return charge{tokens: output - orElse(maxTokens, modelMaximum)}
		},
		tell: func(h http.Header, _, tokens, _ gauge) {
			h.Set("X-Ratelimit-Limit-Tokens-Minute", strconv.Itoa(tokens.limit))
			h.Set("X-Ratelimit-Remaining-Tokens-Minute", strconv.Itoa(tokens.remaining))
			h.Set("X-Ratelimit-Reset-Tokens-Minute", strconv.FormatFloat(tokens.reset.Seconds(), 'f', -1, 64))
		},
	},
	{
		name:    "gemini",
		arrival: func(input, _, _ int) charge { return charge{tokens: input} },
		errors:  true,
	},
	{
		name:    "groq",
		arrival: func(input, _, maxTokens int) charge { return charge{tokens: input + orElse(maxTokens, modelMaximum)} },
		departure: func(_, cached, maxTokens, output int) charge {
			return charge{tokens: output - cached - orElse(maxTokens, modelMaximum)}
		},
		tell: func(h http.Header, _, tokens, _ gauge) { tokens.openAI(h) }, // its requests are those of a day
	},
	{
		name:    "openai",
		arrival: func(input, _, maxTokens int) charge { return charge{tokens: max(input, maxTokens)} },
		errors:  true,
		tell:    tellOpenAI,
	},
}

func tellOpenAI(h http.Header, requests, tokens, _ gauge) {
	requests.openAI(h)
	tokens.openAI(h)
}

// Accountings returns the names that Dials.Accounting takes, in alphabetical
// order.
func Accountings() []string {
	var names []string
	for _, b := range billers {
		names = append(names, b.name)
	}
	return names
}

func billerNamed(name string) *biller {
	i := slices.IndexFunc(billers, func(b biller) bool { return b.name == name })
	if i < 0 {
		return nil
	}
	return &billers[i]
}

// Spent is what the limits have counted since the provider began: what calls that
// were let in took, less what came back to them.
type Spent struct {
	Requests int `json:"requests"`
	Tokens   int `json:"tokens"` // of the limit on tokens, or on input where output has its own
	Output   int `json:"output"` // of the limit on output
	Refused  int `json:"refused"`
}

// Spent returns what the limits have counted.
func (p *Provider) Spent() Spent {
	p.meters.mu.Lock()
	defer p.meters.mu.Unlock()
	return p.meters.spent
}

// bill charges a call that has come, and returns how long it must wait instead if
// a limit is used up.
func (c *call) bill(a answer) (wait time.Duration) {
	b := billerNamed(c.dials.Accounting)
	if b == nil {
		return c.p.meters.admit(c.dials, charge{tokens: c.reserved(a)}, false)
	}
	return c.p.meters.admit(c.dials, b.arrival(a.input, a.cached, c.req.most()), b.errors)
}

// most is the output that the request allows in all its choices; 0: no limit.
func (r request) most() int { return r.maxTokens * max(1, r.choices) }

// produced records tokens of an answer that were made.
func (c *call) produced(n int) {
	c.note(func(a *Attempt) { a.Tokens += n })
	if b := billerNamed(c.dials.Accounting); b != nil && b.produced {
		c.p.meters.spend(c.dials, charge{output: n})
	}
}

// account charges what is known only when the answer has ended.
func (c *call) account(a answer) {
	made := 0
	c.note(func(t *Attempt) { made = t.Tokens })
	b := billerNamed(c.dials.Accounting)
	switch {
	case b == nil:
		c.p.meters.spend(c.dials, charge{output: made})
	case b.departure != nil:
		c.p.meters.spend(c.dials, b.departure(a.input, a.cached, c.req.most(), made))
	}
}

// tellLimits writes the state of the limits in the way of whose accounting it is,
// else in the style's.
func (m *meters) tellLimits(h http.Header, s fault.Style, d Dials, throttled time.Duration) {
	b := billerNamed(d.Accounting)
	if b == nil {
		b = billerNamed(string(s))
	}
	if b.tell == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(d)
	requests := gauge{"requests", int(m.requests.limit), m.requests.remaining(), m.requests.reset()}
	if throttled > 0 && d.Accounting == "" {
		requests.remaining, requests.reset = 0, throttled
	}
	tokens := gauge{"tokens", int(m.tokens.limit), m.tokens.remaining(), m.tokens.reset()}
	output := gauge{"output-tokens", int(m.output.limit), m.output.remaining(), m.output.reset()}
	b.tell(h, requests, tokens, output)
}

// share is a part of n.
func share(n int, of float64) int { return int(math.Round(float64(n) * of)) }
