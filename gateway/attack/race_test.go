//go:build race

package attack

// withRace: the gateway, when it is this test's own program, has the race
// detector, whose shadow memory is several times the program's.
const withRace = true
