// Package edge is the HTTP side of the gateway: it stands between callers and a
// Transport and decides nothing about providers.
//
// It reads a request's body once, bounded, builds the request that the
// Transport takes, and writes the answer back while it comes: a stream's events
// leave as they arrive, a caller who left or does not read ends the upstream
// call at once, and an answer that broke after its first byte breaks the
// connection, so that nobody takes half an answer for a whole one.
//
// What it refuses by itself it refuses in the dialect of the path. Headers that
// belong to one connection stop here, in both directions; credentials and
// x-holdfast-* headers are the Transport's business.
package edge
