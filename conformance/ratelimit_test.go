package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	"golang.org/x/time/rate"

	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// quotas divide without a rest, since the others round: so many in so long, and
// how many at once.
var quotas = []struct {
	count  int
	period time.Duration
	burst  int
}{
	{1, time.Second, 1}, {1, time.Second, 10}, {20, time.Second, 20}, {20, time.Second, 3}, {60, time.Minute, 7}, {100, time.Second, 250}, {5, time.Hour, 5},
}

// one asks our limit for one key.
func one(l *ratelimit.Limiter, key string, cost int) ratelimit.Ask {
	asks := []ratelimit.Ask{{Limiter: l, Key: key, Cost: int64(cost)}}
	ratelimit.Take(asks)
	return asks[0]
}

// pause is up to three emission intervals, rarely a long time. It is never a
// whole number of intervals: there the floating point of x/time/rate decides.
func pause(r *rand.Rand, interval time.Duration) time.Duration {
	if r.IntN(20) == 0 {
		return time.Duration(r.Int64N(int64(100*interval))) | 1
	}
	return time.Duration(r.Int64N(int64(3*interval))) | 1
}

func FuzzOurLimiterDecidesAsXTimeRateDoes(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			q := quotas[r.IntN(len(quotas))]
			interval := q.period / time.Duration(q.count)
			ours := ratelimit.New("ours", ratelimit.Config{Points: int64(q.count), Duration: q.period, Burst: int64(q.burst)})
			theirs := rate.NewLimiter(rate.Every(interval), q.burst)
			for step := range 300 {
				cost := 1 + r.IntN(q.burst)
				got := one(ours, "k", cost)
				reservation := theirs.ReserveN(time.Now(), cost)
				wait := reservation.Delay()
				if wait > 0 {
					reservation.Cancel()
				}
				if got.OK != (wait == 0) {
					t.Fatalf("seed %d, step %d, %+v: cost %d: ours %v (wait %s), theirs %v (wait %s)", seed, step, q, cost, got.OK, got.Wait, wait == 0, wait)
				}
				if off := got.Wait - wait; off < -time.Microsecond || off > time.Microsecond {
					t.Fatalf("seed %d, step %d, %+v: cost %d: we wait %s, they %s", seed, step, q, cost, got.Wait, wait)
				}
				if r.IntN(3) > 0 {
					time.Sleep(pause(r, interval))
				}
			}
		})
	})
}

func FuzzOurLimiterDecidesAsThrottledDoes(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			q := quotas[r.IntN(len(quotas))]
			interval := q.period / time.Duration(q.count)
			ours := ratelimit.New("ours", ratelimit.Config{Points: int64(q.count), Duration: q.period, Burst: int64(q.burst)})
			store, err := memstore.NewCtx(1000)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerDuration(q.count, q.period), MaxBurst: q.burst - 1})
			if err != nil {
				t.Fatal(err)
			}
			for step := range 300 {
				key, cost := fmt.Sprint(r.IntN(3)), 1+r.IntN(q.burst)
				got := one(ours, key, cost)
				limited, want, err := theirs.RateLimitCtx(context.Background(), key, cost)
				if err != nil {
					t.Fatal(err)
				}
				if got.OK == limited || got.Remaining != int64(want.Remaining) || got.Reset != want.ResetAfter || limited && got.Wait != want.RetryAfter {
					t.Fatalf("seed %d, step %d, %+v: cost %d of %s:\nours   ok %v, %d left, reset %s, wait %s\ntheirs ok %v, %d left, reset %s, wait %s", seed, step, q, cost, key,
						got.OK, got.Remaining, got.Reset, got.Wait, !limited, want.Remaining, want.ResetAfter, want.RetryAfter)
				}
				if r.IntN(3) > 0 {
					time.Sleep(pause(r, interval))
				}
			}
		})
	})
}
