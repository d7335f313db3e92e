package concurrency_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-gateway/holdfast/concurrency"
)

func acquired(l *concurrency.Limit, tries int) (n int) {
	for range tries {
		if l.TryAcquire() {
			n++
		}
	}
	return n
}

func TestMaxPermitsAreHandedOut(t *testing.T) {
	for _, c := range []struct{ max, tries, want int }{{0, 100, 64}, {1, 100, 1}, {5, 5, 5}, {-1, 100, 100}} {
		l := concurrency.New(concurrency.Config{Max: c.max})
		if got := acquired(l, c.tries); got != c.want || l.InFlight() != c.want {
			t.Errorf("max %d: %d of %d permits, %d in flight; want %d", c.max, got, c.tries, l.InFlight(), c.want)
		}
		if l.Free() != (c.max < 0) {
			t.Errorf("max %d: free is %v", c.max, l.Free())
		}
	}
}

func TestAReleasedPermitCanBeTakenAgain(t *testing.T) {
	l := concurrency.New(concurrency.Config{Max: 2})
	acquired(l, 2)
	l.Release()
	if !l.Free() || acquired(l, 2) != 1 {
		t.Errorf("after one release: %d in flight, want exactly one more permit", l.InFlight())
	}
}

func TestAPermitThatWasNotTakenIsNotBelieved(t *testing.T) {
	l := concurrency.New(concurrency.Config{Max: 1})
	l.Release()
	l.Release()
	if l.InFlight() != 0 {
		t.Errorf("%d in flight, want none", l.InFlight())
	}
	if got := acquired(l, 3); got != 1 {
		t.Errorf("%d permits, want 1", got)
	}
}

func TestLoweringTheLimitTakesNobodysPermit(t *testing.T) {
	l := concurrency.New(concurrency.Config{Max: 10})
	acquired(l, 10)
	l.Reconfigure(concurrency.Config{Max: 3})
	for want := 9; want >= 3; want-- {
		l.Release()
		if l.TryAcquire() {
			t.Fatalf("a permit with %d in flight and a limit of %d", want, l.Max())
		}
	}
	l.Release()
	if !l.TryAcquire() || l.TryAcquire() {
		t.Errorf("below the new limit: %d in flight, want 3", l.InFlight())
	}
	l.Reconfigure(concurrency.Config{Max: -1})
	if got := acquired(l, 1000); got != 1000 {
		t.Errorf("unlimited: %d permits, want 1000", got)
	}
}

func TestManyGoroutinesNeverExceedTheLimit(t *testing.T) {
	const limit = 7
	l := concurrency.New(concurrency.Config{Max: limit})
	var inside atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 5000 {
				if !l.TryAcquire() {
					continue
				}
				if n := inside.Add(1); n > limit {
					t.Errorf("%d inside, want at most %d", n, limit)
				}
				inside.Add(-1)
				l.Release()
			}
		})
	}
	all.Wait()
	if l.InFlight() != 0 {
		t.Errorf("%d in flight, want none", l.InFlight())
	}
}

func TestValidateKnowsTheRanges(t *testing.T) {
	for c, want := range map[concurrency.Config]string{
		{}:                             "",
		{Max: -1}:                      "",
		{Max: 1}:                       "",
		{Max: 1_000_000}:               "",
		{Max: 1_000_001}:               "max: 1000001 is above 1000000",
		{Adaptive: "on", Max: 5}:       "",
		{Adaptive: "off", Max: 5}:      "",
		{Adaptive: "often"}:            `adaptive: "often" is none of on, off`,
		{Min: -1}:                      "min: -1 is below 1",
		{Max: 5, Min: 6}:               "min: 6 is above max, which is 5",
		{Max: 5, Initial: 6}:           "initial: 6 is above max, which is 5",
		{Max: 50, Min: 10, Initial: 6}: "initial: 6 is below min, which is 10",
	} {
		if err := c.Validate(); fmt.Sprint(err) != want && (err != nil || want != "") {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

func Example() {
	limit := concurrency.New(concurrency.Config{Max: 1})
	fmt.Println("first stream:", limit.TryAcquire())
	fmt.Println("second stream:", limit.TryAcquire())
	limit.Release() // the body of the first has ended
	fmt.Println("in flight:", limit.InFlight())
	// Output:
	// first stream: true
	// second stream: false
	// in flight: 0
}

func BenchmarkTryAcquire(b *testing.B) {
	l := concurrency.New(concurrency.Config{Max: 1000})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if l.TryAcquire() {
				l.Release()
			}
		}
	})
}
