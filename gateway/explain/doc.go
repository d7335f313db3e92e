// Package explain remembers what happened to recent calls, so that an operator
// can ask about one by its x-holdfast-request-id, and tells what happens now as
// a feed that readers can resume.
//
// A Book is made from the events that every other listener gets. It takes a
// short lock of one of its shards per event and never waits for a reader, the
// network or a disk. It forgets the oldest calls when it is full, and counts
// them. It keeps no body, prompt or key; what callers and providers wrote
// themselves (model names, codes) is cut short and cleaned.
package explain
