package quota

import "time"

// Waiter is a call that will wait if it must. A large one is not overtaken by
// smaller ones as long as it goes on asking, until it yields. The zero Waiter does
// not wait.
type Waiter struct {
	Number   uint64        // tells calls apart; 0: nobody
	Patience time.Duration // how much longer it can wait; 0 keeps the place it has and makes none
}

// claim is the place of a call that was refused and comes first when there is
// enough for it. Until then nobody overtakes it, or the small ones would leave
// nothing for the large.
type claim struct {
	who  uint64
	due  time.Duration // when there will be enough
	seen time.Duration // when it asked last
}

const (
	// attendance is how long a claim stands whose call does not ask any more.
	attendance = time.Second
	// lateness is how long after its due a claim stands: its call was woken then.
	// One that took another key, or left, would hold everybody up for longer.
	lateness = 50 * time.Millisecond
)

// stands reports whether others must wait for the claim.
func (c *claim) stands(now time.Duration) bool {
	return c.who != 0 && now < c.seen+attendance && now < c.due+lateness
}

// Yield gives up the place that a call, by its Waiter's number, may have here: it
// found what it needs elsewhere, or has left. Other calls' places stay.
func (a *Account) Yield(number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claim.who == number {
		a.claim = claim{}
	}
}

// inTurn lengthens a wait by what a claim of somebody else takes, and makes a
// claim for who must wait, finds none and can wait so long.
func (a *Account) inTurn(now, wait time.Duration, who Waiter) time.Duration {
	c := &a.claim
	if c.who != who.Number && c.stands(now) {
		return max(wait, c.due-now, time.Millisecond)
	}
	if who.Number != 0 && wait > 0 && wait <= who.Patience {
		*c = claim{who: who.Number, due: now + wait, seen: now}
	}
	return wait
}
