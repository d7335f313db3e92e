// Package holdfast keeps AI features up when model providers are not.
//
// A Transport is an http.RoundTripper: give it to any Go SDK as
// &http.Client{Transport: t}. It classifies every failure, retries with jitter
// inside one deadline and one attempt budget, breaks circuits, fails over
// between targets, and tells the truth about broken streams. Its zero Config
// guards the host a request names.
//
//	t, err := holdfast.NewTransport(holdfast.Config{})
//	client := openai.NewClient(
//		option.WithHTTPClient(&http.Client{Transport: t}),
//		option.WithMaxRetries(0), // Holdfast decides about retries
//	)
//
// What Holdfast refuses it refuses with an HTTP response in the caller's
// dialect, never with a Go error, except when the caller's own context ended:
// SDKs retry errors, they believe responses.
package holdfast
