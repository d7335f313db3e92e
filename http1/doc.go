// Package http1 is a lean HTTP/1.1 client: an http.RoundTripper that does its
// work in the caller's goroutine.
//
// It exists because the standard http.Transport keeps two goroutines for each
// connection and hands every request and every part of an answer between them.
// For a layer whose whole work is to pass calls on, that is about a third of the
// CPU time of a call. Here a request leaves in one write, its answer is read by
// whoever reads the body, and an idle connection is a value in a list.
//
// What it promises is what http.Transport promises: connections are kept and
// reused, the youngest first; a request that a dying idle connection swallowed
// is sent once more where that is safe; a context that ends frees the connection
// at any moment; answers may come before the request has been sent; informational
// answers are told and skipped; trailers arrive; 101 hands the connection over.
// The hooks of net/http/httptrace are called: GetConn, GotConn, PutIdleConn,
// GotFirstResponseByte, Got100Continue, Got1xxResponse, TLSHandshakeStart,
// TLSHandshakeDone, Wait100Continue, WroteHeaders and WroteRequest, and those of
// the dialer by the dialer. WroteHeaders is called as soon as any byte of the
// request was taken by the connection, and only then: where it was not called,
// the server cannot have begun to work.
//
// It is stricter than http.Transport towards servers. An answer with both a
// length and a transfer encoding, folded header lines, names that are no tokens,
// control characters in the status line, an HTTP version other than 1.0 or 1.1
// or more than a thousand header lines are refused: nobody sends them by
// accident, and two readers who disagree about them can be played against each
// other. So is 101 to a request that did not ask for another protocol.
//
// It does not do HTTP/2, proxies, CONNECT, host names that are not ASCII,
// transparent decompression, cookies or redirects. Requests that need one of the
// first four go to Transport.Fallback.
package http1
