package quota

import "time"

// Waiter is a call that will wait if it must. A large one is not overtaken by
// smaller ones as long as it goes on asking. The zero Waiter does not wait.
type Waiter struct {
	Number   uint64        // tells calls apart
	Patience time.Duration // how much longer it can wait
}

// claim is the place of a call that was refused and comes first when there is
// enough for it. Until then nobody overtakes it, or the small ones would leave
// nothing for the large.
type claim struct {
	who  uint64
	due  time.Duration // when there will be enough
	seen time.Duration // when it asked last
}

// attendance is how long a claim stands whose call does not ask any more.
const attendance = time.Second

// inTurn lengthens a wait by what a claim of somebody else takes, and makes a
// claim for who must wait, finds none and can wait so long.
func (a *Account) inTurn(now, wait time.Duration, who Waiter) time.Duration {
	c := &a.claim
	if c.who != 0 && c.who != who.Number && now < c.seen+attendance {
		return max(wait, c.due-now, time.Millisecond)
	}
	if who.Number != 0 && wait > 0 && wait <= who.Patience {
		*c = claim{who: who.Number, due: now + wait, seen: now}
	}
	return wait
}
