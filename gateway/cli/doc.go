// Package cli is the command line of holdfast: what each command takes, what it
// prints and how it ends. Commands print what people want to read, and JSON with
// --json. Exit codes: 0 fine, 1 a check failed, 2 a mistake in the command or the
// configuration, 3 something cannot be reached, 130 interrupted.
package cli
