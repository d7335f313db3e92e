package breaker_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
)

func Example() {
	b := breaker.New("openai/gpt-4o", breaker.Config{Consecutive: 2}, breaker.Options{
		Rand: func() float64 { return 1 },
		Moved: func(from, to breaker.State, cause string, openFor time.Duration) {
			fmt.Println("moved from", from, "to", to, "because of", cause, "for", openFor)
		},
	})
	for range 3 {
		permit, err := b.Admit(false)
		if errors.Is(err, breaker.ErrOpen) {
			fmt.Println("refused: ask another target")
			break
		}
		// ... send the request, read the answer to its end ...
		permit.End(call.Outcome{Verdict: call.Verdict{Class: call.ProviderFault}, Status: 500})
	}
	// Output:
	// moved from closed to open because of consecutive for 15s
	// refused: ask another target
}
