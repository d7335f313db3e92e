// Package admin is the API for operators: what the gateway knows of itself,
// what happened to a request, circuits moved by hand, reload and drain, and the
// events as they happen. Its OpenAPI document is made from the same table that
// routes requests, and is served beside it.
//
// Who may use it: everybody on this machine, or who sends the token. Requests
// under an unknown Host are refused, as DNS rebinding makes them, and so is what
// a web page of another origin sends. Nothing it answers holds a secret.
package admin
