package admission

import "time"

const (
	// window is how many calls at the head of a class's line are asked whether
	// they are ready: the head may need a target that is busy while the one
	// behind it needs another.
	window = 8
	// batch is how many calls one look lets in that nobody keeps from going on.
	batch = 8
	// breath is the time a call that was let in has to take what it came for, or
	// to come back, before others are asked. Most looks follow one release, which
	// is enough for one call: others would find the same thing free, and who gets
	// it then is luck.
	breath = time.Millisecond
)

// look lets in whom it can, in order.
func (d *Door) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.again = true
	if d.looking {
		return
	}
	d.looking = true
	defer func() { d.looking = false }() // also when a Ready panics
	for d.again {
		d.again = false
		d.lookOnce()
	}
}

// lookOnce asks each call in the window once and lets in those that are ready.
func (d *Door) lookOnce() {
	d.looks++
	for let := 0; d.trying == 0; let++ {
		p := d.firstReady()
		if p == nil {
			return
		}
		if let == batch {
			break
		}
		if p.ready != nil {
			d.trying++
			p.trying = d.breaths
		}
		d.admit(p, time.Now())
	}
	if d.waiting > 0 {
		d.rest()
	}
}

// settle notes that a call that was let in has what it came for, or has not.
func (d *Door) settle(p *Place) (settled bool) {
	settled = p.trying == d.breaths && d.trying > 0
	if settled {
		d.trying--
	}
	p.trying = 0
	return settled
}

// firstReady returns the first call in the window that can go in now. It asks
// without the lock, so it looks at everything again afterwards.
func (d *Door) firstReady() *Place {
	for {
		p := d.nextToAsk()
		if p == nil {
			return nil
		}
		p.asked = d.looks
		if d.ask(p) && p.state == waiting && d.open() && !p.late(time.Now()) {
			return p
		}
	}
}

func (d *Door) ask(p *Place) bool {
	d.mu.Unlock()
	defer d.mu.Lock()
	return p.isReady()
}

// nextToAsk returns the first call in the windows that this look has not asked:
// those at the front, then class by class.
func (d *Door) nextToAsk() *Place {
	if !d.open() || d.waiting == 0 {
		return nil
	}
	if p := d.nextBack(); p != nil {
		return p
	}
	now := time.Now()
	for _, c := range d.order() {
		if p := d.lanes[c.index()].next(d.looks, now, &d.c); p != nil {
			return p
		}
	}
	return nil
}

// nextBack returns the next to ask at the front. One that has been inside in vain
// is passed over, and takes no room in the window, until something has been
// released since: its Ready would only say once more what dispatch has found to
// be untrue.
func (d *Door) nextBack() *Place {
	seen := 0
	for _, p := range d.front {
		if p.vain && p.epoch == d.epoch {
			continue
		}
		if p.asked != d.looks {
			return p
		}
		if seen++; seen == window {
			break
		}
	}
	return nil
}

// order returns the classes as they are served: those that are a call behind
// their share before the others, the more important first.
func (d *Door) order() (order [len(Classes)]Class) {
	n := 0
	for _, due := range [...]bool{true, false} {
		for _, c := range Classes {
			if d.lanes[c.index()].credit >= 1 == due {
				order[n] = c
				n++
			}
		}
	}
	return order
}

// rest has the line looked at again after a breath, once.
func (d *Door) rest() {
	if d.resting {
		return
	}
	d.resting = true
	time.AfterFunc(breath, func() {
		d.mu.Lock()
		d.resting = false
		d.breaths++ // who has not settled by now may take long
		d.trying = 0
		d.mu.Unlock()
		d.look()
	})
}
