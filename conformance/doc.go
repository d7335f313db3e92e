// Package conformance holds the stack against the clients that people really
// use: the official Go SDKs of OpenAI and Anthropic, curl, the clients from npm,
// and what Python's do. README.md says what is run and what is not. It has tests
// only, and is a module of its own, so that nobody who uses Holdfast downloads
// what they need.
//
// Every client talks to the same simulated provider in several ways: directly
// (that is the oracle), through a Transport inside its process, and through a
// `holdfast serve` of its own. What a client sees must not depend on the way.
package conformance
