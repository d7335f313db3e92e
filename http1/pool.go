package http1

import (
	"context"
	"slices"
	"sync"
	"time"
)

// place is where a connection leads. The host is as the URL has it, with or
// without a port.
type place struct {
	tls  bool
	host string
}

// pool holds the idle connections, and counts those in use. Connections are
// never closed under its lock.
type pool struct {
	mu      sync.Mutex
	shelves map[place]*shelf
	idle    int  // on all shelves
	shut    bool // emptied, and no request came since
	timer   *time.Timer
	armed   bool
}

// shelf is what the pool knows of one place.
type shelf struct {
	idle    []*conn // the oldest first
	open    int     // idle, in use or being made
	waiting []chan *conn
}

// shelf returns the shelf of a place, made if need be. mu is held.
func (p *pool) shelf(at place) *shelf {
	s := p.shelves[at]
	if s == nil {
		if p.shelves == nil {
			p.shelves = map[place]*shelf{}
		}
		s = &shelf{}
		p.shelves[at] = s
	}
	return s
}

// take returns the youngest idle connection to a place, nil for none, and those
// that had been idle for too long.
func (p *pool) take(at place, tooOld time.Duration) (c *conn, old []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = false
	s := p.shelves[at]
	if s == nil || len(s.idle) == 0 {
		return nil, nil
	}
	last := len(s.idle) - 1
	c = s.idle[last]
	if tooOld > 0 && time.Since(c.since) >= tooOld { // and the others even more so
		old, s.idle = s.idle, nil
		p.idle -= len(old)
		return nil, old
	}
	s.idle[last] = nil
	s.idle = s.idle[:last]
	p.idle--
	return c, nil
}

// room waits until a connection to a place may be made, at most limit at a time.
// It may return an idle connection instead, or one to close for its room.
func (p *pool) room(ctx context.Context, at place, limit int) (idle, spare *conn, err error) {
	p.mu.Lock()
	s := p.shelf(at)
	switch {
	case limit <= 0 || s.open < limit:
		s.open++
		p.mu.Unlock()
		return nil, nil, nil
	case len(s.idle) > 0: // its room is wanted for a fresh one
		spare, s.idle = s.idle[0], slices.Delete(s.idle, 0, 1)
		p.idle--
		s.open++
		p.mu.Unlock()
		return nil, spare, nil
	}
	turn := make(chan *conn, 1)
	s.waiting = append(s.waiting, turn)
	p.mu.Unlock()
	select {
	case idle = <-turn:
		return idle, nil, nil
	case <-ctx.Done():
		return p.unwait(s, turn), nil, context.Cause(ctx)
	}
}

// unwait gives a turn up. If it had come already, the connection is returned, or
// the room is given on.
func (p *pool) unwait(s *shelf, turn chan *conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.Index(s.waiting, turn); at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
		return nil
	}
	c := <-turn
	if c == nil {
		s.left()
	}
	return c
}

// left says that a connection is gone: its room goes to who waits for it. The
// pool's mu is held.
func (s *shelf) left() {
	if len(s.waiting) == 0 {
		s.open--
		return
	}
	s.waiting[0] <- nil
	s.waiting = slices.Delete(s.waiting, 0, 1)
}

// gone says that a connection to a place was closed, or not made.
func (p *pool) gone(at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[at]
	s.left()
	if s.open == 0 && len(s.idle) == 0 {
		delete(p.shelves, at)
	}
}

// put keeps a connection, unless there are enough.
func (p *pool) put(c *conn, perHost, inAll int, t *Transport) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelf(c.place)
	if len(s.waiting) > 0 && !p.shut {
		s.waiting[0] <- c
		s.waiting = slices.Delete(s.waiting, 0, 1)
		return true
	}
	if p.shut || len(s.idle) >= perHost || p.idle >= inAll {
		return false
	}
	c.since = time.Now()
	s.idle = append(s.idle, c)
	p.idle++
	if !p.armed {
		p.arm(t)
	}
	return true
}

// sweepEvery is how often idle connections are looked at: one that the server has
// closed should not hold its descriptor until its time is over.
const sweepEvery = time.Second

// arm sets the one timer, which tells t. mu is held.
func (p *pool) arm(t *Transport) {
	p.armed = true
	in := sweepEvery
	if tooOld := t.idleTimeout(); tooOld > 0 {
		in = min(in, tooOld)
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(in, t.sweep)
		return
	}
	p.timer.Reset(in)
}

// lift takes off the shelves what has been idle for too long, and what has been
// idle for a while, to be looked at: lay puts it back.
func (p *pool) lift(tooOld time.Duration) (old, resting []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, s := range p.shelves {
		n := 0
		for n < len(s.idle) && now.Sub(s.idle[n].since) >= sweepEvery {
			if tooOld > 0 && now.Sub(s.idle[n].since) >= tooOld {
				old = append(old, s.idle[n])
			} else {
				resting = append(resting, s.idle[n])
			}
			n++
		}
		s.idle = slices.Delete(s.idle, 0, n)
	}
	p.idle -= len(old) + len(resting)
	return old, resting
}

// lay puts back what lift took, and sets the timer. It returns what is not wanted
// any more.
func (p *pool) lay(resting []*conn, t *Transport) (spare []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		p.armed = false
		return resting
	}
	for len(resting) > 0 {
		n := 1
		for n < len(resting) && resting[n].place == resting[0].place {
			n++
		}
		s := p.shelf(resting[0].place)
		give := min(n, len(s.waiting)) // who came meanwhile and found the shelf empty
		for i := range give {
			s.waiting[i] <- resting[i]
		}
		s.waiting = slices.Delete(s.waiting, 0, give)
		s.idle = slices.Insert(s.idle, 0, resting[give:n]...)
		p.idle += n - give
		resting = resting[n:]
	}
	if p.armed = p.idle > 0; p.armed {
		p.arm(t)
	}
	return nil
}

// empty takes everything off the shelves, and lets nothing on until a request
// comes.
func (p *pool) empty() (all []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for _, s := range p.shelves {
		all = append(all, s.idle...)
		s.idle = nil
	}
	p.idle = 0
	if p.armed {
		p.timer.Stop()
		p.armed = false
	}
	return all
}
