package ratelimit_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// model is one key of one limit, written as plainly as it can be said: fractions
// that are exact, no sharing, no forgetting.
type model struct {
	c           ratelimit.Config
	used        *big.Rat // gcra: points in use; window: points used in it
	at          time.Time
	windowEnds  time.Time
	blockedTill time.Time
}

func newModel(c ratelimit.Config) *model {
	return &model{c: c.WithDefaults(), used: new(big.Rat), at: time.Now()}
}

func (m *model) pass() {
	now := time.Now()
	if !m.blockedTill.IsZero() && !now.Before(m.blockedTill) {
		m.blockedTill = time.Time{}
		if m.c.Compat {
			m.used.SetInt64(0)
			m.windowEnds = time.Time{}
		}
	}
	if m.c.Mode == ratelimit.ModeWindow {
		frozen := m.c.Compat && !m.blockedTill.IsZero()
		if !m.windowEnds.IsZero() && !now.Before(m.windowEnds) && !frozen {
			m.used.SetInt64(0)
			m.windowEnds = time.Time{}
		}
		return
	}
	back := big.NewRat(int64(now.Sub(m.at)), int64(m.c.Duration))
	m.used.Sub(m.used, back.Mul(back, big.NewRat(m.c.Points, 1)))
	if m.used.Sign() < 0 {
		m.used.SetInt64(0)
	}
	m.at = now
}

// fits says whether a cost may be taken now; charge takes it.
func (m *model) fits(cost int64) bool {
	m.pass()
	switch {
	case !m.blockedTill.IsZero():
		return false
	case cost == 0:
		return true
	case cost > m.c.Burst:
		return m.c.Mode != ratelimit.ModeWindow && m.used.Sign() == 0
	}
	return new(big.Rat).Add(m.used, big.NewRat(cost, 1)).Cmp(big.NewRat(m.c.Burst, 1)) <= 0
}

func (m *model) charge(cost int64) {
	if cost > 0 && m.c.Mode == ratelimit.ModeWindow && m.windowEnds.IsZero() {
		m.windowEnds = time.Now().Add(m.c.Duration)
	}
	m.used.Add(m.used, big.NewRat(cost, 1))
	if most := big.NewRat(11*m.c.Burst, 1); m.used.Cmp(most) > 0 {
		m.used.Set(most)
	}
}

func (m *model) refuse(cost int64) {
	now := time.Now()
	if !m.blockedTill.IsZero() {
		return
	}
	if m.c.Compat {
		m.charge(cost)
	}
	if m.c.BlockFor == 0 {
		return
	}
	m.blockedTill = now.Add(m.c.BlockFor)
	if until := now.Add(m.wait(cost)); !m.c.Compat && until.After(m.blockedTill) {
		m.blockedTill = until
	}
}

// wait is when the cost would fit if only time passed.
func (m *model) wait(cost int64) time.Duration {
	wait := max(0, time.Until(m.blockedTill))
	if m.c.Mode == ratelimit.ModeWindow {
		if m.c.Compat && !m.blockedTill.IsZero() {
			return wait
		}
		return max(wait, time.Until(m.windowEnds))
	}
	missing := new(big.Rat).Set(m.used)
	if cost <= m.c.Burst {
		missing.Add(missing, big.NewRat(cost-m.c.Burst, 1))
	}
	missing.Mul(missing, big.NewRat(int64(m.c.Duration), m.c.Points))
	up, rest := new(big.Int).DivMod(missing.Num(), missing.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		up.Add(up, big.NewInt(1))
	}
	return max(wait, time.Duration(up.Int64()))
}

func (m *model) remaining() int64 {
	if !m.blockedTill.IsZero() {
		return 0
	}
	left := new(big.Rat).Sub(big.NewRat(m.c.Burst, 1), m.used)
	if left.Sign() < 0 {
		return 0
	}
	return new(big.Int).Quo(left.Num(), left.Denom()).Int64()
}

// randomConfig draws a limit, of those that people write and those that divide
// badly.
func randomConfig(r *rand.Rand) ratelimit.Config {
	c := ratelimit.Config{
		Points:   []int64{1, 2, 3, 7, 20, 100, 997, 200_000}[r.IntN(8)],
		Duration: []time.Duration{time.Second, time.Minute, time.Hour, 7 * time.Millisecond, 999_999_937}[r.IntN(5)],
		BlockFor: []time.Duration{0, 0, time.Second, 90 * time.Second}[r.IntN(4)],
	}
	if r.IntN(2) == 0 {
		c.Mode = ratelimit.ModeWindow
		c.Compat = r.IntN(3) == 0
	} else if r.IntN(2) == 0 {
		c.Burst = 1 + r.Int64N(2*c.Points)
	}
	return c
}

// both asks two limits and their models for one cost, and compares everything
// they say.
func both(t *testing.T, limits []*ratelimit.Limiter, models []map[string]*model, keys []string, costs []int64) {
	t.Helper()
	asks := make([]ratelimit.Ask, len(limits))
	want, refused := true, make([]bool, len(limits))
	for i, l := range limits {
		asks[i] = ratelimit.Ask{Limiter: l, Key: keys[i], Cost: costs[i]}
		if models[i][keys[i]] == nil {
			models[i][keys[i]] = newModel(l.Config())
		}
		refused[i] = !models[i][keys[i]].fits(costs[i])
		want = want && !refused[i]
	}
	got := ratelimit.Take(asks)
	if got != want {
		t.Fatalf("Take(%v of %v) said %v, the model %v", costs, keys, got, want)
	}
	for i := range asks {
		m, a := models[i][keys[i]], asks[i]
		if refused[i] {
			m.refuse(costs[i])
			if a.Wait != m.wait(costs[i]) {
				t.Fatalf("%+v: cost %d: wait %s, the model %s", m.c, costs[i], a.Wait, m.wait(costs[i]))
			}
		} else if want {
			m.charge(costs[i])
		}
		if a.OK == refused[i] || a.Remaining != m.remaining() {
			t.Fatalf("%+v: cost %d: ok %v with %d left, the model %v with %d", m.c, costs[i], a.OK, a.Remaining, !refused[i], m.remaining())
		}
	}
}

func FuzzTheLimiterAgreesWithAPlainModel(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, []byte("\x01\x20\x00\xff\x10\x03\x7f\x02\x80\x01\x05\x01\x01\x01\xf0\x00"))
	}
	f.Fuzz(func(t *testing.T, seed uint64, steps []byte) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			limits := []*ratelimit.Limiter{ratelimit.New("a", randomConfig(r)), ratelimit.New("b", randomConfig(r))}
			models := []map[string]*model{{}, {}}
			for _, step := range steps[:min(len(steps), 300)] {
				if step >= 0x80 {
					time.Sleep(time.Duration(r.Int64N(int64(limits[step&1].Config().Duration))))
				}
				costs := []int64{int64(step & 3), 1 + r.Int64N(max(1, limits[1].Config().Burst/3))}
				keys := []string{string('a' + rune(step>>2&1)), string('a' + rune(step>>3&1))}
				both(t, limits, models, keys, costs)
			}
		})
	})
}

// grant is one call that was let through.
type grant struct {
	at   time.Duration
	cost int64
}

func TestTenThousandSchedulesNeverOverAdmit(t *testing.T) {
	schedules := 10_000
	if testing.Short() {
		schedules = 500
	}
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(schedules) {
			r := rand.New(rand.NewPCG(seed, 40))
			c := randomConfig(r)
			if c.Compat { // its box replaces the window: more than the limit is what it promises
				c.Compat = false
			}
			if problem := overAdmits(c, schedule(r, c)); problem != "" {
				t.Fatalf("seed %d: %+v: %s", seed, c, problem)
			}
		}
	})
}

// schedule lets a few callers loose on one key and returns what was let through,
// in order.
func schedule(r *rand.Rand, c ratelimit.Config) []grant {
	l := ratelimit.New("limit", c)
	other := ratelimit.New("other", randomConfig(r)) // refuses some of them
	began := time.Now()
	var mu sync.Mutex
	var grants []grant
	var callers sync.WaitGroup
	for range 1 + r.IntN(4) {
		own := rand.New(rand.NewPCG(r.Uint64(), 1))
		callers.Go(func() {
			for range 12 {
				time.Sleep(time.Duration(own.Int64N(int64(c.Duration)/4 + 1)))
				cost := 1 + own.Int64N(max(1, l.Config().Burst/4))
				asks := []ratelimit.Ask{{Limiter: l, Key: "k", Cost: cost}, {Limiter: other, Key: "k", Cost: 1}}
				mu.Lock() // so that the order of grants is that of the decisions
				if ratelimit.Take(asks) {
					grants = append(grants, grant{time.Since(began), cost})
				}
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return grants
}

// overAdmits looks at every interval that begins and ends with a call.
func overAdmits(c ratelimit.Config, grants []grant) string {
	c = c.WithDefaults()
	var windowEnds time.Duration
	var inWindow int64
	for i, first := range grants {
		if c.Mode == ratelimit.ModeWindow {
			if first.at >= windowEnds {
				windowEnds, inWindow = first.at+c.Duration, 0
			}
			if inWindow += first.cost; inWindow > c.Points {
				return fmt.Sprintf("%d in the window that ends at %s", inWindow, windowEnds)
			}
			continue
		}
		var sum int64
		for _, g := range grants[i:] {
			sum += g.cost
			most := float64(c.Burst) + float64(c.Points)*float64(g.at-first.at)/float64(c.Duration)
			if float64(sum) > most+1e-6 { // points are whole
				return fmt.Sprintf("%d between %s and %s, at most %f", sum, first.at, g.at, most)
			}
		}
	}
	return ""
}

func TestKeysThatShareAMeterNeverGetMoreThanItGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 6))
			c := randomConfig(r)
			c.Mode, c.Compat = ratelimit.ModeGCRA, false // a key that shares a window does not choose when it begins
			c.MaxKeys, c.BlockFor = 8, 0
			l := ratelimit.New("ip", c)
			models := map[string]*model{}
			for range 600 {
				key := fmt.Sprint(r.IntN(100))
				if models[key] == nil {
					models[key] = newModel(c)
				}
				m := models[key]
				fits := m.fits(1)
				if take(l, key, 1).OK {
					if !fits {
						t.Fatalf("seed %d: %+v: key %s got more than its limit", seed, c, key)
					}
					m.charge(1)
				}
				time.Sleep(time.Duration(r.Int64N(int64(c.Duration)/100 + 1)))
			}
		}
	})
}
