package http1

import (
	"maps"
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

// pool holds the idle connections. They are never closed under its lock.
type pool struct {
	mu      sync.Mutex
	shelves map[place]*shelf
	idle    int  // on all shelves
	shut    bool // emptied, and no request came since
	timer   *time.Timer
	armed   bool
}

// shelf holds what is idle of one place. An empty one stays until the next sweep:
// its connection is most often about to come back.
type shelf struct {
	idle []*conn // the oldest first
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

// put keeps a connection, unless there are enough.
func (p *pool) put(c *conn, perHost, inAll int, t *Transport) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut || perHost <= 0 || p.idle >= inAll {
		return false
	}
	s := p.shelf(c.place)
	if len(s.idle) >= perHost {
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

// lay puts back what lift took, clears empty shelves away and sets the timer. It
// returns what is not wanted any more.
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
		s.idle = slices.Insert(s.idle, 0, resting[:n]...)
		p.idle += n
		resting = resting[n:]
	}
	maps.DeleteFunc(p.shelves, func(_ place, s *shelf) bool { return len(s.idle) == 0 })
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
	}
	clear(p.shelves)
	p.idle = 0
	if p.armed {
		p.timer.Stop()
		p.armed = false
	}
	return all
}
