// Package traces sends spans to an OpenTelemetry collector by OTLP over HTTP: one
// SERVER span per call, and below it one CLIENT span per attempt.
//
// It listens to the Transport's events, which come when a call or an attempt has
// ended and say how long it took. Recording copies what a span needs into a
// bounded queue; a goroutine of its own makes spans of it, with the times that
// the events told, and sends them. So nothing a collector does, or fails to do,
// can slow a call: what does not fit the queue, or is not taken in time, is
// dropped and counted.
//
// Ids are computed from the call's own id, and from the traceparent of the caller.
// Therefore the log and the metrics can name a trace without asking anybody, and
// spans of one call find each other in whatever order they end.
//
// A span never holds a prompt, an answer or a key.
package traces
