// Package experiments plays simulations on the code as it is, in virtual time and
// from seeds: what becomes of a load, a limit or a stall with a policy, and what
// without. It has no code of its own.
//
// In every test they run with one seed, short, and check directions and bounds;
// `make experiments` runs them in full and writes what they found to
// docs/explanation/experiments.md.
package experiments
