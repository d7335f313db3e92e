// Package fault is the vocabulary of things that go wrong with a model provider, said
// once: the names, what each does, and the bodies and headers a vendor sends with it.
// The simulated provider picks a fault by model name, chaos experiments by rule; both
// speak with the words of this package.
//
// Nothing here waits, reads or writes: a Fault says what shall happen, and whoever
// answers the call makes it happen. All values are plain data and safe to share.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what a fault does, without its numbers.
type Kind string

// The kinds. Fault.N means what the comment says; kinds without one ignore it.
const (
	OK             Kind = "ok"               // no fault
	Status         Kind = "status"           // answer with status N and the vendor's error body
	RetryAfter     Kind = "retry-after"      // 429 with Retry-After until N seconds have passed, then ok
	Throttled      Kind = "throttled"        // 429 on every attempt
	Quota          Kind = "quota"            // 429 that no waiting cures
	Credit         Kind = "credit"           // the account's credit is used up
	Once           Kind = "once"             // the first attempt of a call gets status N, the next are ok
	Flap           Kind = "flap"             // N seconds ok, N seconds 503, and so on
	Auth           Kind = "auth"             // 401
	NotFound       Kind = "not-found"        // 404, no such model
	ContextLength  Kind = "context-length"   // 400, the prompt is too long
	PromptBlocked  Kind = "prompt-blocked"   // 400, a content filter refused the prompt
	Reset          Kind = "reset"            // the connection is reset before any byte of an answer
	Silent         Kind = "silent"           // no answer until the caller leaves
	SlowFirstToken Kind = "slow-first-token" // headers at once, first token after N seconds
	Cut            Kind = "cut"              // the connection drops inside a frame after N tokens
	CutClean       Kind = "cut-clean"        // the body ends cleanly after N tokens, without a finish
	Stall          Kind = "stall"            // after N tokens nothing more, until the caller leaves
	BadEvent       Kind = "bad-event"        // the N-th content event is malformed JSON
	NoDone         Kind = "no-done"          // everything but the dialect's terminator
	NeverCloses    Kind = "never-closes"     // a whole answer, then the connection stays open
	ErrorFirst     Kind = "error-first"      // a 200 whose first event is an error
	ErrorAfter     Kind = "error-after"      // an error event after N tokens
	OnlyPings      Kind = "only-pings"       // beginnings and keep-alives, never content
	HTML           Kind = "html"             // status N with a web page
	Empty          Kind = "empty"            // status N with no body
	ContentFilter  Kind = "content-filter"   // a filter ends the answer half-way
	Refusal        Kind = "refusal"          // the model declines in the vendor's way
	EchoHeaders    Kind = "echo-headers"     // the answer's text is the request's headers
	SlowMode       Kind = "slow-mode"        // one call in twenty takes ten times as long
	Diverge        Kind = "diverge"          // other words whenever the same prompt is asked again
	IgnoresPrefill Kind = "ignores-prefill"  // begins anew instead of going on from an assistant prefill
	RefusesPrefill Kind = "refuses-prefill"  // 400 when the last message is the assistant's
	BigFrame       Kind = "big-frame"        // one event of N bytes
	NoNewline      Kind = "no-newline"       // N bytes without a line end in an event stream
)

const (
	longestName    = 64      // longer names are not looked at
	maxNumber      = 1 << 20 // largest number in a name: seconds, tokens
	bigFrameBytes  = 2 << 20
	noNewlineBytes = 64 << 20
)

// Fault is one fault, ready to be done. The zero value is not valid; OK does nothing.
type Fault struct {
	Name string // as it was asked for, "cut-after-40"
	Kind Kind
	N    int // see the kinds
}

// ErrUnknown reports a name that no fault has.
var ErrUnknown = errors.New("fault: no such fault")

// None is the fault that does nothing.
func None() Fault { return Fault{Name: "ok", Kind: OK} }

// Duration is N as seconds, for the kinds that count seconds.
func (f Fault) Duration() time.Duration { return time.Duration(f.N) * time.Second }

// String returns the name.
func (f Fault) String() string { return f.Name }

// Parse finds the fault of a name such as "ok", "503" or "cut-after-40". The number in a
// name is free, from 1 to 1048576 (a bare status: 400 to 599). Names are case-sensitive.
// An unknown name is an error that is ErrUnknown and does not repeat more than 64 bytes of it.
func Parse(name string) (Fault, error) {
	if len(name) > longestName {
		return Fault{}, fmt.Errorf("%w: a name of %d bytes", ErrUnknown, len(name))
	}
	for _, r := range catalogue {
		if n, ok := r.match(name); ok {
			return Fault{Name: name, Kind: r.kind, N: n}, nil
		}
	}
	if near := nearest(name); near != "" {
		return Fault{}, fmt.Errorf("%w: %q (did you mean %q?)", ErrUnknown, name, near)
	}
	return Fault{}, fmt.Errorf("%w: %q", ErrUnknown, name)
}

// Info is one fault for a reader.
type Info struct {
	Name    string `json:"name"`              // a name that Parse takes
	Pattern string `json:"pattern,omitempty"` // its general form, "cut-after-N", where the number is free
	Does    string `json:"does"`              // what it does, in a sentence
}

// List returns all documented faults, the healthy answer first. The slice is the caller's.
func List() []Info {
	list := make([]Info, 0, len(catalogue))
	for _, r := range catalogue {
		if r.does == "" {
			continue // another spelling of a row above
		}
		list = append(list, r.info())
	}
	return list
}

// nearest returns the documented name with which name shares the longest beginning, if
// that is long enough to be a slip of the pen.
func nearest(name string) string {
	best, length := "", 3
	for _, info := range List() {
		n := 0
		for n < len(name) && n < len(info.Name) && name[n] == info.Name[n] {
			n++
		}
		if n > length {
			best, length = info.Name, n
		}
	}
	return best
}
