//go:build race

package attack

// withRace: the gateway, when it is this test's own program, has the race
// detector, and bars on memory say nothing.
const withRace = true
