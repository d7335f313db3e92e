// Package target knows which upstreams and which of their keys are worth asking.
//
// It keeps what attempts have taught: a key that was refused or has no money
// left is ejected for minutes; one that met a rate limit is paused, for that
// model only, until the time the provider named; a model that a target does not
// have is ejected there. It also remembers how soon each target's first token
// comes, and which account holds the state that later calls refer to (pins).
//
// Nothing is ever taken away for good. Ejected targets move to the end of the
// order and are still there, and LastResort names a key when none is left, so
// that people see the provider's own error and not an invented one.
//
// Where several can do the same, it compares. A key among others, or a target
// that shares its place with others, rests when it alone fails again and again
// (an outlier); when more than half of them would rest, nobody does: then the
// fault is elsewhere, and the breaker of the target listens to it. What comes
// back begins with a part of its share. Of two that are drawn by weight the one
// with less to do is asked, and a conversation stays where it was answered,
// because its prompt is cached there.
package target
