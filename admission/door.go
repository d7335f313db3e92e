package admission

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Door is the waiting room of one route. Its methods may be called from many
// goroutines at once. Make it with NewDoor.
type Door struct {
	route string

	mu       sync.Mutex
	c        Config // with defaults
	running  int
	waiting  int                // in the front and in the lanes
	front    []*Place           // that have been inside, the oldest call first
	lanes    [len(shares)]lane  // by class
	shed     [len(shares)]sheds // by class
	turns    uint64             // given out
	epoch    uint64             // counts what may have made somebody ready
	paused   bool
	draining bool
	pace     pace

	// One goroutine looks at a time, because Ready is asked without the lock;
	// the others leave it a note to look again.
	looking, again bool
	resting        bool // a look after a breath is due
	trying         int  // let in since the last breath, and not settled
	breaths        uint64
	looks          uint64
}

// Ticket is what a call shows at the door.
type Ticket struct {
	// Arrived is when the request reached us; zero means now. Those at the head
	// of the line, who jumped or came back, go in by it.
	Arrived time.Time

	// CommitBy is the call's deadline; zero means none.
	CommitBy time.Time

	// Ready says whether some target could take the call now; nil means always.
	// It is asked often, from any goroutine, with no lock of the Door held, and
	// may be in the middle of an answer when Enter or Back returns an error. It
	// must be quick, must not block and must not call the Door.
	Ready func() bool

	// Jump puts the call at the head of the line, behind others that jumped. It
	// is for calls that have been inside: neither the length of the line nor
	// its pace refuses them.
	Jump bool

	// Class is the call's; zero is Normal.
	Class Class

	// Tenant is who takes turns with the others of the class; "" is a tenant too.
	Tenant string

	// Cost is what the call takes of what the tenants share, in tokens as far as
	// that is known beforehand; less than 1 means 1. Place.LeaveAfter corrects it.
	Cost int64

	// Call is asked, if the call must wait, for how long, and how long it will
	// need then; nil: nobody knows.
	Call Estimator

	// Waited is the time the call has already spent in the room. It counts
	// against what it may wait and is part of Place.Wait.
	Waited time.Duration
}

// Estimator knows what is to come for a call that must wait. It is asked with no
// lock of the Door held and must not block.
type Estimator interface {
	// Needs returns how long the call needs before it meets its deadline once it
	// is inside; 0 when that is not known.
	Needs() time.Duration

	// Rests returns for how long nobody can take the call because all that could
	// rest until a known moment; 0 when somebody does not, or that is not known.
	// Such a time says nothing about how fast the line moves.
	Rests() time.Duration
}

// NewDoor returns an open door. c should have been validated; its zero fields
// mean their defaults. The route is used in errors.
func NewDoor(route string, c Config) *Door {
	return &Door{route: route, c: c.WithDefaults(), breaths: 1}
}

// Enter lets a call in, at once or after a wait. The Place it returns must be
// given up with Leave. It returns an *Error if the call is refused and
// ctx.Err() if ctx ends first; neither leaves anything to give up.
func (d *Door) Enter(ctx context.Context, t Ticket) (*Place, error) {
	p := &Place{}
	if err := d.EnterAs(ctx, p, t); err != nil {
		return nil, err
	}
	return p, nil
}

// EnterAs is Enter with a zero Place of the caller's, which must not be copied
// afterwards. After an error it is not to be used again.
func (d *Door) EnterAs(ctx context.Context, p *Place, t Ticket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.door, p.ready, p.front, p.arrived, p.waited = d, t.Ready, t.Jump, t.Arrived, t.Waited
	p.class, p.tenant, p.cost = t.Class, t.Tenant, max(1, t.Cost)
	if d.walkIn(p, t) {
		return nil
	}
	if t.Call != nil {
		p.consult(t)
	}
	left, err := d.queue(p)
	if err != nil {
		d.look() // whoever queued while p tried to walk in
		return err
	}
	return d.await(ctx, p, left)
}

// walkIn lets p in if nobody waits and it is ready. It takes the place before
// it asks, so that nobody else is promised it meanwhile.
func (d *Door) walkIn(p *Place, t Ticket) (in bool) {
	if !d.step(p, t) {
		return false
	}
	defer func() { // also when Ready panics
		if !in {
			d.mu.Lock()
			d.drop(p, time.Now())
			d.mu.Unlock()
		}
	}()
	return p.isReady()
}

// step gives p its turn, and takes a place inside if nobody waits for it.
func (d *Door) step(p *Place, t Ticket) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.arrived.IsZero() {
		p.arrived = time.Now()
	}
	now := p.arrived.Add(time.Since(p.arrived)) // half the price of time.Now
	p.budget = d.budget(now, t)
	d.turns++
	p.turn = d.turns
	if d.draining || d.waiting > 0 || !d.open() {
		return false
	}
	d.inside(p)
	return true
}

// budget returns how long a call may wait in all, what it has waited included.
func (d *Door) budget(now time.Time, t Ticket) time.Duration {
	if t.CommitBy.IsZero() {
		return d.c.MaxWait
	}
	share := time.Duration(deadlineShare * float64(t.CommitBy.Sub(now)))
	return min(d.c.MaxWait, t.Waited+share)
}

// queue puts a newcomer in the line, or refuses it. It returns how long p may
// wait there.
func (d *Door) queue(p *Place) (left time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if err := d.refuse(now, p); err != nil {
		d.shed[p.class.index()].count(err)
		return 0, err
	}
	d.join(p, now)
	return p.left(), nil
}

// await waits until p is let in, its time is over or its caller has left.
func (d *Door) await(ctx context.Context, p *Place, left time.Duration) error {
	d.look()
	select {
	case <-p.in:
		return d.letIn(p)
	default:
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-p.in:
		return d.letIn(p)
	case <-ctx.Done():
		d.depart(p)
		return ctx.Err()
	case <-timer.C:
		return d.expire(p)
	}
}

// letIn tells a call that was let in from one whose place somebody gave up.
func (d *Door) letIn(p *Place) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case p.state == inside:
		return nil
	case p.out != nil:
		return p.out
	}
	return d.refusal(time.Now(), p, ReasonTimeout, ErrTimeout)
}

// depart takes a caller that has left out of the room, wherever it is by now.
func (d *Door) depart(p *Place) {
	d.mu.Lock()
	d.drop(p, time.Now())
	d.mu.Unlock()
	d.look()
}

// expire refuses a call whose time is over, unless it has just been let in.
func (d *Door) expire(p *Place) error {
	d.mu.Lock()
	if p.state != waiting {
		d.mu.Unlock()
		return d.letIn(p)
	}
	now := time.Now()
	err := d.refusal(now, p, ReasonTimeout, ErrTimeout)
	if d.paused {
		err.kind = ErrPaused
	}
	d.shed[p.class.index()].count(err)
	d.drop(p, now)
	d.mu.Unlock()
	d.look() // the window has moved up
	return err
}

// Wake says that something a call may wait for was released: a permit, quota,
// a target that may be asked again. It does not block.
func (d *Door) Wake() {
	d.mu.Lock()
	d.epoch++
	idle := d.waiting == 0
	d.mu.Unlock()
	if !idle {
		d.look()
	}
}

func (d *Door) open() bool { return !d.paused && d.room() }

func (d *Door) room() bool { return d.c.Running <= 0 || d.running < d.c.Running }

// inside makes p one of those inside.
func (d *Door) inside(p *Place) {
	d.running++
	p.state, p.epoch = inside, d.epoch
}

// admit lets in a call that waits.
func (d *Door) admit(p *Place, now time.Time) {
	if !p.front {
		d.serve(p, now)
	}
	d.unqueue(p, now)
	d.pace.admitted(now)
	p.counted = true
	d.inside(p)
	close(p.in)
}

// serve counts a call that goes in from its lane: for its class, for those that
// are passed over, and for its tenant.
func (d *Door) serve(p *Place, now time.Time) {
	for i := range d.lanes {
		if l := &d.lanes[i]; l.waiting > 0 {
			l.credit = min(l.credit+shares[i], maxCredit)
		}
	}
	l := &d.lanes[p.class.index()]
	l.credit = max(0, l.credit-1)
	l.served = max(l.served, p.flow.spent)
	l.charge(p.flow, p.cost, now)
}

// join puts p where it belongs in the line.
func (d *Door) join(p *Place, now time.Time) {
	p.state, p.since, p.in, p.asked = waiting, now, make(chan struct{}), 0
	if p.front {
		at, _ := slices.BinarySearchFunc(d.front, p, byArrival)
		d.front = slices.Insert(d.front, at, p)
	} else {
		d.lanes[p.class.index()].join(p, now)
		p.flow.watch(now, &d.c)
	}
	d.waiting++
	if !d.paused { // a pause says nothing about the pace
		d.pace.begin(now)
		d.pace.rest(now, p.rests)
	}
}

func (d *Door) unqueue(p *Place, now time.Time) {
	if p.front {
		at, _ := slices.BinarySearchFunc(d.front, p, byArrival)
		d.front = slices.Delete(d.front, at, at+1)
	} else {
		d.lanes[p.class.index()].leave(p)
		p.flow.watch(now, &d.c)
	}
	p.waited += now.Sub(p.since)
	if d.waiting--; d.waiting == 0 {
		d.pace.end(now)
	}
}

// drop takes p out of the room.
func (d *Door) drop(p *Place, now time.Time) {
	switch p.state {
	case inside:
		d.running--
	case waiting:
		d.unqueue(p, now)
		close(p.in)
	}
	p.state = gone
}

// Reconfigure replaces the bounds; c should have been validated. Calls that are
// inside stay, those that wait keep their time.
func (d *Door) Reconfigure(c Config) {
	d.mu.Lock()
	d.c = c.WithDefaults()
	d.mu.Unlock()
	d.look()
}

// Pause lets nobody in until Resume. Calls go on to arrive and to wait, as long
// as their time allows; then they get ErrPaused.
func (d *Door) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true
	d.pace.end(time.Now())
}

// Resume undoes Pause and Drain.
func (d *Door) Resume() {
	d.mu.Lock()
	d.paused, d.draining = false, false
	if d.waiting > 0 {
		d.pace.begin(time.Now())
	}
	d.epoch++
	d.mu.Unlock()
	d.look()
}

// Drain refuses newcomers with ErrDraining. Those that wait or are inside were
// promised an answer and go on; Snapshot says when the room is empty.
func (d *Door) Drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = true
}
