// Package server is a running gateway as one value: listeners, edge, transport
// and telemetry, made from a configuration file.
//
// It is alive from Start until the context given to Run ends; then it says that
// it is not ready, stops accepting, and waits for answers under way. A changed
// configuration file is read again while it runs; a bad one changes nothing.
package server
