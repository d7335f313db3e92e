package cache_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
)

func keyOf(parts ...string) cache.Key {
	d := cache.NewDigest()
	for _, p := range parts {
		d.Text(p)
	}
	return d.Key()
}

func answer(size int) *cache.Answer {
	return &cache.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: make([]byte, size), Made: time.Now()}
}

func TestAnAnswerIsFreshThenStaleThenGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cache.NewStore(cache.Config{TTL: time.Minute, StaleIfError: time.Hour})
		k := keyOf("a")
		s.Put(k, answer(10))
		for _, c := range []struct {
			after time.Duration
			there bool
			fresh bool
		}{{0, true, true}, {59 * time.Second, true, true}, {time.Second, true, false}, {59*time.Minute + 59*time.Second, true, false}, {time.Second, false, false}} {
			time.Sleep(c.after)
			a, age, fresh := s.Get(k)
			if (a != nil) != c.there || fresh != c.fresh {
				t.Errorf("after another %s: %v, fresh %t, %s old", c.after, a != nil, fresh, age)
			}
			if a != nil && age != time.Since(a.Made) {
				t.Errorf("%s old, and made %s ago", age, time.Since(a.Made))
			}
		}
		if n := s.Contents(); n.Entries != 0 || n.Bytes != 0 {
			t.Errorf("what is of no use takes room: %+v", n)
		}
	})
}

func TestAnswersAreNeverFreshWithoutATTL(t *testing.T) {
	s := cache.NewStore(cache.Config{StaleIfError: time.Hour})
	s.Put(keyOf("a"), answer(10))
	if a, _, fresh := s.Get(keyOf("a")); a == nil || fresh {
		t.Errorf("%v, fresh %t", a, fresh)
	}
}

func TestNothingIsKeptUnlessAskedFor(t *testing.T) {
	for _, c := range []cache.Config{{}, {Share: cache.On}, {TTL: time.Minute, Off: true}, {TTL: -1, StaleIfError: -1}} {
		s := cache.NewStore(c)
		if s.Put(keyOf("a"), answer(10)) {
			t.Errorf("%+v keeps answers", c)
		}
	}
}

func TestTheAnswerUsedLongestAgoMakesRoom(t *testing.T) {
	s := cache.NewStore(cache.Config{TTL: time.Hour, MaxEntries: 3})
	for _, name := range []string{"a", "b", "c"} {
		s.Put(keyOf(name), answer(10))
	}
	s.Get(keyOf("a"))
	s.Put(keyOf("d"), answer(10))
	for name, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if a, _, _ := s.Get(keyOf(name)); (a != nil) != want {
			t.Errorf("%s is there: %t", name, a != nil)
		}
	}
	if n := s.Contents(); n.Evicted != 1 || n.Kept != 4 || n.Entries != 3 {
		t.Errorf("%+v", n)
	}
}

func TestTurningOffForgetsEverything(t *testing.T) {
	s := cache.NewStore(cache.Config{TTL: time.Hour})
	s.Put(keyOf("a"), answer(10))
	s.Reconfigure(cache.Config{TTL: time.Hour, Off: true})
	s.Reconfigure(cache.Config{TTL: time.Hour})
	if a, _, _ := s.Get(keyOf("a")); a != nil {
		t.Error("still there")
	}
}

// Any sequence of questions and answers: what comes back is what was put under
// that key last, no older than it may be, and the bounds hold at every step.
func TestAnyUseKeepsTheBoundsAndNeverMixesAnswersUp(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := cache.Config{TTL: time.Minute, StaleIfError: time.Minute, MaxEntries: 1 + random.IntN(20), MaxBytes: 64<<10 + random.Int64N(64<<10), MaxEntry: 32 << 10}
			s := cache.NewStore(c)
			last := map[string]*cache.Answer{}
			for step := range 400 {
				time.Sleep(time.Duration(random.IntN(int(3 * time.Second))))
				name := fmt.Sprint(random.IntN(40))
				if random.IntN(2) == 0 {
					a := answer(random.IntN(40 << 10))
					if s.Put(keyOf(name), a) {
						last[name] = a
					} else {
						delete(last, name)
					}
				} else if a, age, fresh := s.Get(keyOf(name)); a != nil {
					if a != last[name] || age >= 2*time.Minute || fresh != (age < time.Minute) {
						t.Fatalf("seed %d, step %d: %s is %p, %s old, fresh %t; want %p", seed, step, name, a, age, fresh, last[name])
					}
				}
				if n := s.Contents(); n.Entries > c.MaxEntries || n.Bytes > c.MaxBytes || n.Bytes < 0 {
					t.Fatalf("seed %d, step %d: %+v, more than %+v", seed, step, n, c)
				}
			}
		})
	}
}

func TestManyMayUseAStoreAtOnce(t *testing.T) {
	s := cache.NewStore(cache.Config{TTL: time.Hour, MaxEntries: 50, MaxBytes: 1 << 20})
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 2))
			for range 2000 {
				name := fmt.Sprint(random.IntN(100))
				if random.IntN(2) == 0 {
					s.Put(keyOf(name), &cache.Answer{Body: []byte(name), Made: time.Now()})
				} else if a, _, _ := s.Get(keyOf(name)); a != nil && string(a.Body) != name {
					t.Errorf("%s has the answer of %s", name, a.Body)
				}
				if random.IntN(200) == 0 {
					s.Reconfigure(cache.Config{TTL: time.Hour, MaxEntries: 20 + random.IntN(50), MaxBytes: 1 << 20})
				}
			}
		})
	}
	all.Wait()
}

// FuzzKeysOfDifferentCallsDiffer splits bytes into two lists of parts; different
// lists must never have the same Key, equal ones always.
func FuzzKeysOfDifferentCallsDiffer(f *testing.F) {
	f.Add([]byte("ab|c"), []byte("a|bc"))
	f.Add([]byte(`{"a":1}`), []byte(`{"a": 1}`))
	f.Add([]byte("|"), []byte(""))
	f.Add(binary.BigEndian.AppendUint64(nil, 1), []byte("|"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, two := strings.Split(string(a), "|"), strings.Split(string(b), "|")
		if same := string(a) == string(b); (keyOf(one...) == keyOf(two...)) != same {
			t.Errorf("%q and %q: the same %t, the same key %t", one, two, same, !same)
		}
		d := cache.NewDigest()
		for _, p := range one {
			d.Bytes([]byte(p))
		}
		if d.Key() != keyOf(one...) {
			t.Errorf("%q: bytes and text differ", one)
		}
	})
}

func TestWhatIsKeptTakesNoMoreMemoryThanItMay(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	s := cache.NewStore(cache.Config{TTL: time.Hour, MaxBytes: 8 << 20, MaxEntries: 1_000_000})
	before := heap()
	for i := range 200_000 {
		s.Put(keyOf(fmt.Sprint(i)), answer(i%500))
	}
	for i := range 5000 {
		s.Put(keyOf(fmt.Sprint("large ", i)), answer(100<<10))
	}
	for i := range 200_000 {
		s.Put(keyOf(fmt.Sprint(i)), answer(i%500))
	}
	if grown := heap() - before; grown > 12<<20 {
		t.Errorf("%+v takes %d bytes", s.Contents(), grown)
	}
	runtime.KeepAlive(s)
}
