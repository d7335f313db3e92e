// Package timeout holds the named clocks of an attempt and the deadline of a
// call.
//
// A model call has no single right timeout. A provider that does not accept a
// connection is dead after seconds, one that reasons may be silent for minutes,
// and a stream that sends pings without words is stalled although its
// connection lives. So every wait has a clock with a name of its own, and the
// name never changes its meaning:
//
//   - connect: from asking for a new connection until it is ready (DNS, TCP, TLS);
//   - headers: from sending until the status line;
//   - first_token: from sending until the first meaningful event of a stream;
//   - idle: from any byte of the answer to the next;
//   - stall: from one meaningful event of a stream to the next;
//   - attempt: the whole attempt; of a stream, up to its commit point;
//   - stream_total: a stream from its commit point to its end;
//   - linger: from a stream's terminator to the end of its body.
//
// All clocks of an attempt share one timer (Clocks). Events only note the time;
// the timer finds out when it fires whether anybody is really late.
//
// The deadline of the call itself is a time, not a clock: CommitBy computes it
// from the arrival, the route's total and what the client says it will wait.
package timeout
