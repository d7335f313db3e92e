// Package spend holds what may be spent: so many US dollars and tokens a day per
// client key or route, and so much in one call.
//
// A call reserves what it is expected to cost before it is sent (Reserve) in
// every Account that it is charged to, all or none, and is refused when one
// cannot bear it. Each attempt that the provider bills adds what it really cost
// (Hold.Add); the end of the call gives the rest of the reservation back
// (Hold.End). So calls under way together cannot spend a budget twice, and a
// budget is overdrawn by no more than the error of the estimates of the calls
// that were under way.
//
// What an attempt cost is what its provider reports, where that can be believed
// (Used). A stream that reports nothing, or nonsense, costs an estimate from the
// bytes that came: no answer makes a budget larger, and none is free because its
// provider is silent.
//
// A day is a calendar day in UTC. Money is counted in whole picodollars, so that
// sums are exact and do not depend on their order.
//
// It is a room of its own, and not a part of ratelimit: a limit of calls counts
// what begins and forgets it in seconds, an account counts what was spent, learns
// it afterwards, and must not be forgotten before midnight. The same prices are
// for whoever keeps the books.
package spend
