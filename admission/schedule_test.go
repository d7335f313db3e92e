package admission

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd plays random calls against a door and some targets: they arrive, wait,
// find targets taken, come back, hold what they got for a while, or are
// canceled at any point.
type crowd struct {
	t       *testing.T
	r       *rand.Rand
	seed    uint64
	door    *Door
	targets []atomic.Int64 // free permits
	inside  atomic.Int64
	served  atomic.Int64
	limit   int64 // places inside
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	r := rand.New(rand.NewPCG(seed, 3))
	c := &crowd{t: t, r: r, seed: seed, targets: make([]atomic.Int64, 1+r.IntN(3)), limit: int64(r.IntN(4))}
	c.door = NewDoor("chat", Config{Running: int(c.limit), MaxDepth: 5 + r.IntN(60), MaxWait: time.Duration(1+r.IntN(3000)) * time.Millisecond})
	for i := range c.targets {
		c.targets[i].Store(int64(r.IntN(4)))
	}
	return c
}

// arrive starts one call. All its choices are made here, so that a seed means
// the same calls whatever the scheduler does.
func (c *crowd) arrive() {
	may := c.r.IntN(1 << len(c.targets)) // which targets it may use
	used := c.r.Int64N(2000)
	hold := time.Duration(c.r.IntN(400)) * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	if c.r.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.r.IntN(500))*time.Millisecond)
	}
	ticket := Ticket{Jump: c.r.IntN(10) == 0, Class: Class(c.r.IntN(4)) + Batch, Tenant: string(rune('a' + c.r.IntN(5))), Cost: c.r.Int64N(1000), Ready: func() bool {
		for i := range c.targets {
			if may>>i&1 == 1 && c.targets[i].Load() > 0 {
				return true
			}
		}
		return false
	}}
	go func() {
		defer cancel()
		p, err := c.door.Enter(ctx, ticket)
		for err == nil {
			if n := c.inside.Add(1); c.limit > 0 && n > c.limit {
				c.t.Errorf("seed %d: %d inside, want at most %d", c.seed, n, c.limit)
			}
			i := c.acquire(may)
			if i >= 0 {
				c.served.Add(1)
				time.Sleep(hold)
				c.targets[i].Add(1)
				c.door.Wake()
			}
			c.inside.Add(-1)
			if i >= 0 {
				p.LeaveAfter(used)
				return
			}
			err = p.Back(ctx, nil)
		}
		var refusal *Error
		if ctx.Err() == nil && !errors.As(err, &refusal) {
			c.t.Errorf("seed %d: %v, want a refusal", c.seed, err)
		}
	}()
}

func (c *crowd) acquire(may int) int {
	for i := range c.targets {
		for may>>i&1 == 1 {
			n := c.targets[i].Load()
			if n <= 0 {
				break
			}
			if c.targets[i].CompareAndSwap(n, n-1) {
				return i
			}
		}
	}
	return -1
}

// settled checks, when nothing moves, that nobody waits who could go in, and
// that the books are right.
func (c *crowd) settled() {
	synctest.Wait()
	d := c.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looking || d.again {
		c.t.Errorf("seed %d: nothing moves, yet somebody is looking", c.seed)
	}
	if c.limit > 0 && d.running > int(c.limit) || d.running < 0 {
		c.t.Errorf("seed %d: %d inside, want at most %d", c.seed, d.running, c.limit)
	}
	c.ordered(d.front, byArrival)
	waiting := len(d.front)
	for i, p := range d.front {
		if i < window && d.open() && !d.resting && p.isReady() {
			c.t.Errorf("seed %d: lost wake-up: call %d of the front waits (in vain %v) and could go in", c.seed, i, p.vain)
		}
	}
	for class := Batch; class <= Critical; class++ {
		l := &d.lanes[class.index()]
		waiting += l.waiting
		c.settledLane(l)
	}
	if waiting != d.waiting {
		c.t.Errorf("seed %d: %d wait, the door says %d", c.seed, waiting, d.waiting)
	}
}

// settledLane checks one lane's books, and that none of those that should have
// been asked could go in.
func (c *crowd) settledLane(l *lane) {
	if !slices.IsSortedFunc(l.flows, byNeed) {
		c.t.Errorf("seed %d: the tenants are out of order", c.seed)
	}
	n := 0
	for _, f := range l.flows {
		c.ordered(f.line, byTurn)
		if n += len(f.line); len(f.line) == 0 {
			c.t.Errorf("seed %d: a tenant is listed for whom nobody waits", c.seed)
		}
	}
	if n != l.waiting {
		c.t.Errorf("seed %d: %d wait in a lane that says %d", c.seed, n, l.waiting)
	}
	if !c.door.open() || c.door.resting {
		return
	}
	look := ^uint64(0)
	for p := l.next(look, time.Now(), &c.door.c); p != nil; p = l.next(look, time.Now(), &c.door.c) {
		if p.asked = look; p.isReady() {
			c.t.Errorf("seed %d: lost wake-up: a call of class %s waits and could go in", c.seed, p.class)
		}
	}
}

func (c *crowd) ordered(line []*Place, by func(a, b *Place) int) {
	if !slices.IsSortedFunc(line, by) {
		c.t.Errorf("seed %d: a line is out of order", c.seed)
	}
}

func (c *crowd) play(steps int) {
	for range steps {
		switch op := c.r.IntN(100); {
		case op < 55:
			c.arrive()
		case op < 65:
			c.targets[c.r.IntN(len(c.targets))].Add(1) // a target grows
			c.door.Wake()
		case op < 70:
			c.acquire(1 << c.r.IntN(len(c.targets))) // somebody from outside takes one
		case op < 73:
			c.door.Pause()
			time.Sleep(time.Duration(c.r.IntN(100)) * time.Millisecond)
			c.door.Resume()
		case op < 80:
			c.settled()
		default:
			time.Sleep(time.Duration(c.r.IntN(60)) * time.Millisecond)
		}
	}
	c.settled()
	time.Sleep(time.Hour) // every wait and hold is over
	c.settled()
	if running, waiting := count(c.door); running != 0 || waiting != 0 {
		c.t.Errorf("seed %d: %d inside and %d waiting after everybody has gone", c.seed, running, waiting)
	}
}

func TestTenThousandRandomCrowdsLoseNoWakeUpAndKeepTheBounds(t *testing.T) {
	for _, c := range []struct {
		seeds uint64
		steps int
		least int64 // calls served for a seed, on average: fewer test too little
	}{{9_700, 9, 1}, {300, 90, 5}} {
		if testing.Short() {
			c.seeds /= 10
		}
		served := int64(0)
		for seed := range c.seeds {
			synctest.Test(t, func(t *testing.T) {
				crowd := newCrowd(t, seed)
				crowd.play(c.steps)
				served += crowd.served.Load()
			})
			if t.Failed() {
				t.Fatalf("seed %d, %d steps", seed, c.steps)
			}
		}
		if served < int64(c.seeds)*c.least {
			t.Errorf("%d calls were served in %d crowds: they test too little", served, c.seeds)
		}
	}
}

func count(d *Door) (running, waiting int) {
	s := d.Snapshot()
	return s.Running, s.Waiting
}
