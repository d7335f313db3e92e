// Package soak runs the gateway for long: a million mixed calls, thousands of
// streams, callers who leave and callers who do not read, a recorded arrival trace.
// It watches what must not grow (goroutines, descriptors, memory) and what callers
// would notice (failures, added time), and fails when a bar is missed.
//
// The gateway is a process of its own and so is its provider, which is the simulated
// one and a flood. The load is made by a client that writes HTTP by hand, so that it
// costs little beside what it loads. Every scenario prints a table and writes it as
// JSON, from which docs/reference/soak.md is made.
//
// `make test` runs each scenario for a second or two, which shows that it works;
// `make soak` runs it at full size, against bin/holdfast.
package soak
