//go:build !race

package soak

// withRace is whether this program is slowed and fattened by the race detector.
const withRace = false
