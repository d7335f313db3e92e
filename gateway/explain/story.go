package explain

import "time"

// Summary is one call in a few words.
type Summary struct {
	ID         string    `json:"id" doc:"x-holdfast-request-id"`
	At         time.Time `json:"at" doc:"when the request arrived"`
	Route      string    `json:"route,omitempty"`
	Tenant     string    `json:"tenant,omitempty"`
	Dialect    string    `json:"dialect,omitempty" doc:"chat, responses or messages; absent for a path that is passed through"`
	Operation  string    `json:"operation,omitempty" doc:"chat, responses, embeddings, messages, count_tokens"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Model      string    `json:"model,omitempty" doc:"as the caller asked"`
	Stream     bool      `json:"stream"`
	Running    bool      `json:"running" doc:"the answer has not ended yet"`
	Status     int       `json:"status,omitempty" doc:"what the caller saw; 0 while running or when the caller left"`
	Original   int       `json:"original_status,omitempty" doc:"what it would have been, where the route's terminal_status replaced it"`
	Class      string    `json:"class,omitempty" doc:"how it ended; see the reference of classes"`
	Reason     string    `json:"reason,omitempty" doc:"why Holdfast refused, or how the answer broke"`
	Source     string    `json:"source,omitempty" doc:"who made the answer: provider or gateway"`
	Target     string    `json:"target,omitempty" doc:"that was asked last"`
	Made       int       `json:"attempts_made"`
	DurationMS float64   `json:"duration_ms" doc:"from arrival to the end of the answer"`
}

// Failed reports whether a call ended without a true answer. A caller that left
// and a request that could not succeed count too.
func (s Summary) Failed() bool { return !s.Running && s.Class != "ok" }

// Story is all that is remembered of one call.
type Story struct {
	Summary
	Answered   string       `json:"model_answered,omitempty" doc:"as the provider names it"`
	QueueMS    float64      `json:"queue_ms" doc:"spent in the waiting room"`
	QueuedFor  string       `json:"queued_for,omitempty" doc:"what it waited for there last: permit, quota"`
	OwnMS      float64      `json:"own_ms" doc:"spent by Holdfast itself: neither attempts nor waits"`
	Request    Request      `json:"request"`
	Limits     []Limit      `json:"limits,omitempty" doc:"of ours that refused it, or would have"`
	Attempts   []Attempt    `json:"attempts" doc:"ended so far, in order"`
	PassedOver []PassedOver `json:"passed_over" doc:"targets that were not asked, in order"`
	Cache      string       `json:"cache,omitempty" doc:"what the route's cache did: hit, stale, shared, miss, bypass; absent without one"`
	CacheWhy   string       `json:"cache_why,omitempty" doc:"of a bypass: path, stream, state, tools, temperature, asked"`
	Left       int          `json:"left_out" doc:"further attempts and targets that were not kept"`
	Incomplete bool         `json:"incomplete" doc:"its beginning was forgotten while it ran"`
}

// Request is what is remembered of a request: nothing of its content.
type Request struct {
	Bytes       int     `json:"bytes" doc:"of the body; 0 when it was passed on while it came"`
	InputTokens int     `json:"input_tokens_estimate"`
	MaxTokens   int     `json:"max_tokens,omitempty"`
	Refers      int     `json:"refers_to,omitempty" doc:"ids of provider-side state in it"`
	Pinned      bool    `json:"pinned" doc:"bound to the account that made what it refers to"`
	Stays       bool    `json:"stays" doc:"may not go to another target"`
	OneAttempt  bool    `json:"one_attempt" doc:"the client retries by itself, or asked for no retry"`
	Retry       string  `json:"client_retry,omitempty" doc:"how a retrying client was noticed: header or digest"`
	Replayable  bool    `json:"replayable" doc:"its body can be sent again"`
	CommitMS    float64 `json:"commit_within_ms,omitempty" doc:"deadline of the first word, from arrival"`
}

// Attempt is one time a provider was asked.
type Attempt struct {
	Number       int       `json:"number"`
	Ended        time.Time `json:"ended"`
	Target       string    `json:"target"`
	Provider     string    `json:"provider"`
	Model        string    `json:"model,omitempty" doc:"asked for there"`
	Answered     string    `json:"model_answered,omitempty"`
	Key          string    `json:"key" doc:"alias of the credential; caller for the caller's own"`
	Class        string    `json:"class"`
	Scope        string    `json:"scope" doc:"who is to blame: target, key or request"`
	Status       int       `json:"status,omitempty" doc:"0 when there was no answer"`
	Code         string    `json:"code,omitempty" doc:"the provider's code that decided, if it is a plain word"`
	Category     string    `json:"category,omitempty" doc:"of a policy violation"`
	Clock        string    `json:"clock,omitempty" doc:"the clock that ended it"`
	Fault        string    `json:"fault,omitempty" doc:"of the connection: refused, reset, name_not_found, forbidden_address, tls, unexpected_end, other"`
	RetryAfterMS float64   `json:"retry_after_ms,omitempty" doc:"the provider's own wait"`
	FirstTokenMS float64   `json:"first_token_ms,omitempty"`
	DurationMS   float64   `json:"duration_ms" doc:"from sending to the end of its body"`
	Bytes        int64     `json:"answer_bytes"`
	Tokens       *Tokens   `json:"tokens,omitempty" doc:"as the provider counted"`
	OddUsage     bool      `json:"odd_usage,omitempty" doc:"the provider named a count that cannot be"`
	Sent         bool      `json:"sent" doc:"request bytes may have reached the provider"`
	Committed    bool      `json:"committed" doc:"its first word went to the caller"`
	Next         *Next     `json:"next,omitempty" doc:"what was decided after it; absent after the one that answered"`
}

// Limit is what one limit of ours did to the call.
type Limit struct {
	Name     string  `json:"name"`
	Decision string  `json:"decision" doc:"refused, or shadow: it would have"`
	WaitMS   float64 `json:"wait_ms,omitempty" doc:"until the same call may pass"`
}

// Tokens counts tokens.
type Tokens struct {
	Input     int `json:"input"`
	Output    int `json:"output"`
	Cached    int `json:"cached"`
	Reasoning int `json:"reasoning"`
}

// Next is a decision after a failed attempt.
type Next struct {
	Decision string  `json:"decision" doc:"same_target, other_key, next_target, stop"`
	Reason   string  `json:"reason" doc:"the class that led to it, or why it had to stop"`
	To       string  `json:"to,omitempty" doc:"the target moved on to"`
	WaitMS   float64 `json:"wait_ms,omitempty" doc:"pause before the next attempt"`
}

// PassedOver is a target that was not asked.
type PassedOver struct {
	Target string  `json:"target"`
	Reason string  `json:"reason" doc:"circuit_open, ramping, busy, quota, key_paused, no_key, no_time, context, ineligible, shed"`
	WaitMS float64 `json:"wait_ms,omitempty" doc:"until it may be asked"`
	After  int     `json:"after_attempt" doc:"attempts made before"`
}

// decisions of Next.
const (
	sameTarget = "same_target"
	otherKey   = "other_key"
	nextTarget = "next_target"
	stopped    = "stop"
)
