// Package quota keeps calls within what a provider allows one key to spend on one
// model: requests per minute and day, tokens per minute, or input and output
// tokens apart. A provider that has to say 429 has been asked too much, by us or
// by somebody else with the same key; this room is there so that it is not us.
//
// Providers count differently, and one formula is wrong somewhere. How each
// counts is data, by Config.Accounting: whether max_tokens is held when a request
// arrives, whether what was not used comes back, what a token of output weighs,
// whether cached input counts. An attempt reserves what its provider will charge,
// and settles with what it did charge when its body has ended. What was never
// sent costs nothing.
//
// A bucket refills at 95 % of the stated limit and holds 15 s of it, so that a
// quiet minute does not end in a burst the provider would refuse. A request that
// is larger than the bucket, but not than a minute's limit, goes when the bucket
// is full and leaves it in debt. One that is larger than the whole limit can never
// be answered there: Take says so at once with a TooLargeError.
//
// What a provider's headers say may only make us more careful, and only if it can
// be true. After a 429 the buckets are empty, nothing comes in until the
// provider's wait is over (at most a minute; longer pauses are the target room's),
// and then the flow grows from half to whole within 10 s.
//
// Nobody waits here. Take answers at once, with the time until it would succeed;
// waiting is the admission room's.
package quota
