package stream

import (
	"fmt"

	"github.com/holdfast-gateway/holdfast/call"
)

// Kind says how an answer broke.
type Kind uint8

// The ways an answer breaks.
const (
	Cut          Kind = iota + 1 // the connection broke
	Clock                        // one of our clocks ended it
	Malformed                    // an event that is not the dialect's
	InBand                       // the provider's own error inside a 200
	Unterminated                 // it ended cleanly, without its terminator
	Empty                        // it ended cleanly, with nothing meaningful
	Left                         // the caller left
	Draining                     // this process is shutting down
)

func (k Kind) String() string {
	return [...]string{"", "cut", "clock", "malformed", "in_band_error", "unterminated", "empty", "left", "draining"}[k]
}

// Fault is how and why an answer broke. It is the error of Attempt.Next.
type Fault struct {
	Kind    Kind
	Clock   string       // the clock's name, when Kind is Clock
	Problem call.Problem // what the provider said, when Kind is InBand
	Raw     []byte       // the provider's own error frame, when it may be forwarded as it is
	Err     error        // what happened underneath; nil when nothing did
}

func (f *Fault) Error() string {
	switch {
	case f.Kind == Clock:
		return fmt.Sprintf("stream: the %s clock ended the answer", f.Clock)
	case f.Kind == InBand:
		return "stream: the provider reported an error inside the answer" // its words stay out of logs
	case f.Err != nil:
		return fmt.Sprintf("stream: %s: %v", f.Kind, f.Err)
	}
	return "stream: " + f.Kind.String()
}

func (f *Fault) Unwrap() error { return f.Err }
