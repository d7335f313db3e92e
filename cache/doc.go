// Package cache answers a call with what a provider said to the same call
// before, or is saying now, where its route asks for that.
//
// A Store keeps whole, good answers, bounded by their number and bytes; the one
// that nobody asked for longest makes room. An answer is fresh for a while (TTL):
// then no provider is asked. For another while (StaleIfError) it stands in when
// none can answer. Flights make one of calls that are under way at the same time:
// the first one leads, the others wait for its answer; it goes on while any of
// them waits, whoever has left.
//
// A Key is a digest of everything that makes a call what it is, and of whose it
// is: what the front door puts into it decides who shares answers with whom.
// Refuses says which calls are not to be answered so: those whose answer is a
// draw of lots, an act or a stream, unless a route asks for that.
//
// The package has no timers and no goroutines but one for each flight, which
// ends with it. It keeps no prompts, only their digests, and prints neither
// answers nor keys.
package cache
