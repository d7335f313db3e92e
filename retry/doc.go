// Package retry decides how long to wait before a further attempt and whether
// one may be made at all. It sends nothing and sleeps nowhere.
//
// Waiting is Config.Backoff, our own guess with jitter, and Config.Delay, which
// never undercuts what the provider asked for.
//
// Whether is a Budget, one per upstream, checked before any sleep. It holds three
// bounds at once, because each fails alone: retries (a share of the successes
// of the last seconds, so that an outage, which has none, is not answered with
// a storm), tokens (a retry of a long prompt costs as much as hundreds of short
// ones), and amplification (further attempts against calls in any 10 s, whatever
// the configuration says).
//
// Clients remembers whom we have just told that their call failed for good: the
// same body again is a client that retries by itself, and gets one attempt.
package retry
