// Package attack tries on a running gateway what was done to others: each test is
// named after a row of docs/explanation/security.md. The gateway is a process of
// its own, its provider a server of the test that can be told to be malicious,
// and every secret of a run is made from a seed that is printed, so that it can be
// looked for in everything that leaves the process.
//
// `make test` runs what is fast; `make attack` runs all of it.
package attack
