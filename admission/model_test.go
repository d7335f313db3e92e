package admission

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// model is the order of a Door, said as plainly as possible: it looks at every
// call that waits each time one may go in.
type model struct {
	c      Config
	calls  []*modelCall
	credit map[Class]float64
	served map[Class]float64
	flows  map[string]*modelFlow
}

type modelCall struct {
	name  int
	class Class
	flow  *modelFlow
	cost  int64
	since time.Time
}

type modelFlow struct {
	id            int
	spent         float64
	charged, late time.Time
	waiting       []*modelCall
}

func newModel(c Config) *model {
	return &model{c: c.WithDefaults(), credit: map[Class]float64{}, served: map[Class]float64{}, flows: map[string]*modelFlow{}}
}

func (m *model) arrive(name int, class Class, tenant string, cost int64) {
	now := time.Now()
	at := fmt.Sprint(class, tenant)
	f := m.flows[at]
	if f == nil {
		f = &modelFlow{id: name}
		m.flows[at] = f
	}
	if len(f.waiting) == 0 {
		if now.Sub(f.charged) > 10*time.Second {
			f.spent = 0
		}
		f.spent = max(f.spent, m.served[class])
	}
	c := &modelCall{name, class, f, cost, now}
	f.waiting = append(f.waiting, c)
	m.calls = append(m.calls, c)
	m.watch(f)
}

// next takes the call that is to go in out of the line.
func (m *model) next() *modelCall {
	best := m.calls[0]
	for _, c := range m.calls {
		if m.before(c, best) {
			best = c
		}
	}
	waits := map[Class]bool{}
	for _, c := range m.calls {
		waits[c.class] = true
	}
	for c := range waits {
		m.credit[c] = min(m.credit[c]+map[Class]float64{Batch: .05, Normal: .1, High: .2}[c], 2)
	}
	m.credit[best.class] = max(0, m.credit[best.class]-1)
	m.served[best.class] = max(m.served[best.class], best.flow.spent)
	best.flow.spent += float64(best.cost)
	best.flow.charged = time.Now()
	m.remove(best)
	return best
}

func (m *model) remove(c *modelCall) {
	m.calls = without(m.calls, c)
	c.flow.waiting = without(c.flow.waiting, c)
	m.watch(c.flow)
}

func without(list []*modelCall, c *modelCall) (rest []*modelCall) {
	for _, x := range list {
		if x != c {
			rest = append(rest, x)
		}
	}
	return rest
}

// before reports whether a goes in before b.
func (m *model) before(a, b *modelCall) bool {
	if a.class != b.class {
		if dueA, dueB := m.credit[a.class] >= 1, m.credit[b.class] >= 1; dueA != dueB {
			return dueA
		}
		return a.class > b.class
	}
	if a.flow != b.flow {
		if a.flow.spent != b.flow.spent {
			return a.flow.spent < b.flow.spent
		}
		return a.flow.id < b.flow.id
	}
	if m.lags(a.flow) {
		return a.name > b.name
	}
	return a.name < b.name
}

// lags: the oldest has waited for more than half of 400 ms for all of another 600.
func (m *model) lags(f *modelFlow) bool {
	return !f.late.IsZero() && time.Since(f.late) >= 600*time.Millisecond
}

func (m *model) watch(f *modelFlow) {
	if len(f.waiting) == 0 || time.Since(f.waiting[0].since) < 200*time.Millisecond {
		f.late = time.Time{}
	} else if f.late.IsZero() {
		f.late = time.Now()
	}
}

// TestTheDoorServesInTheOrderOfItsModel plays random calls of all classes and
// some tenants to a door and to its model, with time passing, callers leaving
// and costs corrected.
func TestTheDoorServesInTheOrderOfItsModel(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { playModel(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// playModel plays one seed. Its callers have more patience than the door gives
// (Waited), so that queues stand and nobody gives up.
func playModel(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 11))
	config := Config{Running: 1, MaxWait: 400 * time.Millisecond, MaxDepth: 100_000}
	d, m := NewDoor("chat", config), newModel(config)
	type one struct {
		call  *modelCall
		place *Place
	}
	in := make(chan int, 1)
	places, leave := map[int]*Place{}, map[int]context.CancelFunc{}
	first := &Place{}
	if err := d.EnterAs(t.Context(), first, Ticket{}); err != nil {
		t.Fatal(err)
	}
	now := one{place: first}
	arrive := func(name int) {
		class, tenant, cost := Batch+Class(r.IntN(4)), fmt.Sprint(r.IntN(3)), 1+r.Int64N(100)
		ctx, cancel := context.WithCancel(context.Background())
		p := &Place{}
		places[name], leave[name] = p, cancel
		m.arrive(name, class, tenant, cost)
		go func() {
			if d.EnterAs(ctx, p, Ticket{Class: class, Tenant: tenant, Cost: cost, Waited: -time.Hour}) == nil {
				in <- name
			}
		}()
		synctest.Wait()
	}
	serve := func() {
		used := r.Int64N(200)
		if c := now.call; c != nil && used > 0 {
			c.flow.spent += float64(used - c.cost)
			c.flow.charged = time.Now()
		}
		want := m.next()
		now.place.LeaveAfter(used)
		if got := <-in; got != want.name {
			t.Fatalf("seed %d: call %d went in, want %d", seed, got, want.name)
		}
		now = one{want, places[want.name]}
	}
	for step := range 150 {
		switch op := r.IntN(10); {
		case op < 5:
			arrive(step)
		case op < 8 && len(m.calls) > 0:
			serve()
		case op < 9 && len(m.calls) > 0:
			c := m.calls[r.IntN(len(m.calls))]
			m.remove(c)
			leave[c.name]()
			synctest.Wait()
		default:
			time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
		}
	}
	for len(m.calls) > 0 {
		serve()
	}
	now.place.Leave()
	if running, waiting := count(d); running != 0 || waiting != 0 {
		t.Errorf("seed %d: %d inside and %d waiting at the end", seed, running, waiting)
	}
}
