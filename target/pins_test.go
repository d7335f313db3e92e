package target

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func wantPin(t *testing.T, p *Pool, id, target, key string) {
	t.Helper()
	gotTarget, gotKey, ok := p.Pinned(id)
	if ok != (target != "") || gotTarget != target || gotKey != key {
		t.Errorf("%q: got %q, %q, %v; want %q, %q", id, gotTarget, gotKey, ok, target, key)
	}
}

func TestAPinLastsADayFromItsLastUse(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		p.Pin("resp_1", "a", "k1")
		p.Pin("resp_2", "a", "k1")
		p.Pin("resp_2", "b", "")
		time.Sleep(20 * time.Hour)
		wantPin(t, p, "resp_1", "a", "k1")
		time.Sleep(20 * time.Hour)
		wantPin(t, p, "resp_1", "a", "k1")
		wantPin(t, p, "resp_2", "", "")
		time.Sleep(24 * time.Hour)
		wantPin(t, p, "resp_1", "", "")
		if n := len(p.pins.byID) + p.pins.used.Len(); n != 0 {
			t.Errorf("%d expired entries are kept", n)
		}
	})
}

func TestAPinIsReplacedByANewerOne(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		p.Pin("file_1", "a", "k1")
		p.Pin("file_1", "b", "")
		wantPin(t, p, "file_1", "b", "")
	})
}

func TestIdsThatAreNoneAreNotPinned(t *testing.T) {
	bubble(t, func(t *testing.T, p *Pool, _ *[]told) {
		huge := strings.Repeat("x", maxPinID+1)
		p.Pin("", "a", "k1")
		p.Pin(huge, "a", "k1")
		p.Pin(huge[1:], "a", "k1")
		wantPin(t, p, "", "", "")
		wantPin(t, p, huge, "", "")
		wantPin(t, p, huge[1:], "a", "k1")
	})
}

func TestFewerPinsForgetTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(Config{}, Options{})
		for i := range 10 {
			p.Pin(fmt.Sprint(i), "a", "k1")
		}
		wantPin(t, p, "0", "a", "k1")
		p.Reconfigure(Config{Pins: 2})
		wantPin(t, p, "0", "a", "k1")
		wantPin(t, p, "9", "a", "k1")
		wantPin(t, p, "8", "", "")
	})
}

func TestPinsAgreeWithANaiveList(t *testing.T) {
	type entry struct {
		id, target string
		used       time.Time
	}
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 8))
			size := 1 + r.IntN(6)
			p := NewPool(Config{Pins: size, PinTTL: time.Minute}, Options{})
			var list []entry // least recently used first
			for i := range 400 {
				time.Sleep(time.Duration(r.IntN(15)) * time.Second)
				list = slices.DeleteFunc(list, func(e entry) bool { return time.Since(e.used) >= time.Minute })
				id := fmt.Sprint(r.IntN(10))
				at := slices.IndexFunc(list, func(e entry) bool { return e.id == id })
				known := entry{id, "", time.Now()}
				if at >= 0 {
					known.target = list[at].target
					list = slices.Delete(list, at, at+1)
				}
				if r.IntN(2) == 0 {
					known.target = fmt.Sprint("t", i)
					p.Pin(id, known.target, "k")
				} else if target, _, _ := p.Pinned(id); target != known.target {
					t.Fatalf("seed %d: %s is pinned to %q, want %q", seed, id, target, known.target)
				}
				if known.target != "" {
					list = append(list, known)
				}
				list = list[max(0, len(list)-size):]
				if len(p.pins.byID) > size {
					t.Fatalf("seed %d: %d pins, want at most %d", seed, len(p.pins.byID), size)
				}
			}
		})
	}
}

func TestConfigDefaultsAreValidAndMistakesAreNamed(t *testing.T) {
	full := Config{}.WithDefaults()
	if full != full.WithDefaults() {
		t.Error("defaults change when applied again")
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	if err := (Config{AuthEject: -1, MaxPause: -1}).Validate(); err != nil {
		t.Errorf("off: %v", err)
	}
	err := Config{AuthEject: 25 * time.Hour, QuotaEject: 25 * time.Hour, NotFoundEject: 25 * time.Hour, MaxPause: 25 * time.Hour,
		Pins: -1, PinTTL: time.Millisecond}.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{"auth_eject: 25h0m0s is above 24h", "quota_eject: 25h0m0s is above 24h", "not_found_eject: 25h0m0s is above 24h",
		"max_pause: 25h0m0s is above 24h", "pins: -1 is not between 1 and 10000000", "pin_ttl: 1ms is not between 1s and 30 days"}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkPinned(b *testing.B) {
	p := NewPool(Config{}, Options{})
	for i := range 10_000 {
		p.Pin(fmt.Sprint("resp_", i), "a", "k1")
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Pinned("resp_5000")
	}
}
