package call

import (
	"net/url"
	"time"
)

// Key is one credential of a target. Its Secret is write-only: it goes into the
// upstream request and nowhere else.
type Key struct {
	Name   string // alias in logs and metrics; never derived from the secret
	Secret Secret
	Weight int // share among the target's keys; 0 means 1
}

// Secret is a string that does not print itself.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Target is one place a call can go: a provider's address and the model to ask
// there. It is immutable after configuration.
type Target struct {
	Name      string   // unique, "provider/model" by custom; the metric label
	Provider  string   // the operator's name of the provider
	Vendor    string   // whose table reads its answers: "openai", "anthropic"
	URL       *url.URL // base address; a path here is prefixed
	Model     string   // model to ask for; "" sends the caller's
	Keys      []Key    // none: the caller's credential goes along if the host is the one it was meant for
	Weight    int      // > 0: shares its place with neighbours that have a weight too; 0: a place of its own
	Context   int      // context window in tokens; 0 unknown
	Reasoning bool     // first tokens may take minutes: the longer first_token clock applies
}

// Upstream is the target and key of one attempt.
type Upstream struct {
	Target *Target
	Key    *Key   // nil: the caller's own credential, or none
	Model  string // the model actually asked for
}

// KeyName returns the alias of the key, or "caller" when there is none.
func (u Upstream) KeyName() string {
	if u.Key == nil {
		return "caller"
	}
	return u.Key.Name
}

// End tells a gate how the attempt it let through ended. It must be called
// exactly once.
type End func(Outcome)

// Event tells a Recorder that something happened. Fields that do not apply are
// zero. It holds no body, prompt or key.
type Event struct {
	Kind     EventKind
	At       time.Time
	Call     *Call  // nil for events that belong to no call
	Target   string // target name
	Provider string
	Model    string // configured model, or "" for the caller's
	Answered string // AttemptEnded: the model as the provider names it in its answer; "" if it does not. Foreign text
	Key      string // key alias
	Attempt  int    // 1 for a call's first attempt
	Outcome  Outcome
	From     string        // state or target left
	To       string        // state or target entered
	Reason   string        // closed lists: refusal reasons, breaker causes
	Wait     time.Duration // queue wait, backoff, pause length
	Status   int           // status the caller saw
	Original int           // CallEnded: the status before the route's terminal status replaced it; 0 when it did not
	Source   string        // who made the caller's answer: "provider" or "gateway"
	Cached   string        // CallEnded: what the route's cache did (hit, stale, shared, miss, bypass, and why in To); "" it has none
	Own      time.Duration // CallEnded: what of the call's time was ours; not attempts, pauses between them or the queue
}

// EventKind names an Event.
type EventKind uint8

// The kinds of Event.
const (
	CallStarted   EventKind = iota + 1
	CallEnded               // one per call: Outcome, Status, Attempt (attempts made), Reason
	AttemptEnded            // one per attempt, when its body has ended
	RetryPlanned            // same target again: Wait, Reason (class)
	MovedOn                 // another target: From, To, Reason (class)
	BreakerMoved            // From, To, Reason (consecutive, ratio, slow, probe, manual)
	KeyPaused               // Wait
	KeyEjected              // Wait, Reason
	TargetEjected           // Wait, Reason
	BudgetDenied            // Reason: attempts, retries, tokens, amplification
	ClientRetried           // the client itself is retrying: Reason (header, digest)
	Queued                  // left the waiting room: Wait, Reason ("" admitted, else why not), To what it waited for (permit, quota, "")
	PassedOver              // a target was not asked: Reason (circuit_open, ramping, busy, quota, key_paused, no_key, no_time, context, ineligible, shed), Wait until it may be
	Stopped                 // a failed attempt was the last: Reason (final, no_target_left, attempts, tokens, no_time, one_attempt, not_replayable, not_repeatable)
	Limited                 // a limit of ours: Reason (its name), To (LimitedRefused, LimitedShadow), Wait
)

// What a limit did, in the To of a Limited event.
const (
	LimitedRefused = "refused"
	LimitedShadow  = "shadow" // would have refused
)

func (k EventKind) String() string {
	names := [...]string{"", "call_started", "call_ended", "attempt_ended", "retry_planned", "moved_on", "breaker_moved",
		"key_paused", "key_ejected", "target_ejected", "budget_denied", "client_retried", "queued",
		"passed_over", "stopped", "limited"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Recorder listens. Record must not block and must not keep the pointer after it
// returns; it is called from many goroutines at once.
type Recorder interface {
	Record(*Event)
}

// RecorderFunc makes a function a Recorder.
type RecorderFunc func(*Event)

// Record calls f.
func (f RecorderFunc) Record(e *Event) { f(e) }
