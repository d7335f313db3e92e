// Package ratelimit bounds what callers may ask for: so many calls, or tokens,
// in a time, per client key, address, tenant, route or header.
//
// A Limiter holds one limit and one meter for each key it has met. The meter is
// either a GCRA (Mode "gcra": points come back one by one, as fast as they may
// be spent) or a fixed window that begins with a key's first call (Mode
// "window": all points come back at once). Who goes over the limit can be put
// into a penalty box (BlockFor): until it is over everything is refused.
//
// Take asks several Limiters at once, all or nothing: a call that one of them
// refuses costs nothing in any. Refused calls cost nothing where they were
// refused, either, so that a client that asks too fast still gets what it may
// have. A limit in shadow counts what it would refuse, and refuses nothing.
//
// # Many keys
//
// The number of keys that are kept is bounded (MaxKeys), since addresses and
// headers are the caller's to choose. What is not forgotten is what matters: a
// key is only forgotten when its meter is full again and it is not blocked, for
// then nobody can tell it from a new one. When every key that is kept still
// holds something, a new key shares a meter with others like it: a few hundred
// such meters, chosen by a hash with a random seed. They have no penalty box, and
// who gets a meter of its own later takes the level of the shared one along. So
// ten million addresses cannot push a blocked one out of the table, nor make the
// table grow, nor buy more than the shared meters give together; the price is
// that a newcomer during such a flood is refused earlier than it should be. We
// prefer that to the two other ways: throwing out the oldest key frees the
// attacker whom we just blocked, and letting new keys pass uncounted is no limit.
// Keys that the configuration names (client keys, tenants, routes) stand in
// tables of their own and feel nothing of a flood of addresses.
//
// A decision takes one lock per Limiter asked, of a part of its table, and
// allocates nothing for a key that is known.
package ratelimit
