package admission

import (
	"errors"
	"fmt"
	"time"
)

const (
	// deadlineShare is the part of a call's remaining time it may spend waiting.
	deadlineShare = 0.2
	// ceiling is above what one process can hold: more is a mistake of units.
	ceiling = 1_000_000
)

// Config bounds one route's calls. The zero value is ready to use: a zero field
// means the default beside it.
type Config struct {
	// Running is how many calls may be inside at once, 1 to 1,000,000; default
	// 0: no limit of its own, only that of the targets.
	Running int

	// MaxWait is the longest a call waits, all its waits together. It is also
	// held to 20 % of the time that the call's deadline leaves when it enters.
	// Default 2 s.
	MaxWait time.Duration

	// MaxDepth is how many calls may wait, up to 1,000,000; default 100;
	// negative: nobody waits, who cannot go in at once is refused. Calls that
	// come back are not counted against it.
	MaxDepth int
}

// standing is how long waits must be long for a queue to be a standing one: half
// of the longest wait, at most a second.
func (c *Config) standing() time.Duration { return min(c.MaxWait/2, time.Second) }

// WithDefaults returns c with every zero field replaced by its default.
func (c Config) WithDefaults() Config {
	if c.MaxWait == 0 {
		c.MaxWait = 2 * time.Second
	}
	if c.MaxDepth == 0 {
		c.MaxDepth = 100
	}
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	var errs []error
	if c.Running < 0 {
		errs = append(errs, fmt.Errorf("running: %d is negative (0 is no limit)", c.Running))
	}
	if c.Running > ceiling {
		errs = append(errs, fmt.Errorf("running: %d is above %d", c.Running, ceiling))
	}
	if c.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("max_wait: %s is negative", c.MaxWait))
	}
	if c.MaxDepth > ceiling {
		errs = append(errs, fmt.Errorf("max_depth: %d is above %d", c.MaxDepth, ceiling))
	}
	return errors.Join(errs...)
}
