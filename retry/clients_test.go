package retry

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAClientIsRememberedWithItsBodyForTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClients(0, 0)
		body := Digest("/v1/x", []byte(`{"model":"m"}`))
		if c.Recent() || c.Seen("ada", body) {
			t.Error("something is remembered before anything failed")
		}
		c.Failed("ada", body, 0)
		if !c.Seen("ada", body) || !c.Recent() {
			t.Error("a failure is not remembered")
		}
		if c.Seen("bob", body) {
			t.Error("another client is taken for the one that failed")
		}
		if c.Seen("ada", Digest("/v1/y", []byte(`{"model":"m"}`))) {
			t.Error("the same body at another path is taken for a retry")
		}
		if c.Seen("ada", Digest("/v1/x", []byte(`{"model":"n"}`))) {
			t.Error("another body is taken for the one that failed")
		}
		time.Sleep(5 * time.Second)
		if !c.Seen("ada", body) {
			t.Error("forgotten before the ttl was over")
		}
		time.Sleep(time.Millisecond)
		if c.Seen("ada", body) || c.Recent() {
			t.Error("remembered after the ttl")
		}
	})
}

func TestAClientThatWasToldToWaitIsRememberedUntilItComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClients(0, 0)
		paced, other := Digest("/v1/x", []byte("paced")), Digest("/v1/x", []byte("other"))
		c.Failed("ada", paced, 20*time.Second)
		c.Failed("ada", other, 0)
		time.Sleep(25 * time.Second)
		if !c.Seen("ada", paced) || !c.Recent() {
			t.Error("a client that came 5 s after the wait it was told is not recognised")
		}
		if c.Seen("ada", other) {
			t.Error("one that was told no wait is remembered as long")
		}
		time.Sleep(time.Millisecond)
		if c.Seen("ada", paced) || c.Recent() {
			t.Error("remembered for longer than the wait and the ttl")
		}
	})
}

func TestTheOldestFailureIsForgottenFirstAndARepeatedOneIsNew(t *testing.T) {
	c := NewClients(3, time.Hour)
	digest := func(i int) [32]byte { return Digest("/v1/x", fmt.Append(nil, i)) }
	for i := range 3 {
		c.Failed("ada", digest(i), 0)
	}
	c.Failed("ada", digest(0), 0) // now 1 is the oldest
	c.Failed("ada", digest(3), 0)
	for i, want := range []bool{true, false, true, true} {
		if got := c.Seen("ada", digest(i)); got != want {
			t.Errorf("failure %d: remembered %v, want %v", i, got, want)
		}
	}
}

func TestTheOldPlaceOfARepeatedFailureDoesNotForgetTheNewOne(t *testing.T) {
	c := NewClients(4, time.Hour)
	for _, i := range []byte{0, 1, 0, 2, 3} { // 3 takes the place that 0 had first
		c.Failed("ada", [32]byte{i}, 0)
	}
	for i := range byte(4) {
		if !c.Seen("ada", [32]byte{i}) {
			t.Errorf("failure %d of four is forgotten", i)
		}
	}
}

func TestClientsAgreeWithANaiveLog(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			size := 1 + r.IntN(8)
			c := NewClients(size, time.Second)
			var log []failure // newest last, each once
			for range 500 {
				time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
				w := who{client: fmt.Sprint(r.IntN(3)), digest: [32]byte{byte(r.IntN(4))}}
				if r.IntN(2) == 0 {
					wait := time.Duration(r.IntN(3)) * 500 * time.Millisecond
					c.Failed(w.client, w.digest, wait)
					log = append(dropped(log, w), failure{w, time.Now().Add(wait + time.Second)})
					log = log[max(0, len(log)-size):]
				}
				want := false
				for _, f := range log {
					want = want || f.who == w && !time.Now().After(f.until)
				}
				// A repeated failure frees its old place only when the ring comes
				// round, so the memory may be shorter than size, never longer.
				if got := c.Seen(w.client, w.digest); got && !want {
					t.Fatalf("seed %d: %v is remembered, the log has forgotten it", seed, w)
				}
				if newest := len(log) > 0 && log[len(log)-1].who == w; newest && want && !c.Seen(w.client, w.digest) {
					t.Fatalf("seed %d: the newest failure is forgotten", seed)
				}
				if len(c.places) > size {
					t.Fatalf("seed %d: %d failures are kept, want at most %d", seed, len(c.places), size)
				}
			}
		})
	}
}

func dropped(log []failure, w who) []failure {
	var rest []failure
	for _, f := range log {
		if f.who != w {
			rest = append(rest, f)
		}
	}
	return rest
}

func TestClientsAreSafeForConcurrentUse(t *testing.T) {
	c := NewClients(16, time.Minute)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			client := fmt.Sprint(g)
			for i := range 500 {
				digest := [32]byte{byte(i)}
				c.Failed(client, digest, 0)
				c.Seen(client, digest)
				c.Recent()
			}
		})
	}
	all.Wait()
	if len(c.places) > 16 {
		t.Errorf("%d failures are kept, want at most 16", len(c.places))
	}
}

func BenchmarkSeen(b *testing.B) {
	c := NewClients(0, 0)
	digest := Digest("/v1/x", []byte("x"))
	for i := range 4096 {
		c.Failed("client", Digest("/v1/x", fmt.Append(nil, i)), 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Seen("client", digest)
	}
}
