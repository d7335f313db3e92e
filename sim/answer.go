package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// ending is why an answer is over.
type ending string

const (
	finished     ending = "finished"
	lengthEnd    ending = "length"   // the caller's token limit
	filtered     ending = "filtered" // a content filter
	refused      ending = "refused"  // the model declines
	toolCall     ending = "tool"     // the tokens are a tool's arguments
	refusalWords        = "I am sorry, but I cannot help with that request."
	echoPiece           = 16 // bytes per token of text that is not words
)

// answer is what the model says, before it is put into a dialect.
type answer struct {
	req     request
	id      string // bare; each dialect adds its prefix
	created time.Time
	tokens  []string
	ending  ending
	tool    string // the tool called, if the ending is toolCall
	input   int    // tokens of the prompt
	cached  int    // of these, read from a cache
}

func (a answer) text() string { return strings.Join(a.tokens, "") }

// compose makes the answer to c's request under its fault.
func (c *call) compose() answer {
	a := answer{req: c.req, id: newID(), created: time.Now(), ending: finished, input: c.req.inputTokens()}
	a.cached = share(a.input, c.dials.CachedShare)
	if t, ok := c.req.wantsTool(); ok {
		a.tool, a.ending = t.name(), toolCall
		a.tokens = pieces(string(arguments(t.schema(), c.voice(""))), echoPiece/2)
		return a
	}
	switch c.fault.Kind {
	case fault.Refusal:
		a.tokens, a.ending = strings.SplitAfter(refusalWords, " "), refused
		return a
	case fault.EchoHeaders:
		a.tokens = pieces(echo(c), echoPiece)
		return a
	}
	a.tokens = c.words()
	if c.req.structure != nil {
		a.tokens = pieces(string(arguments(c.req.structure, c.voice(""))), echoPiece/2)
	}
	if limit := c.req.maxTokens; limit > 0 && limit < len(a.tokens) {
		a.tokens, a.ending = a.tokens[:limit], lengthEnd
	}
	return a.spoilt(c.fault)
}

// spoilt applies the faults that change what is said.
func (a answer) spoilt(f fault.Fault) answer {
	switch f.Kind {
	case fault.ContentFilter:
		a.tokens, a.ending = a.tokens[:(len(a.tokens)+1)/2], filtered
	case fault.BigFrame:
		word := "flood "
		a.tokens = append([]string{strings.Repeat(word, f.N/len(word)+1)}, a.tokens...)
	}
	return a
}

// words returns the text of a healthy answer, without regard to the caller's limit.
func (c *call) words() []string {
	_, prefill := c.req.prefill()
	salt := c.salt()
	if prefill == "" || c.fault.Kind == fault.IgnoresPrefill {
		return speak(c.voice(salt), c.natural())
	}
	n := c.natural()
	if said := len(strings.Fields(prefill)); said >= n {
		n += said
	}
	if rest, ok := goOn(speak(c.voice(salt), n), prefill); ok {
		return rest
	}
	// Somebody else's words: go on with some of ours.
	tokens := speak(c.voice(salt+prefill), c.natural())
	tokens[0] = " " + tokens[0]
	return tokens
}

// natural is the length of an answer that nobody limits. A fault that comes after some
// tokens needs an answer that is longer.
func (c *call) natural() int {
	n := c.dials.outputTokens()
	if c.dials.OutputSpread > 0 {
		n = max(1, share(n, math.Exp(c.dials.OutputSpread*c.voice("length").NormFloat64())))
	}
	switch c.fault.Kind {
	case fault.Cut, fault.CutClean, fault.Stall, fault.ErrorAfter, fault.BadEvent:
		if c.fault.N >= n {
			n += c.fault.N
		}
	}
	return min(n, maxOutputTokens)
}

func (c *call) voice(salt string) *rand.Rand {
	turns, _ := c.req.prefill()
	return voiceOf(c.dials.Seed, c.req.model, digest(turns), salt)
}

// salt is what makes a diverging provider choose other words the second time.
func (c *call) salt() string {
	if c.fault.Kind != fault.Diverge {
		return ""
	}
	turns, _ := c.req.prefill()
	asked := c.p.asked.update(digest(turns), func(n int, _ bool) int { return n + 1 })
	if asked == 1 {
		return ""
	}
	return fmt.Sprint("asked ", asked)
}

// echo is the request's headers as JSON, in order.
func echo(c *call) string {
	b, err := json.Marshal(c.r.Header)
	if err != nil {
		return "{}" // strings always marshal
	}
	return string(b)
}

// arguments makes up a value for each property of a JSON schema. A tool without
// properties gets an empty object.
func arguments(schema json.RawMessage, voice *rand.Rand) json.RawMessage {
	var s struct {
		Properties map[string]struct {
			Type any   `json:"type"`
			Enum []any `json:"enum"`
		} `json:"properties"`
	}
	_ = json.Unmarshal(schema, &s) // an odd schema gets no arguments
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var pairs []any
	for _, name := range names {
		property := s.Properties[name]
		if len(property.Enum) > 0 {
			pairs = append(pairs, name, property.Enum[voice.IntN(len(property.Enum))])
			continue
		}
		pairs = append(pairs, name, example(property.Type, voice))
	}
	return object(pairs...)
}

// example returns a value of a JSON schema type.
func example(kind any, voice *rand.Rand) any {
	switch kind {
	case "integer", "number":
		return voice.IntN(100)
	case "boolean":
		return voice.IntN(2) == 1
	case "array":
		return []any{}
	case "object":
		return map[string]any{}
	case "null":
		return nil
	}
	return vocabulary[voice.IntN(len(vocabulary))]
}
