// Package responses speaks OpenAI Responses.
//
// A stream is a row of named events with sequence numbers. It starts with
// response.created, tells content in *.delta events and ends with exactly one of
// response.completed, response.incomplete (both are whole answers) or
// response.failed, or with a flat "error" event. There is no [DONE].
//
// Clients disagree on what a failure looks like: some wait for response.failed,
// some raise only an "error" event, flat or nested. ErrorEvent therefore tells
// it in every way that any of them hears.
package responses
