package concurrency_test

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/internal/experiment"
)

// seeds are those of the simulations: few, or as many as HOLDFAST_SEEDS says.
func seeds(t *testing.T) uint64 {
	n, _ := experiment.Seeds(t, 2)
	return n
}

// agenda runs what is due in the bubble's time, in one goroutine.
type agenda struct {
	due []appointment
	n   int
}

type appointment struct {
	at time.Time
	n  int
	do func()
}

func (a *agenda) Len() int { return len(a.due) }
func (a *agenda) Less(i, j int) bool {
	if x, y := a.due[i], a.due[j]; !x.at.Equal(y.at) {
		return x.at.Before(y.at)
	}
	return a.due[i].n < a.due[j].n
}
func (a *agenda) Swap(i, j int) { a.due[i], a.due[j] = a.due[j], a.due[i] }
func (a *agenda) Push(x any)    { a.due = append(a.due, x.(appointment)) }
func (a *agenda) Pop() any {
	last := a.due[len(a.due)-1]
	a.due = a.due[:len(a.due)-1]
	return last
}

func (a *agenda) in(d time.Duration, do func()) {
	a.n++
	heap.Push(a, appointment{time.Now().Add(d), a.n, do})
}

func (a *agenda) run(until time.Time) {
	for len(a.due) > 0 && !a.due[0].at.After(until) {
		next := heap.Pop(a).(appointment)
		time.Sleep(time.Until(next.at))
		next.do()
	}
}

// engine is a server that decodes so many answers at once and queues the others,
// first come, first served: vLLM, and most others of one's own.
type engine struct {
	slots    int
	prefill  time.Duration // per token of the prompt
	token    time.Duration // per token of the answer, alone
	slowdown float64       // how much longer that takes in a full batch, as a share
	output   float64       // tokens, on average
	sizes    func(*rand.Rand) int
	noise    float64 // of the time to a first token, as the sigma of a lognormal

	busy  int
	queue []func()
}

func (e *engine) enter(do func()) {
	if e.busy == e.slots {
		e.queue = append(e.queue, do)
		return
	}
	e.busy++
	do()
}

func (e *engine) leave() {
	if len(e.queue) == 0 {
		e.busy--
		return
	}
	next := e.queue[0]
	e.queue = e.queue[1:]
	next()
}

// load is what a limit and a server did under more calls than fit.
type load struct {
	limits, first, alone []float64 // limit in force, first token and first token without a queue, of each answer after the warm-up
	ended                int
}

// press has so many clients ask again and again for so long, each as soon as its
// answer has ended, and looks after the first minute.
func press(l *concurrency.Limit, e *engine, seed uint64, clients int, during time.Duration) *load {
	r := rand.New(rand.NewPCG(seed, 1))
	var a agenda
	var waiting []func()
	seen, began := &load{}, time.Now()
	admit := func() {
		for len(waiting) > 0 && l.TryAcquire() {
			next := waiting[0]
			waiting = waiting[1:]
			next()
		}
	}
	var client func()
	ask := func() {
		sent, tokens := time.Now(), e.sizes(r)
		e.enter(func() {
			alone := time.Duration(float64(tokens) * float64(e.prefill) * math.Exp(e.noise*r.NormFloat64()))
			pace := 1 + e.slowdown*float64(e.busy-1)/float64(max(1, e.slots-1))
			a.in(alone, func() {
				if time.Since(began) > time.Minute {
					seen.limits = append(seen.limits, float64(l.Max()))
					seen.first = append(seen.first, time.Since(sent).Seconds())
					seen.alone = append(seen.alone, alone.Seconds())
				}
				l.FirstToken(tokens, time.Since(sent))
				admit()
				a.in(time.Duration(r.ExpFloat64()*e.output*pace*float64(e.token)), func() {
					e.leave()
					l.Release()
					seen.ended++
					a.in(10*time.Millisecond, client)
					admit()
				})
			})
		})
	}
	client = func() {
		waiting = append(waiting, ask)
		admit()
	}
	for range clients {
		a.in(time.Duration(r.Float64()*float64(5*time.Second)), client)
	}
	a.run(began.Add(during))
	return seen
}

func quantile(values []float64, q float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return v[int(float64(len(v)-1)*q)]
}

func between(least, most int) func(*rand.Rand) int {
	return func(r *rand.Rand) int { return least + r.IntN(most-least) }
}

// decades draws sizes of which each order of magnitude has the same share.
func decades(least, most float64) func(*rand.Rand) int {
	return func(r *rand.Rand) int { return int(least * math.Pow(most/least, r.Float64())) }
}

// TestAnAdaptiveLimitFindsHowMuchAServerBears in several worlds of each kind: within
// 15 % of its slots, and first tokens come at most twice as late as without a
// queue (95 of 100).
func TestAnAdaptiveLimitFindsHowMuchAServerBears(t *testing.T) {
	const ms = time.Millisecond
	for _, kind := range []struct {
		name   string
		engine engine
	}{
		{"prompts of one size", engine{slots: 64, prefill: 300 * time.Microsecond, token: 20 * ms, output: 135, sizes: between(1000, 1001)}},
		{"prompts of many sizes", engine{slots: 64, prefill: 300 * time.Microsecond, token: 20 * ms, output: 135, sizes: decades(100, 4000)}},
		{"short answers", engine{slots: 64, prefill: 300 * time.Microsecond, token: 20 * ms, output: 50, sizes: between(700, 1400)}},
		{"a batch that slows down, and noise", engine{slots: 64, prefill: 300 * time.Microsecond, token: 10 * ms, slowdown: 1, output: 135, sizes: decades(100, 4000), noise: 0.3}},
		{"sixteen slots, and noise", engine{slots: 16, prefill: 300 * time.Microsecond, token: 20 * ms, output: 135, sizes: between(700, 1400), noise: 0.3}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			least, most, worst := math.Inf(1), 0.0, 0.0
			for seed := range seeds(t) {
				synctest.Test(t, func(t *testing.T) {
					e := kind.engine
					slots := float64(e.slots)
					seen := press(concurrency.New(concurrency.Config{Adaptive: concurrency.On}), &e, seed, 6*e.slots, 5*time.Minute)
					limit := quantile(seen.limits, 0.5)
					late := quantile(seen.first, 0.95) / quantile(seen.alone, 0.95)
					if limit < 0.85*slots || limit > 1.15*slots {
						t.Errorf("seed %d: the limit is %.0f, not within 15 %% of %.0f", seed, limit, slots)
					}
					if late > 2 {
						t.Errorf("seed %d: first tokens come %.2f times later than without a queue", seed, late)
					}
					least, most, worst = min(least, limit), max(most, limit), max(worst, late)
				})
			}
			t.Logf("%d slots: limits %.0f to %.0f; first tokens at most %.2f times later", kind.engine.slots, least, most, worst)
		})
	}
}

func TestAnAdaptiveLimitShrinksToAServerOfOneOrFewSlots(t *testing.T) {
	for _, slots := range []int{1, 4} {
		for seed := range seeds(t) {
			synctest.Test(t, func(t *testing.T) {
				e := engine{slots: slots, prefill: 300 * time.Microsecond, token: 20 * time.Millisecond, output: 135, sizes: between(700, 1400)}
				l := concurrency.New(concurrency.Config{Adaptive: concurrency.On})
				seen := press(l, &e, seed, 40, 20*time.Minute)
				if limit := quantile(seen.limits[len(seen.limits)/2:], 0.5); limit > float64(slots+5) {
					t.Errorf("seed %d: the limit of a server with %d slots is %.0f", seed, slots, limit)
				}
			})
		}
	}
}

// TestALimitGrowsWithWhatAHostedModelNeeds: the time to the first token says
// nothing of how long answers are, and so answers that grow from 200 tokens to
// 1,200 are no reason to shed.
func TestALimitGrowsWithWhatAHostedModelNeeds(t *testing.T) {
	for _, noise := range []float64{0, 0.1, 0.2} {
		least, most := 1.0, 0.0
		for seed := range seeds(t) {
			synctest.Test(t, func(t *testing.T) {
				shed := growingAnswers(concurrency.New(concurrency.Config{Adaptive: concurrency.On, Max: 400}), seed, noise)
				if shed > 0.02 {
					t.Errorf("seed %d: %.2f %% shed at noise %.2f, more than 2 %%", seed, 100*shed, noise)
				}
				least, most = min(least, shed), max(most, shed)
			})
		}
		t.Logf("noise %.2f: %.2f %% to %.2f %% shed", noise, 100*least, 100*most)
	}
}

// growingAnswers asks a hosted model 9,000 times in 20 minutes, for answers that
// grow from 200 to 1,200 tokens, and returns the share that found no permit
// within 2 s.
func growingAnswers(l *concurrency.Limit, seed uint64, noise float64) float64 {
	const calls = 9000
	r := rand.New(rand.NewPCG(seed, 2))
	var a agenda
	shed, n := 0, 0
	ask := func(tokens float64) {
		first := time.Duration(0.5 * math.Exp(noise*r.NormFloat64()) * float64(time.Second))
		a.in(first, func() { l.FirstToken(500, first) })
		a.in(first+time.Duration(tokens/50*math.Exp(0.3*r.NormFloat64())*float64(time.Second)), l.Release)
	}
	var enter func(tokens float64, patience time.Duration)
	enter = func(tokens float64, patience time.Duration) {
		switch {
		case l.TryAcquire():
			ask(tokens)
		case patience <= 0:
			shed++
		default:
			a.in(100*time.Millisecond, func() { enter(tokens, patience-100*time.Millisecond) })
		}
	}
	var arrive func()
	arrive = func() {
		if n++; n < calls {
			a.in(time.Duration(r.ExpFloat64()/7.5*float64(time.Second)), arrive)
		}
		enter(200+1000*float64(n)/calls, 2*time.Second)
	}
	a.in(0, arrive)
	a.run(time.Now().Add(time.Hour))
	return float64(shed) / calls
}

func TestAServerThatBecomesSlowerIsNoQueueOfOurs(t *testing.T) {
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			l := concurrency.New(concurrency.Config{Adaptive: concurrency.On})
			r := rand.New(rand.NewPCG(seed, 3))
			var a agenda
			began := time.Now()
			var client func()
			client = func() {
				if !l.TryAcquire() {
					a.in(100*time.Millisecond, client)
					return
				}
				first := 300 * time.Millisecond
				if time.Since(began) > 5*time.Minute { // others use it too, from now on
					first *= 4
				}
				first = time.Duration(float64(first) * math.Exp(0.2*r.NormFloat64()))
				a.in(first, func() { l.FirstToken(800, first) })
				a.in(first+3*time.Second, func() { l.Release(); client() })
			}
			for range 100 {
				client()
			}
			a.run(began.Add(10 * time.Minute))
			if l.Max() < 100 {
				t.Errorf("seed %d: the limit is %d: the target became slower, whatever is in flight, and nothing was gained by asking less", seed, l.Max())
			}
		})
	}
}

func TestRefusalsTakeThreeTenthsOffOnceInFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := concurrency.New(concurrency.Config{Adaptive: concurrency.On, Max: 1000, Initial: 100})
		want := []int{70, 70, 70, 70, 70, 49, 49}
		for i := range want {
			l.Refused()
			if l.Max() != want[i] {
				t.Errorf("after %d s of refusals: %d, want %d", i, l.Max(), want[i])
			}
			time.Sleep(time.Second)
		}
		for range 1000 {
			l.Refused()
			time.Sleep(5 * time.Second)
		}
		if l.Max() != 1 {
			t.Errorf("whatever is refused: %d, want 1", l.Max())
		}
	})
}

func TestALimitThatIsNotUsedDoesNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := concurrency.New(concurrency.Config{Adaptive: concurrency.On})
		for range 15 {
			l.TryAcquire()
		}
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			l.FirstToken(100, 50*time.Millisecond)
		}
		if l.Max() != 20 {
			t.Errorf("15 of 20 in use, and the limit is %d", l.Max())
		}
		l.TryAcquire()
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			l.FirstToken(100, 50*time.Millisecond)
		}
		if l.Max() <= 20 {
			t.Errorf("16 of 20 in use, and the limit is %d", l.Max())
		}
	})
}

func TestWithoutStreamsALimitGrowsAsFarAsAStaticOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := concurrency.New(concurrency.Config{Adaptive: concurrency.On})
		for range 5000 {
			for l.TryAcquire() {
			}
			time.Sleep(100 * time.Millisecond)
			l.FirstToken(100, 0)
		}
		if l.Max() != concurrency.DefaultMax {
			t.Errorf("the limit is %d, want %d", l.Max(), concurrency.DefaultMax)
		}
	})
}

func TestAnAdaptiveLimitStaysWithinItsBoundsWhateverItIsTold(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 4))
			least := 1 + r.IntN(30)
			c := concurrency.Config{Adaptive: concurrency.On, Min: least, Max: least + r.IntN(100)}
			l := concurrency.New(c)
			for range 2000 {
				switch r.IntN(40) {
				case 0:
					l.Refused()
				case 1:
					l.Release()
				case 2, 3:
					l.TryAcquire()
				default:
					l.FirstToken(r.IntN(1<<r.IntN(40))-10, time.Duration(r.ExpFloat64()*float64(time.Second))-time.Millisecond)
				}
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				if got := l.Max(); got < c.Min || got > c.Max {
					t.Fatalf("seed %d: %d is not within %d to %d", seed, got, c.Min, c.Max)
				}
				if s := l.Snapshot(); math.IsNaN(s.Ratio) || s.Limit != l.Max() || s.InFlight < 0 {
					t.Fatalf("seed %d: %+v", seed, s)
				}
			}
		})
	}
}

func TestReconfiguringKeepsWhatWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := concurrency.New(concurrency.Config{Adaptive: concurrency.On, Initial: 100})
		l.Refused()
		for _, c := range []struct {
			config concurrency.Config
			want   int
		}{
			{concurrency.Config{Adaptive: concurrency.On}, 70},
			{concurrency.Config{Adaptive: concurrency.On, Max: 50}, 50},
			{concurrency.Config{Adaptive: concurrency.On, Min: 60}, 60},
			{concurrency.Config{}, concurrency.DefaultMax},
			{concurrency.Config{Adaptive: concurrency.On}, concurrency.DefaultInitial},
			{concurrency.Config{Adaptive: concurrency.On, Max: -1}, concurrency.DefaultInitial},
		} {
			if l.Reconfigure(c.config); l.Max() != c.want {
				t.Errorf("%+v: %d, want %d", c.config, l.Max(), c.want)
			}
		}
	})
}

func TestWhatAnAdaptiveLimitIsToldCostsNoAllocation(t *testing.T) {
	adaptive, static := concurrency.New(concurrency.Config{Adaptive: concurrency.On}), concurrency.New(concurrency.Config{})
	n := testing.AllocsPerRun(10_000, func() {
		for _, l := range []*concurrency.Limit{adaptive, static} {
			l.TryAcquire()
			l.FirstToken(1000, time.Millisecond)
			l.Release()
		}
	})
	if n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkFirstToken(b *testing.B) {
	l := concurrency.New(concurrency.Config{Adaptive: concurrency.On})
	b.ReportAllocs()
	for b.Loop() {
		l.FirstToken(1000, time.Millisecond)
	}
}
