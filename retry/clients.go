package retry

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Clients remembers for a few seconds which client was told that which body
// failed for good. The same again is a client that retries by itself: it gets
// one attempt and no retry of ours, or three of theirs times three of ours
// would be nine.
//
// It holds a bounded number of failures and forgets the oldest first. It is
// safe for concurrent use.
type Clients struct {
	ttl time.Duration

	mu     sync.Mutex
	slots  []failure   // a ring; next is the oldest
	places map[who]int // where in slots
	next   int
	last   time.Time // of the newest failure
}

type who struct {
	client string
	digest [sha256.Size]byte
}

type failure struct {
	who
	at time.Time // zero: empty
}

// NewClients returns a memory of so many failures (0 or less: 4096) for that
// long (0 or less: 5s).
func NewClients(size int, ttl time.Duration) *Clients {
	if size <= 0 {
		size = 4096
	}
	if ttl <= 0 {
		ttl = 5 * time.Second
	}
	return &Clients{ttl: ttl, slots: make([]failure, size), places: map[who]int{}}
}

// Digest returns the digest of a request body that Failed and Seen compare:
// SHA-256, so that no client can make another's body look like its own.
func Digest(body []byte) [sha256.Size]byte { return sha256.Sum256(body) }

// Failed says that the call of a client (call.Call.Client) with a body of that
// digest was answered with an error and will not be tried again by us.
func (c *Clients) Failed(client string, digest [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, now := who{client, digest}, time.Now()
	if i, ok := c.places[w]; ok {
		c.slots[i] = failure{} // it moves to the newest place
	}
	if old := c.slots[c.next]; !old.at.IsZero() {
		delete(c.places, old.who)
	}
	c.slots[c.next] = failure{w, now}
	c.places[w] = c.next
	c.next = (c.next + 1) % len(c.slots)
	c.last = now
}

// Seen reports whether the same client failed with the same body within the ttl.
func (c *Clients) Seen(client string, digest [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.places[who{client, digest}]
	return ok && time.Since(c.slots[i].at) <= c.ttl
}

// Recent reports whether anybody failed within the ttl. While it is false Seen
// is, too, and there is no need to compute a digest.
func (c *Clients) Recent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && time.Since(c.last) <= c.ttl
}
