package holdfast_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/quota"
	budget "github.com/holdfast-gateway/holdfast/spend"
)

// TestBudgetsQuotasAndRetriesExpectTheSame: one call, one estimate, whoever asks.
func TestBudgetsQuotasAndRetriesExpectTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 6))
		for range 500 {
			c := call.Call{Op: []call.Op{call.OpChat, call.OpResponses, call.OpMessages, call.OpEmbeddings}[r.IntN(4)]}
			c.Request = call.Request{InputTokens: r.IntN(5000), MaxTokens: r.IntN(3000), Choices: r.IntN(4)}
			c.Request.MaxNamed = c.Request.MaxTokens + r.IntN(2)*r.IntN(3000)
			a := quota.New(quota.Config{TPM: 60_000_000, Accounting: "usage", MaxOutput: call.UnnamedOutput, Burst: time.Minute}, quota.Options{})
			var held quota.Reservation
			if wait, err := a.Take(quota.NeedOf(c.Op, &c.Request), quota.Waiter{}, &held); wait != 0 || err != nil {
				t.Fatal(wait, err)
			}
			reserved, budgeted, repeated := a.Levels()[0].Reserved, budget.Estimate(c.Op, &c.Request).Sum(), int64(c.Tokens())
			if reserved != budgeted || budgeted != repeated {
				t.Errorf("%s %+v: a quota holds %d, a budget %d, a retry %d", c.Op, c.Request, reserved, budgeted, repeated)
			}
		}
	})
}
