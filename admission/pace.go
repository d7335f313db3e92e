package admission

import (
	"math"
	"time"
)

// memory is how long a door remembers how fast its line moved.
const memory = 10 * time.Second

// pace estimates how long the line needs to move up by one. It divides the time
// during which somebody waited by the number that got in, both fading with that
// time, so that a burst of admissions after a pause weighs what it should.
type pace struct {
	since time.Time // up to when busy is counted, or when the last line ended
	line  bool      // somebody waits
	rests time.Time // nobody can go in before; zero: somebody could
	busy  float64   // seconds with a line
	moved float64   // calls that went in from it
}

// begin says that somebody waits now. What was seen before fades with the time
// in between.
func (p *pace) begin(now time.Time) {
	if p.line {
		return
	}
	p.fade(now)
	p.line = true
}

// end says that nobody waits any more.
func (p *pace) end(now time.Time) {
	p.pass(now)
	p.line = false
}

// rest says that one of those that wait cannot go in before then. It counts for all
// of them until one does.
func (p *pace) rest(now, until time.Time) {
	p.pass(now)
	if until.After(p.rests) {
		p.rests = until
	}
}

// admitted says that one call went in from the line.
func (p *pace) admitted(now time.Time) {
	p.pass(now)
	p.moved++
	p.rests = time.Time{}
}

// returned says that one that was admitted came back: the line has not moved.
func (p *pace) returned(now time.Time) {
	p.pass(now)
	p.moved = max(0, p.moved-1)
}

// pass counts the time since the last look, if somebody waited who could go in.
func (p *pace) pass(now time.Time) {
	if !p.line {
		return
	}
	seconds := p.fade(now)
	if rested := p.rests.Sub(now).Seconds(); rested > -seconds { // in part, or still
		seconds = max(0, -rested)
	}
	p.busy += seconds
}

func (p *pace) fade(now time.Time) (seconds float64) {
	seconds = now.Sub(p.since).Seconds()
	f := math.Exp(-seconds / memory.Seconds())
	p.busy, p.moved, p.since = p.busy*f, p.moved*f, now
	return seconds
}

// wait estimates how long the call at a place in the line, 1 for its head, must
// wait. The calls that are inside count as if they had just come out: a door
// that has just become busy has seen nobody leave and must not conclude that
// nobody ever will.
func (p *pace) wait(now time.Time, place, inside int) time.Duration {
	p.pass(now)
	seconds := p.busy / (p.moved + float64(max(1, inside))) * float64(place)
	return time.Duration(min(seconds, 3600) * float64(time.Second))
}
