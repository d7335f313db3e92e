package call

import "fmt"

// Class says what kind of end an attempt had. A vendor's table maps
// (status, code, type, in-band event) to a Class; Consequences maps a Class to
// what the stack does about it.
type Class uint8

// The classes, in the order of the error matrix.
const (
	Unclassified    Class = iota
	OK                    // a complete, true answer
	Throttled             // the provider's rate limit: wait or use another key
	QuotaExhausted        // billing or spend limit: waiting never helps
	Overloaded            // the provider has no capacity (503 overload codes, 529)
	ProviderFault         // the provider broke: 500, 502, 504, 52x
	Timeout               // one of our clocks ended the attempt
	Transport             // no HTTP answer: refused, reset, TLS, DNS
	Conflict              // 408, 409, 425: the same request may succeed later
	ClientError           // the request can never succeed
	Auth                  // the key was refused
	NotFound              // the model or deployment does not exist there
	ContextLength         // the prompt does not fit the model
	PolicyViolation       // a content filter or refusal: an answer, and a stop
	BadResponse           // a 200 that lies: HTML, empty, malformed, no content
	Truncated             // a stream that broke after its commit point
	Canceled              // the caller left
	Refused               // Holdfast itself did not send: breaker, queue, limit
	numClasses
)

var classNames = [numClasses]string{
	"unclassified", "ok", "throttled", "quota_exhausted", "overloaded", "provider_fault",
	"timeout", "transport", "conflict", "client_error", "auth", "not_found",
	"context_length", "policy_violation", "bad_response", "truncated", "canceled", "refused",
}

// String returns the class's name as it appears in metrics, logs and the
// configuration: lower case with underscores.
func (c Class) String() string {
	if c < numClasses {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// MarshalText writes the class's name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a class's name; unknown names are an error.
func (c *Class) UnmarshalText(text []byte) error {
	got, err := ParseClass(string(text))
	if err != nil {
		return err
	}
	*c = got
	return nil
}

// ParseClass returns the class of that name.
func ParseClass(name string) (Class, error) {
	for i, n := range classNames {
		if n == name && i != int(Unclassified) {
			return Class(i), nil
		}
	}
	return Unclassified, fmt.Errorf("unknown class %q", name)
}

// Classes returns every class a vendor or the stack may report, in the order of
// the error matrix.
func Classes() []Class {
	all := make([]Class, 0, numClasses-1)
	for c := OK; c < numClasses; c++ {
		all = append(all, c)
	}
	return all
}

// Same says when the same target may be asked again after a Class.
type Same uint8

// When the same target may be asked again.
const (
	SameNever     Same = iota // not at all
	SameOnce                  // one more time, by budget
	SameBudget                // as long as attempts, deadline and budgets allow
	SameAfterWait             // after the provider's wait, if it fits; else by throttle backoff
	SameIfAlone               // only if no other target exists (a timed-out call is not asked again elsewhere first)
)

func (s Same) String() string {
	return [...]string{"no", "once", "by budget", "after the wait, if it fits", "no, if another target exists"}[s]
}

// BreakerEffect says how the circuit breaker counts a Class.
type BreakerEffect uint8

// How the circuit breaker counts a Class.
const (
	BreakerNeutral      BreakerEffect = iota
	BreakerSuccess                    // the target works
	BreakerFailure                    // the target is broken
	BreakerProbeFailure               // neutral when closed, but a half-open probe that meets it has failed
)

func (b BreakerEffect) String() string {
	return [...]string{"neutral", "success", "failure", "neutral; fails a probe"}[b]
}

// SLOEffect says how a Class counts in the availability objective.
type SLOEffect uint8

// How a Class counts in the availability objective.
const (
	SLOGood SLOEffect = iota
	SLOBad
	SLOExcluded
)

func (s SLOEffect) String() string { return [...]string{"good", "bad", "excluded"}[s] }

// Billed says whether the provider charges for an attempt that ended so.
type Billed uint8

// Whether the provider charges for an attempt.
const (
	BilledNo Billed = iota
	BilledMaybe
	BilledYes
)

func (b Billed) String() string { return [...]string{"no", "maybe", "yes"}[b] }

// Consequence is one row of the error matrix: what follows from a Class.
type Consequence struct {
	Same        Same          // may the same target be asked again
	OtherKey    bool          // may another key of the same target be asked at once
	OtherTarget bool          // may another target be asked at once
	OtherFirst  bool          // another target is preferred to the same one
	LargerOnly  bool          // only a target with a larger context window
	Throttle    bool          // waits start from the throttle base, not the transient base
	Breaker     BreakerEffect // what the breaker of the target counts
	EjectKey    bool          // take the key out of rotation (5 min), alert
	PauseKey    bool          // pause the key until the provider's Retry-After
	EjectTarget bool          // take the target out of rotation (it is misconfigured)
	SLO         SLOEffect
	Capture     bool // keep a redacted payload for review
	Escalate    bool // tell people once
	Billed      Billed
}

// Consequences is the error matrix (docs/reference/classes.md): indexed by Class. It is
// data and must not be changed at run time; a route that overrides a row does so
// on a copy.
var Consequences = [numClasses]Consequence{
	Unclassified:    {SLO: SLOBad, Billed: BilledMaybe},
	OK:              {Breaker: BreakerSuccess, Billed: BilledYes},
	Throttled:       {Same: SameAfterWait, OtherKey: true, OtherTarget: true, OtherFirst: true, Throttle: true, Breaker: BreakerProbeFailure, PauseKey: true, SLO: SLOBad},
	QuotaExhausted:  {OtherKey: true, OtherTarget: true, OtherFirst: true, EjectKey: true, SLO: SLOBad},
	Overloaded:      {Same: SameOnce, OtherTarget: true, OtherFirst: true, Throttle: true, Breaker: BreakerFailure, SLO: SLOBad},
	ProviderFault:   {Same: SameBudget, OtherTarget: true, Breaker: BreakerFailure, SLO: SLOBad, Capture: true, Billed: BilledMaybe},
	Timeout:         {Same: SameIfAlone, OtherTarget: true, OtherFirst: true, Breaker: BreakerFailure, SLO: SLOBad, Billed: BilledMaybe},
	Transport:       {Same: SameBudget, OtherTarget: true, Breaker: BreakerFailure, SLO: SLOBad, Billed: BilledMaybe},
	Conflict:        {Same: SameBudget, OtherTarget: true, SLO: SLOBad},
	ClientError:     {SLO: SLOExcluded},
	Auth:            {OtherKey: true, OtherTarget: true, OtherFirst: true, EjectKey: true, SLO: SLOBad},
	NotFound:        {OtherTarget: true, OtherFirst: true, EjectTarget: true, SLO: SLOBad},
	ContextLength:   {OtherTarget: true, OtherFirst: true, LargerOnly: true, SLO: SLOExcluded},
	PolicyViolation: {Breaker: BreakerSuccess, SLO: SLOExcluded, Capture: true, Escalate: true, Billed: BilledMaybe},
	BadResponse:     {Same: SameOnce, OtherTarget: true, OtherFirst: true, Breaker: BreakerFailure, SLO: SLOBad, Capture: true, Billed: BilledMaybe},
	Truncated:       {Breaker: BreakerFailure, SLO: SLOBad, Capture: true, Billed: BilledYes},
	Canceled:        {SLO: SLOExcluded, Billed: BilledMaybe},
	Refused:         {OtherTarget: true, OtherFirst: true, SLO: SLOBad},
}

// Row returns the class's row of the error matrix.
func (c Class) Row() Consequence {
	if c < numClasses {
		return Consequences[c]
	}
	return Consequences[Unclassified]
}
