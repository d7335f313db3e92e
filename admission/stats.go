package admission

import "time"

// sheds are the calls of one class that were refused.
type sheds struct{ full, timeout, draining int64 }

func (s *sheds) count(e *Error) {
	switch e.Reason {
	case ReasonFull:
		s.full++
	case ReasonTimeout:
		s.timeout++
	case ReasonDraining:
		s.draining++
	}
}

// Snapshot is what a Door knows of itself at one moment.
type Snapshot struct {
	Running  int // calls inside
	Waiting  int // calls that wait, those that came back included
	Paused   bool
	Draining bool
	Classes  [len(Classes)]ClassSnapshot // as Classes
}

// ClassSnapshot is one class's share of a Snapshot. Refusals are counted since
// the Door was made.
type ClassSnapshot struct {
	Class    Class
	Waiting  int   // those that came back included
	Standing bool  // some tenant waits for long, and few are let join
	Full     int64 // refused: no room in the line
	Timeout  int64 // refused: the wait was too long, or would have been
	Draining int64 // refused: the door was draining
}

// Snapshot returns what the Door knows of itself now.
func (d *Door) Snapshot() Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	back := [len(shares)]int{}
	for _, p := range d.front {
		back[p.class.index()]++
	}
	s := Snapshot{Running: d.running, Waiting: d.waiting, Paused: d.paused, Draining: d.draining}
	for i, c := range Classes {
		l, shed := &d.lanes[c.index()], d.shed[c.index()]
		s.Classes[i] = ClassSnapshot{Class: c, Waiting: l.waiting + back[c.index()], Standing: d.stands(l), Full: shed.full, Timeout: shed.timeout, Draining: shed.draining}
	}
	return s
}

// stands reports whether some tenant's queue stands.
func (d *Door) stands(l *lane) bool {
	now := time.Now()
	for _, f := range l.flows {
		if f.stands(now, &d.c) {
			return true
		}
	}
	return false
}
