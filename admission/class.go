package admission

import (
	"fmt"
	"math"
)

// Class says how much a call matters. A call of a higher class goes first; the
// others get their shares all the same. The zero Class is Normal.
type Class int8

// The classes, and what of the calls that go in from the line each is sure of
// while calls of it wait: Critical goes first and needs no share.
const (
	Batch    Class = iota - 1 // 5 %; may fill half of the line
	Normal                    // 10 %
	High                      // 20 %
	Critical                  // what the others leave, 65 % at least
)

// Classes are all classes, the most important first.
var Classes = [...]Class{Critical, High, Normal, Batch}

var classNames = [...]string{"batch", "normal", "high", "critical"}

// shares are by class, from Batch.
var shares = [...]float64{0.05, 0.10, 0.20, 0}

// CriticalFrom is the least priority of a critical call.
const CriticalFrom = 50

// ClassOf returns the class of a priority: from 50 critical, from 1 high, 0
// normal, below 0 batch.
func ClassOf(priority int) Class {
	switch {
	case priority >= CriticalFrom:
		return Critical
	case priority > 0:
		return High
	case priority < 0:
		return Batch
	}
	return Normal
}

// ParseClass returns the class of that name: critical, high, normal or batch.
func ParseClass(name string) (Class, error) {
	for i, n := range classNames {
		if n == name {
			return Batch + Class(i), nil
		}
	}
	return Normal, fmt.Errorf("%q is none of critical, high, normal, batch", name)
}

// String returns the class's name.
func (c Class) String() string { return classNames[c.index()] }

// Priority returns the middle of what ClassOf makes c: 100, 10, 0 or -10.
func (c Class) Priority() int { return [...]int{-10, 0, 10, 100}[c.index()] }

// index is c as a place in an array; what is out of range is at its end.
func (c Class) index() int { return int(min(max(c, Batch), Critical) - Batch) }

func (c Class) share() float64 { return shares[c.index()] }

// kept is how much of a line that long lower and higher classes leave to c.
func (c Class) kept(depth int) int { return int(math.Floor(c.share() * float64(depth))) }

// most is how much of a line that long c may fill.
func (c Class) most(depth int) int {
	if c == Batch {
		return (depth + 1) / 2
	}
	return depth
}
