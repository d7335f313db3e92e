package cache

import (
	"errors"
	"fmt"
	"time"
)

// Scopes say whose answers a call may get.
const (
	ScopeKey    = "key"    // those to the same client key, or to the same credential
	ScopeTenant = "tenant" // those to keys of the same tenant; a call without one: as ScopeKey
	ScopeAll    = "all"    // everybody's
)

// What Share may say.
const (
	On  = "on"
	Off = "off"
)

// Config says which answers are kept, for how long and for whom. The zero value
// keeps nothing: at least one of TTL, StaleIfError and Share makes it work.
type Config struct {
	// TTL is how long an answer is given again to the same call without asking a
	// provider. Default 0, never; negative: never.
	TTL time.Duration

	// StaleIfError is for how long after its TTL an answer stands in when no
	// target can answer: all failed, their circuits are open, or the waiting room
	// is full. Default 0, never; negative: never.
	StaleIfError time.Duration

	// Share is on to ask once for the same calls that are under way at the same
	// time, and to give all of them that answer; default off.
	Share string `oneof:"on off"`

	// Scope says who shares answers: key (default), those with the same client key
	// or credential; tenant, those whose keys have the same tenant; all, everybody.
	// A call that carries the caller's own provider credential shares with that
	// credential only, whatever Scope says.
	Scope string `oneof:"key tenant all"`

	// AnyTemperature is on to take calls whose answers are a draw of lots too:
	// without temperature 0. Everybody then gets the first one. Default off: a
	// temperature of 0, and embeddings.
	AnyTemperature string `oneof:"on off"`

	// Tools is on to take calls that offer tools to the model too: what it decided
	// to call is then called again. Default off.
	Tools string `oneof:"on off"`

	// Streams is on to take streamed calls too, which then come from memory at once.
	// They are not shared while they are under way. Default off.
	Streams string `oneof:"on off"`

	// MaxEntries is how many answers are kept, 1 to 1,000,000; default 1000.
	MaxEntries int

	// MaxBytes is how much memory they take together, from 64 KiB; default 64 MiB.
	MaxBytes int64 `unit:"bytes"`

	// MaxEntry is the largest answer that is kept, at most MaxBytes; default 1 MiB.
	MaxEntry int64 `unit:"bytes"`

	// Off keeps nothing and forgets what was kept, whatever else is said.
	Off bool
}

// WithDefaults returns c with every zero field replaced by its default.
func (c Config) WithDefaults() Config {
	defaultTo(&c.Share, Off)
	defaultTo(&c.Scope, ScopeKey)
	defaultTo(&c.AnyTemperature, Off)
	defaultTo(&c.Tools, Off)
	defaultTo(&c.Streams, Off)
	defaultTo(&c.MaxEntries, 1000)
	defaultTo(&c.MaxBytes, 64<<20)
	defaultTo(&c.MaxEntry, min(1<<20, c.MaxBytes))
	return c
}

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.Share != On && c.Share != Off, "share: %q is none of on, off", c.Share)
	wrong(c.Scope != ScopeKey && c.Scope != ScopeTenant && c.Scope != ScopeAll, "scope: %q is none of key, tenant, all", c.Scope)
	wrong(c.AnyTemperature != On && c.AnyTemperature != Off, "any_temperature: %q is none of on, off", c.AnyTemperature)
	wrong(c.Tools != On && c.Tools != Off, "tools: %q is none of on, off", c.Tools)
	wrong(c.Streams != On && c.Streams != Off, "streams: %q is none of on, off", c.Streams)
	wrong(c.MaxEntries < 1 || c.MaxEntries > 1_000_000, "max_entries: %d is not between 1 and 1000000", c.MaxEntries)
	wrong(c.MaxBytes < 64<<10, "max_bytes: %d is below 65536", c.MaxBytes)
	wrong(c.MaxEntry < 1 || c.MaxEntry > c.MaxBytes, "max_entry: %d is not between 1 and max_bytes, %d", c.MaxEntry, c.MaxBytes)
	return errors.Join(errs...)
}

// Keeps reports whether answers are kept at all.
func (c Config) Keeps() bool { return !c.Off && (c.TTL > 0 || c.StaleIfError > 0) }

// Shares reports whether calls under way share an answer.
func (c Config) Shares() bool { return !c.Off && c.Share == On }

// life is how long an answer is of any use.
func (c Config) life() time.Duration { return max(c.TTL, 0) + max(c.StaleIfError, 0) }

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
