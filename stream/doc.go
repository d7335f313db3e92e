// Package stream reads answers as they come and tells the truth about how they
// end.
//
// A Framing splits bytes into frames. An Attempt is one upstream answer in the
// target's dialect: it holds everything back until the commit point (the first
// meaningful event), watches the clocks, checks the terminator, counts usage and
// ends exactly once, when its body has ended. A Body is what the caller reads,
// in the caller's dialect: it forwards whole frames byte for byte as they were
// received, and when an attempt breaks after the commit point it ends with the
// dialect's own error event on a frame boundary, never with a terminator.
//
// There is no goroutine per stream: whoever reads the Body reads the provider.
package stream
