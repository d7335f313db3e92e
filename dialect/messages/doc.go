// Package messages speaks Anthropic Messages, and reads the answers of its
// token counter.
//
// A stream is a row of named events: message_start with the usage of the
// prompt, then for each content block a start, deltas and a stop, then
// message_delta with the stop reason and the usage of the answer, and
// message_stop. Pings may stand anywhere. An error in the middle is an event
// "error" with the same body an HTTP error has.
//
// Everything here looks at the bytes; nothing is decoded as a whole, and a delta
// of text allocates nothing.
package messages
