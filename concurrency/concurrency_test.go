package concurrency_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
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

func TestAGateReleasesOnce(t *testing.T) {
	l := concurrency.New(concurrency.Config{Max: 2})
	l.TryAcquire()
	end, ok := l.Gate()
	if !ok {
		t.Fatal("no permit from the gate")
	}
	if _, ok := l.Gate(); ok {
		t.Fatal("a third permit")
	}
	for range 3 {
		end(call.Outcome{})
	}
	if l.InFlight() != 1 || l.Bugs() != 0 {
		t.Errorf("%d in flight, %d bugs; want 1 and 0", l.InFlight(), l.Bugs())
	}
}

func TestAPermitThatWasNotTakenIsNotBelieved(t *testing.T) {
	l := concurrency.New(concurrency.Config{Max: 1})
	l.Release()
	l.Release()
	if l.InFlight() != 0 || l.Bugs() != 2 {
		t.Errorf("%d in flight, %d bugs; want 0 and 2", l.InFlight(), l.Bugs())
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
	for seed := range 16 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(seed), 0))
			for range 5000 {
				end, ok := l.Gate()
				if !ok {
					continue
				}
				if n := inside.Add(1); n > limit {
					t.Errorf("%d inside, want at most %d", n, limit)
				}
				inside.Add(-1)
				for range 1 + r.IntN(2) {
					end(call.Outcome{})
				}
			}
		})
	}
	all.Wait()
	if l.InFlight() != 0 || l.Bugs() != 0 {
		t.Errorf("%d in flight, %d bugs; want none", l.InFlight(), l.Bugs())
	}
}

func TestValidateKnowsTheRange(t *testing.T) {
	for n, ok := range map[int]bool{-1: true, 0: true, 1: true, 1_000_000: true, 1_000_001: false} {
		if err := (concurrency.Config{Max: n}).Validate(); (err == nil) != ok {
			t.Errorf("max %d: %v", n, err)
		}
	}
}

func Example() {
	limit := concurrency.New(concurrency.Config{Max: 1})
	end, ok := limit.Gate()
	fmt.Println("first stream:", ok)
	_, ok = limit.Gate()
	fmt.Println("second stream:", ok)
	end(call.Outcome{}) // the body of the first has ended
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
