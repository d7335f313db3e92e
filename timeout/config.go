package timeout

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Config says how long a call may wait for what. The zero value is ready to
// use: a zero field means the default beside it, a negative one turns the clock
// off. What is on lies between 1 ms and 24 h.
type Config struct {
	// Connect bounds the making of a new connection; 5s.
	Connect time.Duration `yaml:"connect"`

	// Headers bounds the wait for the status line, from sending. It is off by
	// default: first_token and attempt cover the same wait.
	Headers time.Duration `yaml:"headers"`

	// FirstToken bounds the wait for the first meaningful event of a stream,
	// from sending; 30s.
	FirstToken time.Duration `yaml:"first_token"`

	// FirstTokenReasoning takes the place of FirstToken where the model is
	// marked as reasoning; 180s, or FirstToken if that is longer or off. So an
	// explicit FirstToken shortens the wait for reasoning models only together
	// with an explicit FirstTokenReasoning: who wants 10 s for a chat model
	// does not want it for one that thinks for a minute.
	FirstTokenReasoning time.Duration `yaml:"first_token_reasoning"`

	// Idle bounds the silence between two bytes of a body; 30s. A reasoning
	// model may be silent until its first meaningful event: first_token alone
	// counts until then.
	Idle time.Duration `yaml:"idle"`

	// Stall bounds the time between two meaningful events of a stream; 120s.
	// Pings do not count.
	Stall time.Duration `yaml:"stall"`

	// Attempt bounds one attempt; 120s. Of a stream it ends at the commit
	// point. It is a floor: an answer that is not streamed gets 3600s *
	// max_tokens / 128000 if that is longer, a stream gets its first-token
	// limit if that is longer; neither more than Total.
	Attempt time.Duration `yaml:"attempt"`

	// AttemptFixed makes Attempt exact: nothing stretches it.
	AttemptFixed bool `yaml:"attempt_fixed"`

	// Total bounds the call from its arrival, all attempts and waits included,
	// to the commit point of a stream or the last byte of any other answer;
	// 600s. It feeds CommitBy.
	Total time.Duration `yaml:"total"`

	// StreamTotal bounds a stream from its commit point to its end; 1h.
	StreamTotal time.Duration `yaml:"stream_total"`

	// Linger is how long a stream's body may stay open after its terminator; 1s.
	Linger time.Duration `yaml:"linger"`
}

// The limits of every setting that is on, and the default of the reasoning clock.
const (
	shortest         = time.Millisecond
	longest          = 24 * time.Hour
	reasoningDefault = 180 * time.Second
)

type setting struct {
	name     string
	value    *time.Duration
	fallback time.Duration
}

func (c *Config) settings() [10]setting {
	reasoning := max(reasoningDefault, c.FirstToken)
	if c.FirstToken < 0 {
		reasoning = c.FirstToken
	}
	return [...]setting{
		{"connect", &c.Connect, 5 * time.Second},
		{"headers", &c.Headers, -1},
		{"first_token", &c.FirstToken, 30 * time.Second},
		{"first_token_reasoning", &c.FirstTokenReasoning, reasoning},
		{"idle", &c.Idle, 30 * time.Second},
		{"stall", &c.Stall, 120 * time.Second},
		{"attempt", &c.Attempt, 120 * time.Second},
		{"total", &c.Total, 600 * time.Second},
		{"stream_total", &c.StreamTotal, time.Hour},
		{"linger", &c.Linger, time.Second},
	}
}

// WithDefaults returns c with every zero field filled. It changes nothing when
// applied again.
func (c Config) WithDefaults() Config {
	if c.complete() {
		return c
	}
	for _, s := range c.settings() {
		if *s.value == 0 {
			*s.value = s.fallback
		}
	}
	return c
}

// complete reports whether nothing is left to be filled: every attempt asks.
func (c *Config) complete() bool {
	return c.Connect != 0 && c.Headers != 0 && c.FirstToken != 0 && c.FirstTokenReasoning != 0 && c.Idle != 0 &&
		c.Stall != 0 && c.Attempt != 0 && c.Total != 0 && c.StreamTotal != 0 && c.Linger != 0
}

// Validate reports everything that is wrong with c: a clock that is on and lies
// outside 1 ms to 24 h.
func (c Config) Validate() error {
	var errs []error
	for _, s := range c.settings() {
		switch v := *s.value; {
		case v > 0 && v < shortest:
			errs = append(errs, fmt.Errorf("%s: %s is below %s: is the unit missing?", s.name, v, shortest))
		case v > longest:
			errs = append(errs, fmt.Errorf("%s: %s is above %s", s.name, v, longest))
		}
	}
	return errors.Join(errs...)
}

// Limits are the clocks of one attempt; 0 is off.
type Limits struct {
	Connect, Headers, FirstToken, Idle, Stall, Attempt, StreamTotal time.Duration

	// Slow is no deadline: when it passes and nothing meaningful has come (the
	// first event of a stream, the headers of any other answer), Start's slow
	// is told. Config.Limits leaves it 0; it belongs to the breaker.
	Slow time.Duration

	// Stream says that the answer was asked for as a stream.
	Stream bool

	// QuietStart lets idle count from the first meaningful event only, not from
	// the headers. It has no effect without FirstToken.
	QuietStart bool
}

// Limits returns the clocks for one attempt at r. reasoning says that the
// target's model is marked so (call.Target.Reasoning). Zero fields of c count as
// their defaults.
func (c Config) Limits(r *call.Request, reasoning bool) Limits {
	c = c.WithDefaults()
	l := Limits{
		Connect: on(c.Connect),
		Headers: on(c.Headers),
		Idle:    on(c.Idle),
		Stream:  r.Stream,
	}
	if !r.Stream {
		l.Attempt = c.attempt(wholeAnswer(r.MaxTokens))
		return l
	}
	l.FirstToken = on(c.FirstToken)
	if reasoning {
		l.FirstToken = on(c.FirstTokenReasoning)
		l.QuietStart = l.FirstToken > 0
	}
	l.Attempt = c.attempt(l.FirstToken)
	l.Stall = on(c.Stall)
	l.StreamTotal = on(c.StreamTotal)
	return l
}

// attempt returns the attempt clock for an answer that needs the given time.
func (c Config) attempt(needed time.Duration) time.Duration {
	limit := on(c.Attempt)
	if limit == 0 {
		return 0
	}
	if !c.AttemptFixed {
		limit = max(limit, needed)
	}
	if c.Total > 0 {
		limit = min(limit, c.Total)
	}
	return limit
}

// wholeAnswer is how long a not streamed answer of that many tokens may take:
// 128,000 tokens in an hour, as the providers' own SDKs expect it.
func wholeAnswer(tokens int) time.Duration {
	const perToken = time.Hour / 128_000
	return perToken * time.Duration(min(max(tokens, 0), 1<<30)) // 1<<30 tokens: a year, far from overflow
}

func on(d time.Duration) time.Duration { return max(d, 0) }
