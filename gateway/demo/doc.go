// Package demo shows an outage that users do not notice.
//
// Three simulated providers and a real gateway run in this process, on loopback
// ports. Two arms of callers send the same calls at the same moments, by true
// HTTP and without retries of their own: one through the gateway, which has a
// primary provider and a backup, the other straight to a provider of its own.
// After some healthy seconds the primary and the other arm's provider refuse all
// new calls with 503 for a while, and then work again.
//
// What is reported at the end is what the providers logged, joined with what the
// callers saw. The gateway's own metrics and status must agree with it; a demo
// that counts wrongly fails.
//
// A second play is a storm: callers who wait two seconds and try three times send
// an engine twice what it can do for a while, through the gateway and around it.
package demo
