package timeout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// The clocks of an attempt cancel its context and say which of them did.
func ExampleStart() {
	ctx, cancel := context.WithCancelCause(context.Background())
	limits := timeout.Config{FirstToken: 20 * time.Millisecond}.Limits(&call.Request{Stream: true}, false)
	clocks := timeout.Start(limits, cancel, nil)
	defer clocks.Stop()

	clocks.Headers() // a 200 and then nothing but pings
	clocks.Byte()
	<-ctx.Done()

	cause := context.Cause(ctx)
	fmt.Println(cause)
	fmt.Println(errors.Is(cause, context.DeadlineExceeded))
	// Output:
	// timeout: the first_token clock ended the attempt after 20ms
	// true
}

// What the client says about its own patience shortens the route's total, and a
// little more, so that it hears the answer.
func ExampleCommitBy() {
	arrived := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	h := http.Header{}
	h.Set("X-Stainless-Timeout", "45")
	fmt.Println(timeout.CommitBy(arrived, 10*time.Minute, h).Format("15:04:05.00"))
	// Output: 15:00:44.75
}
