package breaker

import (
	"errors"
	"fmt"
	"time"
)

// ErrOpen reports an attempt refused because the circuit is open, or half-open
// with all its probes under way.
var ErrOpen = errors.New("breaker: circuit open")

// ErrRamp reports an attempt refused because the circuit closed a moment ago
// and this one is beyond the share admitted for now.
var ErrRamp = errors.New("breaker: ramping up")

// ErrShed reports an attempt that was thrown away because the target refuses
// too many.
var ErrShed = errors.New("breaker: shedding")

// OpenError is an ErrOpen that knows when to try again.
type OpenError struct {
	Name  string        // of the Breaker
	State State         // Open, HalfOpen or ForcedOpen
	Cause string        // why it opened
	Wait  time.Duration // until the next probe may go; a guess when forced open
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("breaker: %s is %s (%s), next probe in %s", e.Name, e.State, e.Cause, e.Wait.Round(time.Millisecond))
}

// Unwrap returns ErrOpen.
func (e *OpenError) Unwrap() error { return ErrOpen }

// RampError is an ErrRamp that knows how far the ramp has come. The target
// works: a caller with nowhere else to go asks again with force.
type RampError struct {
	Name  string        // of the Breaker
	Share float64       // of the attempts admitted now, 0.25 to 1
	Wait  time.Duration // until everything is admitted
}

func (e *RampError) Error() string {
	return fmt.Sprintf("breaker: %s admits %.0f %% for another %s", e.Name, e.Share*100, e.Wait.Round(time.Millisecond))
}

// Unwrap returns ErrRamp.
func (e *RampError) Unwrap() error { return ErrRamp }

// ShedError is an ErrShed that knows how much is shed. When to try again nobody
// knows: the next attempt may go.
type ShedError struct {
	Name  string  // of the Breaker
	Share float64 // of the attempts shed now, above 0, at most 0.9
}

func (e *ShedError) Error() string {
	return fmt.Sprintf("breaker: %s refuses too many, %.0f %% are shed", e.Name, e.Share*100)
}

// Unwrap returns ErrShed.
func (e *ShedError) Unwrap() error { return ErrShed }
