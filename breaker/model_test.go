package breaker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
)

// model says what a Breaker must do, in the plainest way: it keeps every event
// and counts them anew each time. It knows nothing of doubling (its schedules
// are shorter than an old outage may be) and of moves by hand.
type model struct {
	c      breaker.Config
	rand   *rand.Rand
	state  breaker.State
	origin string
	until  time.Time // of Open
	era    int
	epoch  time.Time // of the window's steps
	events []event   // since the era began to count
	row    int
	broken int
	given  int
	good   int
	closed time.Time // by probes; zero: no ramp
	credit float64
	all    []*attempt
}

type event struct {
	at                   time.Time
	total, failed, timed int
	slow                 int
}

type attempt struct {
	permit             *breaker.Permit
	era, number        int
	lease              time.Time // of a probe
	timed, good, ended bool
}

func (m *model) now() breaker.State {
	if m.state == breaker.Open && !time.Now().Before(m.until) {
		return breaker.HalfOpen
	}
	return m.state
}

func (m *model) sum() (s event) {
	step := m.c.Window / 10
	tick := func(t time.Time) int64 { return int64(t.Sub(m.epoch) / step) }
	for _, e := range m.events {
		if tick(e.at) > tick(time.Now())-10 {
			s.total, s.failed, s.timed, s.slow = s.total+e.total, s.failed+e.failed, s.timed+e.timed, s.slow+e.slow
		}
	}
	return s
}

func (m *model) probing() (n int) {
	for _, a := range m.all {
		if a.era == m.era && a.lease.After(time.Now()) {
			n++
		}
	}
	return n
}

func (m *model) move(to breaker.State) {
	m.state = to
	m.era++
	m.good = 0
	if to != breaker.Open {
		m.events, m.row, m.broken, m.epoch = nil, 0, 0, time.Now()
	}
}

func (m *model) open(cause string) {
	if cause != breaker.CauseProbe {
		m.origin = cause
	}
	base := m.c.OpenFor
	m.until = time.Now().Add(base/2 + time.Duration(m.rand.Float64()*float64(base/2)))
	m.move(breaker.Open)
}

// admit returns what Admit must return: nil, ErrOpen or ErrRamp.
func (m *model) admit(force bool) error {
	if m.state != m.now() {
		m.move(m.now())
	}
	switch m.state {
	case breaker.Open:
		return breaker.ErrOpen
	case breaker.HalfOpen:
		if m.probing() >= m.c.Probes {
			return breaker.ErrOpen
		}
	case breaker.Closed:
		gone := time.Since(m.closed)
		if m.closed.IsZero() || gone >= m.c.Ramp || force {
			break
		}
		if m.credit += 0.25 + 0.75*float64(gone)/float64(m.c.Ramp); m.credit < 1 {
			return breaker.ErrRamp
		}
		m.credit--
	}
	m.given++
	return nil
}

func (m *model) add(e event) {
	e.at = time.Now()
	m.events = append(m.events, e)
}

// failed opens a closed circuit that has failed too often.
func (m *model) failed() {
	switch s := m.sum(); {
	case m.row >= m.c.Consecutive:
		m.open(breaker.CauseConsecutive)
	case s.total >= m.c.MinCalls && s.failed*100 >= int(m.c.Ratio*100)*s.total:
		m.open(breaker.CauseRatio)
	}
}

func (m *model) speed(a *attempt, slow bool) {
	if a.timed {
		return
	}
	a.timed = true
	if !slow {
		m.add(event{timed: 1})
		return
	}
	m.add(event{timed: 1, slow: 1})
	if m.state == breaker.HalfOpen && m.origin == breaker.CauseSlow {
		m.open(breaker.CauseProbe)
		return
	}
	if s := m.sum(); m.state == breaker.Closed && s.timed >= m.c.MinCalls && s.slow*100 >= int(m.c.SlowRatio*100)*s.timed {
		m.open(breaker.CauseSlow)
	}
}

func (m *model) prove(a *attempt) {
	if a.good {
		return
	}
	a.good = true
	if m.good++; m.good >= m.c.Successes {
		m.move(breaker.Closed)
		m.closed, m.credit = time.Now(), 0.75
	}
}

func (m *model) firstToken(a *attempt) {
	a.lease = time.Time{}
	if a.ended || a.era != m.era {
		return
	}
	m.speed(a, false)
	if m.state == breaker.HalfOpen {
		m.prove(a)
	}
}

func (m *model) slow(a *attempt) {
	if !a.ended && a.era == m.era {
		m.speed(a, true)
	}
}

func (m *model) end(a *attempt, o call.Outcome) {
	a.lease = time.Time{}
	if a.ended || a.era != m.era {
		a.ended = true
		return
	}
	a.ended = true
	effect := o.Class.Row().Breaker
	era := m.era
	switch {
	case o.Superseded:
	case o.Class == call.Canceled:
		if o.Slow {
			m.speed(a, true)
		}
	case effect == call.BreakerNeutral:
	case m.state == breaker.HalfOpen && effect != call.BreakerSuccess:
		m.open(breaker.CauseProbe)
	case m.state == breaker.HalfOpen:
		if o.Slow {
			m.speed(a, true)
		}
		if m.era == era {
			m.prove(a)
		}
	case effect == call.BreakerSuccess:
		m.add(event{total: 1})
		m.row = 0
		m.speed(a, o.Slow)
	case effect == call.BreakerFailure:
		m.add(event{total: 1, failed: 1})
		connection := o.Sent && (o.Class == call.Transport || o.Class == call.Truncated)
		if !connection || a.number > m.broken {
			m.row++
		}
		if connection && a.number > m.broken {
			m.broken = m.given
		}
		m.speed(a, o.Slow)
		if m.era == era {
			m.failed()
		}
	}
}

// schedule plays random operations on a Breaker and its model and compares
// them after each.
type schedule struct {
	t     *testing.T
	r     *rand.Rand
	b     *breaker.Breaker
	m     *model
	trace []string
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	c := breaker.Config{
		Consecutive: 2 + r.IntN(5), Ratio: []float64{0.2, 0.5, 1}[r.IntN(3)], MinCalls: 3 + r.IntN(8),
		Window: time.Duration(1+r.IntN(60)) * time.Second, SlowRatio: []float64{0.5, 0.8, 1}[r.IntN(3)],
		Probes: 1 + r.IntN(3), Successes: 1 + r.IntN(4), MaxOpen: -1,
	}.WithDefaults()
	jitter := func() *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }
	return &schedule{
		t: t, r: r,
		b: breaker.New("primary", c, breaker.Options{Rand: jitter().Float64}),
		m: &model{c: c, rand: jitter(), epoch: time.Now()},
	}
}

func (s *schedule) play(steps int) {
	for range steps {
		s.step(s.r.IntN(100), s.r.IntN(1<<16))
		s.compare()
	}
	for _, a := range s.m.all {
		s.end(a, s.outcome(s.r.IntN(1<<16)))
		s.compare()
	}
	if got := s.b.Snapshot().Probing; got != 0 {
		s.fail("every permit has ended and %d places are taken", got)
	}
	s.recover()
}

// step plays one operation, chosen by two numbers.
func (s *schedule) step(op, pick int) {
	var a *attempt
	if n := len(s.m.all); n > 0 {
		a = s.m.all[max(0, n-1-pick%12)] // mostly recent ones
	}
	switch {
	case op < 35 || a == nil:
		s.admit(op%3 == 0)
	case op < 45:
		s.note("first token of %d", a.number)
		a.permit.FirstToken()
		s.m.firstToken(a)
	case op < 52:
		s.note("slow %d", a.number)
		a.permit.Slow()
		s.m.slow(a)
	case op < 85:
		s.end(a, s.outcome(pick/16))
	default:
		d := time.Duration(pick%1000+1) * [...]time.Duration{1, time.Millisecond, 40 * time.Millisecond}[pick%3]
		s.note("sleep %s", d)
		time.Sleep(d)
	}
}

func (s *schedule) outcome(pick int) call.Outcome {
	classes := call.Classes()
	c := classes[pick%len(classes)]
	if pick&64 != 0 { // more of the two that matter
		c = []call.Class{call.OK, call.ProviderFault}[pick&1]
	}
	return call.Outcome{Verdict: call.Verdict{Class: c}, Sent: pick&128 != 0, Slow: pick&256 != 0, Superseded: pick&0xe00 == 0}
}

func (s *schedule) admit(force bool) {
	want := s.m.admit(force)
	p, err := s.b.Admit(force)
	s.note("admit %v: %v", force, err)
	if !errors.Is(err, want) || (want == nil) != (p != nil) {
		s.fail("Admit gives %v, want %v", err, want)
	}
	if p == nil {
		return
	}
	a := &attempt{permit: p, era: s.m.era, number: s.m.given}
	if s.m.state == breaker.HalfOpen {
		a.lease = time.Now().Add(s.m.c.Lease)
	}
	s.m.all = append(s.m.all, a)
}

func (s *schedule) end(a *attempt, o call.Outcome) {
	s.note("end %d: %s sent %v slow %v superseded %v", a.number, o.Class, o.Sent, o.Slow, o.Superseded)
	a.permit.End(o)
	s.m.end(a, o)
}

func (s *schedule) compare() {
	got, sum := s.b.Snapshot(), s.m.sum()
	if got.State != s.m.now() {
		s.fail("state %s, want %s", got.State, s.m.now())
	}
	if got.Total != sum.total || got.Failures != sum.failed || got.Timed != sum.timed || got.Slow != sum.slow || got.Consecutive != s.m.row {
		s.fail("counts %+v, want %+v and %d in a row", got, sum, s.m.row)
	}
	if got.Probing != s.m.probing() || got.Probing > s.m.c.Probes {
		s.fail("%d probes under way, want %d and at most %d", got.Probing, s.m.probing(), s.m.c.Probes)
	}
	if got.State == breaker.Open && !got.OpenUntil.Equal(s.m.until) {
		s.fail("open until %s, want %s", got.OpenUntil, s.m.until)
	}
	ok, wait := s.b.Peek()
	if ok != (wait == 0) {
		s.fail("Peek says %v and %s", ok, wait)
	}
	if left := s.m.until.Sub(time.Now()); got.State == breaker.Open && wait != left {
		s.fail("Peek says %s, want %s", wait, left)
	}
}

// recover plays a target that works again: whatever happened, it must come
// back within one open time, and to its full share.
func (s *schedule) recover() {
	time.Sleep(s.m.c.OpenFor)
	for range s.m.c.Successes {
		p, err := s.b.Admit(true)
		if err != nil {
			s.fail("the target works again and is refused: %v", err)
			return
		}
		p.End(outcome(call.OK))
	}
	if got := s.b.State(); got != breaker.Closed {
		s.fail("the target works again and is %s", got)
	}
	time.Sleep(s.m.c.Ramp)
	if _, err := s.b.Admit(false); err != nil {
		s.fail("the ramp is over: %v", err)
	}
}

func (s *schedule) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

func (s *schedule) fail(format string, args ...any) {
	s.t.Helper()
	for _, line := range s.trace[max(0, len(s.trace)-20):] {
		s.t.Log(line)
	}
	s.t.Fatalf(format, args...)
}

func TestRandomSchedulesAgreeWithTheModel(t *testing.T) {
	seeds := uint64(1200)
	if testing.Short() {
		seeds = 200
	}
	seen := map[breaker.State]int{}
	synctest.Test(t, func(t *testing.T) {
		for seed := range seeds {
			s := newSchedule(t, seed)
			s.note("seed %d", seed)
			s.play(80)
			seen[s.m.state]++
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	})
	for _, state := range []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open} {
		if seen[state] < int(seeds)/50 {
			t.Errorf("only %d of %d schedules end %s: they test too little", seen[state], seeds, state)
		}
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add(uint64(1), []byte("admit and end and admit and fail"))
	f.Add(uint64(7), []byte{0, 0, 0, 60, 4, 1, 0, 0, 0, 60, 4, 1, 0, 0, 0, 90, 255, 255, 0, 0, 0, 60, 4, 0})
	f.Fuzz(func(t *testing.T, seed uint64, ops []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(t, seed)
			for ; len(ops) >= 3; ops = ops[3:] {
				s.step(int(ops[0])%100, int(ops[1])<<8|int(ops[2]))
				s.compare()
			}
		})
	})
}

func BenchmarkAttempt(b *testing.B) {
	br := breaker.New("primary", breaker.Config{}, breaker.Options{})
	ok := outcome(call.OK)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := br.Admit(false)
			if err != nil {
				b.Fatal(err)
			}
			p.FirstToken()
			p.End(ok)
		}
	})
}

func BenchmarkPeek(b *testing.B) {
	br := breaker.New("primary", breaker.Config{}, breaker.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if ok, _ := br.Peek(); !ok {
			b.Fatal("open")
		}
	}
}
