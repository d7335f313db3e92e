package admission

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of refusal. A Door returns them inside an *Error.
var (
	// ErrFull reports a call that found too many waiting.
	ErrFull = errors.New("admission: too many calls are waiting")
	// ErrTimeout reports a call that waited as long as it may, or would have to.
	ErrTimeout = errors.New("admission: the wait is too long")
	// ErrPaused reports a call whose time was over while the door was paused.
	ErrPaused = errors.New("admission: paused")
	// ErrDraining reports a call that arrived after Drain.
	ErrDraining = errors.New("admission: draining")
)

// The reasons of an Error.
const (
	ReasonFull     = "queue_full"
	ReasonTimeout  = "queue_timeout"
	ReasonDraining = "draining"
)

// Error is a refusal: one of ErrFull, ErrTimeout, ErrPaused and ErrDraining by
// errors.Is.
type Error struct {
	Route      string
	Reason     string        // ReasonFull, ReasonTimeout or ReasonDraining
	RetryAfter time.Duration // when the line may be short enough: 1 to 60 s, not jittered
	kind       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (route %s, retry after %s)", e.kind, e.Route, e.RetryAfter.Round(time.Second))
}

// Unwrap returns the kind of refusal.
func (e *Error) Unwrap() error { return e.kind }
