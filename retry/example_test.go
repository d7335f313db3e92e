package retry_test

import (
	"fmt"
	"time"

	"github.com/holdfast-gateway/holdfast/retry"
)

// A retry is paid for before anybody sleeps. Without successes the reserve of
// 200,000 tokens bounds those of long prompts.
func ExampleBudget() {
	budget := retry.NewBudget(retry.Config{})
	budget.Reached() // a call's first attempt, which then fails

	retries := 0
	for {
		if _, denied := budget.Withdraw(60_000, true); denied != "" {
			fmt.Println(retries, "retries, then denied:", denied)
			break
		}
		retries++
	}
	// Output: 3 retries, then denied: tokens
}

// What the provider asks for is a floor; a little is added so that not everyone
// comes back at the same instant.
func ExampleConfig_Delay() {
	var c retry.Config
	half := func() float64 { return 0.5 }
	backoff := c.Backoff(2, true, 0, half)
	fmt.Println(backoff)
	fmt.Println(c.Delay(backoff, 20*time.Second, true, half))
	// Output:
	// 1.5s
	// 20.5s
}

func ExampleClients() {
	failures := retry.NewClients(4096, 5*time.Second)
	body := []byte(`{"model":"m","messages":[]}`)

	failures.Failed("client-a", retry.Digest("/v1/responses", body), 0)
	fmt.Println(failures.Seen("client-a", retry.Digest("/v1/responses", body)))
	fmt.Println(failures.Seen("client-b", retry.Digest("/v1/responses", body)))
	// Output:
	// true
	// false
}
