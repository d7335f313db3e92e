package experiments_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/internal/experiment"
	"github.com/holdfast-gateway/holdfast/internal/plot"
)

// rush is more calls than an engine can serve: each takes 3 s on average of one of
// its slots, and its caller waits 8 to 12 s for the whole. Work that has begun is
// finished, also for a caller who has left.
type rush struct {
	slots  int
	settle time.Duration // until goodput is counted
	lasts  time.Duration // for which it is
}

const (
	holdMean   = 3 * time.Second
	holdSpread = 0.6 // sigma of its logarithm
	rushDepth  = 200 // calls may wait
)

// room is where calls wait for a slot. enter returns false when the call is
// refused or its caller has left.
type room interface {
	enter(ctx context.Context, deadline time.Time) (leave func(), in bool)
}

// door is the room of package admission.
type door struct {
	*admission.Door
	told bool // it knows when the caller leaves
}

func (d door) enter(ctx context.Context, deadline time.Time) (func(), bool) {
	t := admission.Ticket{}
	if d.told {
		t.CommitBy = deadline
	}
	p, err := d.Enter(ctx, t)
	if err != nil {
		return nil, false
	}
	return p.Leave, true
}

// line is what most have, for comparison: who came first goes first, and the line
// is bounded by its length. One that is patient lets also those go in whose
// callers have left.
type line struct {
	patient bool
	depth   int

	mu      sync.Mutex
	free    int
	waiting []*waiter
}

type waiter struct {
	in   chan struct{}
	gone bool
}

func (l *line) enter(ctx context.Context, _ time.Time) (func(), bool) {
	w, in := l.join()
	switch {
	case w == nil:
		return l.leave, in
	case l.patient:
		<-w.in
		return l.leave, true
	}
	select {
	case <-w.in:
		return l.leave, true
	case <-ctx.Done():
		return l.leave, l.abandon(w)
	}
}

// join goes in, or into the line; w is nil for who is in and for whom there is no room.
func (l *line) join() (w *waiter, in bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.free > 0:
		l.free--
		return nil, true
	case len(l.waiting) < l.depth:
		w = &waiter{in: make(chan struct{})}
		l.waiting = append(l.waiting, w)
	}
	return w, false
}

// abandon leaves the line. Who leaves keeps the room there until it is its turn,
// and is in if that came at the same moment.
func (l *line) abandon(w *waiter) (in bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-w.in:
		return true
	default:
		w.gone = true
		return false
	}
}

func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		if !next.gone {
			close(next.in)
			return
		}
	}
	l.free++
}

// discipline is a way to wait.
type discipline struct {
	name    string
	room    func(slots int) room
	ours    bool
	useless bool // under overload
}

func ourDoor(wait time.Duration, told bool) func(int) room {
	return func(slots int) room {
		return door{admission.NewDoor("chat", admission.Config{Running: slots, MaxWait: wait, MaxDepth: rushDepth}), told}
	}
}

var disciplines = []discipline{
	{name: "in order, by depth", room: func(slots int) room { return &line{free: slots, depth: rushDepth, patient: true} }, useless: true},
	{name: "in order, the late dropped", room: func(slots int) room { return &line{free: slots, depth: rushDepth} }},
	{name: "in order, 5 s of work", room: ofWork(5 * time.Second)},
	{name: "in order, 1 s of work", room: ofWork(time.Second)},
	{name: "Holdfast, 2 s (default)", room: ourDoor(0, true), ours: true},
	{name: "Holdfast, 8 s, no deadline", room: ourDoor(8*time.Second, false), ours: true},
}

// ofWork is a line as long as the slots can serve in that time.
func ofWork(d time.Duration) func(int) room {
	return func(slots int) room {
		return &line{free: slots, depth: int(float64(slots) * d.Seconds() / holdMean.Seconds()), patient: true}
	}
}

// loads are what is offered, in parts of what can be served.
var loads = []float64{0.7, 0.9, 1.0, 1.1, 1.3, 1.5, 2.0, 3.0}

// goodput plays the rush and returns how many calls were answered in time, in
// parts of what can be served.
func (r rush) goodput(room room, load float64, seed uint64) float64 {
	random := rand.New(rand.NewPCG(seed, uint64(100*load)))
	capacity := float64(r.slots) / holdMean.Seconds()
	var under sync.WaitGroup
	var mu sync.Mutex
	good, began := 0, time.Now()
	for time.Since(began) < r.settle+r.lasts {
		hold := time.Duration(float64(holdMean) * math.Exp(holdSpread*random.NormFloat64()-holdSpread*holdSpread/2))
		patience := 8*time.Second + time.Duration(random.Int64N(int64(4*time.Second)))
		under.Go(func() {
			deadline := time.Now().Add(patience)
			ctx, cancel := context.WithDeadline(context.Background(), deadline)
			defer cancel()
			leave, in := room.enter(ctx, deadline)
			if !in {
				return
			}
			time.Sleep(hold)
			leave()
			if at := time.Since(began); ctx.Err() == nil && at >= r.settle && at < r.settle+r.lasts {
				mu.Lock()
				defer mu.Unlock()
				good++
			}
		})
		time.Sleep(time.Duration(random.ExpFloat64() / (load * capacity) * float64(time.Second)))
	}
	under.Wait()
	return float64(good) / (capacity * r.lasts.Seconds())
}

// TestUnderOverloadTheRoomServesWhatCanBeServed: at any load above what the engine
// can do, ours serves nine tenths of it and more in time. In order of arrival,
// bounded by depth, most answers come when their callers have left.
func TestUnderOverloadTheRoomServesWhatCanBeServed(t *testing.T) {
	seeds, full := experiment.Seeds(t, 1)
	r, at := rush{slots: 64, settle: 30 * time.Second, lasts: 45 * time.Second}, []float64{1.5, 3.0}
	if full {
		r.settle, r.lasts, at = 3*time.Minute, 3*time.Minute, loads
	}
	names := make([]string, len(disciplines))
	for i, d := range disciplines {
		names[i] = d.name
	}
	found := play(t, names, seeds, func(_ *testing.T, arm int, seed uint64) (goodput map[float64]float64) {
		goodput = map[float64]float64{}
		for _, load := range at {
			goodput[load] = r.goodput(disciplines[arm].room(r.slots), load, seed)
		}
		return goodput
	})
	for arm, d := range disciplines {
		for _, load := range at {
			d.check(t, load, mean(found[arm], func(f map[float64]float64) float64 { return f[load] }))
		}
	}
	if full {
		rushResult(seeds, found).Save(t)
	}
}

// check is the direction and the bounds.
func (d discipline) check(t *testing.T, load, goodput float64) {
	t.Helper()
	t.Logf("%s at %.1f: %.1f %%", d.name, load, 100*goodput)
	if d.ours && goodput < 0.9*min(load, 1) {
		t.Errorf("%s at a load of %.1f: %.1f %% of what can be served, want 90 %%", d.name, load, 100*goodput)
	}
	if d.useless && load >= 1.1 && goodput > 0.6 {
		t.Errorf("%s at a load of %.1f: %.1f %%: the rush is none", d.name, load, 100*goodput)
	}
}

func rushResult(seeds uint64, found [][]map[float64]float64) experiment.Result {
	r := experiment.Result{
		Name: "queue-disciplines", Seeds: seeds,
		Note:    "Answered in time, of what the engine can serve; the mean of the seeds",
		Columns: []string{"Who goes first, and the bound", "Load 0.9", "Load 1.1", "Load 1.5", "Load 3"},
		Lines:   &plot.Lines{Title: "What overload leaves of an engine, by how calls wait", X: "offered, in parts of what can be served", Y: "answered in time, % of what can be served"},
	}
	for arm, runs := range found {
		row, curve := []string{disciplines[arm].name}, plot.Curve{Name: disciplines[arm].name}
		at := func(load float64) float64 {
			return 100 * mean(runs, func(f map[float64]float64) float64 { return f[load] })
		}
		for _, load := range []float64{0.9, 1.1, 1.5, 3} {
			row = append(row, fmt.Sprintf("%.0f %%", at(load)))
		}
		for _, load := range loads {
			curve.Points = append(curve.Points, [2]float64{load, round(at(load), 1)})
		}
		r.Rows, r.Lines.Curve = append(r.Rows, row), append(r.Lines.Curve, curve)
	}
	return r
}
