package quota_test

import (
	"fmt"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/quota"
)

// An attempt reserves what its provider will charge, and settles with what it did
// charge.
func Example() {
	a := quota.New(quota.Config{TPM: 60_000, Accounting: "groq"}, quota.Options{})

	var r quota.Reservation
	wait, err := a.Take(quota.Need{Input: 200, MaxTokens: 10_000}, quota.Waiter{}, &r)
	fmt.Println(wait, err, a.Levels()[0].Reserved, "reserved")

	wait, _ = a.Ready(quota.Need{Input: 200, MaxTokens: 10_000}, quota.Waiter{})
	fmt.Println("another one must wait", wait.Round(time.Second))

	r.End(call.Outcome{
		Verdict: call.Verdict{Class: call.OK}, Sent: true, Committed: true,
		Usage: call.Usage{Input: 200, Output: 300, Known: true},
	})
	wait, _ = a.Ready(quota.Need{Input: 200, MaxTokens: 10_000}, quota.Waiter{})
	fmt.Println("and now", wait)
	// Output:
	// 0s <nil> 10200 reserved
	// another one must wait 6s
	// and now 0s
}
