// Package telemetry tells operators what the gateway does: Prometheus metrics
// and one log line per call.
//
// It listens to the Transport's events and asks for its Status when it is
// scraped; no policy knows it. Recording never blocks the call: counters are
// atomic, and log lines go through a bounded queue whose overflow is counted.
// Labels come from closed lists and from the configuration, never from what a
// caller or a provider sent. Neither metrics nor logs hold a prompt, a body or
// a key.
package telemetry
