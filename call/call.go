package call

import (
	"math"
	"time"
)

// Op names what a request asks for. The empty Op is a path that no dialect of
// ours reads: it is passed through under the same policies.
type Op string

// The operations whose requests and answers are read.
const (
	OpChat        Op = "chat"         // POST /v1/chat/completions
	OpResponses   Op = "responses"    // POST /v1/responses
	OpEmbeddings  Op = "embeddings"   // POST /v1/embeddings
	OpMessages    Op = "messages"     // POST /v1/messages
	OpCountTokens Op = "count_tokens" // POST /v1/messages/count_tokens
	OpOther       Op = ""             // every other path
)

// Request is what the stack needs to know of a request body. A dialect fills it
// by looking at the bytes; the rest of the body is never decoded.
type Request struct {
	Model       string // as asked; "" if the body names none
	Stream      bool
	MaxTokens   int      // output tokens asked for; 0 unknown
	MaxNamed    int      // the largest limit of output that the body names anywhere, 0 none; one that is no count is the largest int
	Choices     int      // answers asked for (chat "n"); at least 1
	Tools       int      // tools and functions offered to the model
	InputTokens int      // estimate: bytes of text / 4
	Refs        []string // ids of provider-side state the request refers to (previous_response_id, files, containers)
	Pinned      bool     // bound to the account that made it, with or without an id (encrypted reasoning, signed thinking)
}

// Limit returns a limit of output that the body names, 0 when it is no count,
// and remembers the largest: which of two counts is the provider's business.
func (r *Request) Limit(v Value) int {
	n, ok := v.Int()
	if !ok && v.Filled() {
		n = math.MaxInt
	}
	r.MaxNamed = max(r.MaxNamed, n)
	if !ok {
		return 0
	}
	return n
}

// Offer counts the tools in a list of them.
func (r *Request) Offer(tools Value) {
	_ = tools.Elements(func(Value) bool {
		r.Tools++
		return true
	})
}

// Call is one thing a user asked for: it may take several attempts. It is made
// by the front door and not changed afterwards, except Attempts and friends on
// the dispatch state. It is safe for concurrent reading.
type Call struct {
	ID      string // ours; in x-holdfast-request-id
	Route   string
	Tenant  string // who pays; "" when unknown
	Client  string // digest of the client's credential, for retry detection; never the credential
	Op      Op
	Path    string // the request's path, for pass-through pins
	Trace   string // the caller's traceparent (W3C), as it came; "" if there is not exactly one
	Method  string
	Request Request
	Body    []byte // the buffered body; nil when streamed
	Replay  bool   // the body can be sent again (buffered)
	Safe    bool   // repeating cannot act twice: a model call, GET, HEAD, or an Idempotency-Key
	NoRetry bool   // the caller, or a client that is itself retrying, gets one attempt
	NoMove  bool   // x-holdfast-no-fallback: stay on the first target

	Arrived  time.Time // when the request reached us; all deadlines count from here
	CommitBy time.Time // zero: no deadline

	ClientRetry int // X-Stainless-Retry-Count; 0 for a first try
	Priority    int // how urgent it is, from 50 critical, from 1 high, 0 normal, below 0 batch: its class in the waiting room
}

// Remaining returns the time left until CommitBy, or the given fallback when the
// call has no deadline.
func (c *Call) Remaining(fallback time.Duration) time.Duration {
	if c.CommitBy.IsZero() {
		return fallback
	}
	return time.Until(c.CommitBy)
}

// Usage counts tokens as the provider reported them; negative or absurd values
// are dropped by the dialects. Input is the whole prompt, with what came from or
// went into a cache; Cached is the part read from it. Reasoning is part of Output.
type Usage struct {
	Input, Output, Cached, Reasoning int
	Known                            bool
	Odd                              bool // the provider named something that is no count, or more than MaxUsage
}

// MaxUsage is the largest count of tokens that is believed of one answer.
const MaxUsage = 1_000_000_000

// Count returns a count of tokens that the provider names, and whether it is
// one. What is there and is none (negative, a text, not whole, absurdly large)
// makes the usage odd.
func (u *Usage) Count(v Value) (int, bool) {
	n, ok := v.Int()
	if ok && n <= MaxUsage {
		return n, true
	}
	if ok || v.Kind() != 0 && v.Kind() != 'n' {
		u.Odd = true
	}
	return 0, false
}

// Scope says what an Outcome speaks about.
type Scope uint8

// What an Outcome speaks about: the three kinds of blame.
const (
	ScopeTarget  Scope = iota // the upstream (5xx, timeouts)
	ScopeKey                  // one credential (auth, quota, rate limit)
	ScopeRequest              // this request (4xx, policy)
)

func (s Scope) String() string { return [...]string{"target", "key", "request"}[s] }

// Verdict is what a vendor's table says about an answer.
type Verdict struct {
	Class      Class
	Scope      Scope
	Wait       time.Duration // the provider's own wait; meaningful when HasWait
	HasWait    bool
	Code       string // the vendor's code or type that decided, for people; never a message text
	Category   string // policy category, when Class is PolicyViolation
	CallersKey bool   // the refused credential was the caller's own, not ours
}

// Outcome is how one attempt ended. It is made once per attempt, when its body
// has ended, and given to every gate that let the attempt through.
type Outcome struct {
	Verdict
	Status     int    // HTTP status; 0 when there was no answer
	Sent       bool   // request bytes may have reached the provider
	Clock      string // the clock that ended it ("first_token", ...); "" otherwise
	Committed  bool   // its first meaningful event went to the caller
	Superseded bool   // another attempt of the same call won: neutral everywhere
	Slow       bool   // crossed the slow threshold before any content
	Usage      Usage
	FirstToken time.Duration // from sending to the first meaningful event; 0 if none came
	Duration   time.Duration // from sending to the end of the body
	Bytes      int64         // bytes of body read from the provider
	Produced   int           // estimate of the output in tokens, from the bytes of meaningful events
	Err        error         // what went wrong underneath, for logs; without body, prompt or key
}

// Billed says whether this attempt may have cost money.
func (o Outcome) Billed() Billed {
	if o.Class == Transport && !o.Sent {
		return BilledNo
	}
	return o.Class.Row().Billed
}
