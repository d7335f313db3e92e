// Package breaker stops sending calls to a target that does not work, asks it
// carefully whether it works again, and then gives it back its share step by
// step.
//
// One Breaker watches one target (upstream, model and region; keys are not its
// business). It opens when any of three things is true of the attempts that
// ended lately: too many failures in a row, too large a share of failures, too
// large a share without a first token after a while. It stays open for a
// jittered while, then lets single probes through (half-open), closes after
// enough good ones, and admits a growing share of the traffic for some seconds.
//
// Three properties matter for calls that last minutes:
//
//   - An outcome counts when it is known (the end of the body), in the part of
//     the window that belongs to that moment. A window shorter than the calls
//     sees all of them.
//   - Every change of state begins a generation. News from an attempt of an
//     earlier generation is ignored: a success that began before the outage
//     cannot close the circuit, a late failure cannot reopen it.
//   - A half-open probe holds a lease that expires. A probe that hangs cannot
//     keep the circuit from trying again.
//
// A Breaker has no goroutines and no timers: it looks at the monotonic clock
// when it is asked.
package breaker
