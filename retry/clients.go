package retry

import (
	"crypto/sha256"
	"io"
	"sync"
	"time"
)

// Clients remembers for a few seconds, and for as long as it was told to wait,
// which client was told that which request failed for good. The same again is a
// client that retries by itself: it gets one attempt and no retry of ours, or
// three of theirs times three of ours would be nine.
//
// It holds a bounded number of failures and forgets the oldest first. It is
// safe for concurrent use.
type Clients struct {
	ttl time.Duration

	mu     sync.Mutex
	slots  []failure   // a ring; next is the oldest
	places map[who]int // where in slots
	next   int
	last   time.Time // the latest moment at which one is remembered
}

type who struct {
	client string
	digest [sha256.Size]byte
}

type failure struct {
	who
	until time.Time // remembered till then, included; zero: empty
}

// NewClients returns a memory of so many failures (0 or less: 4096) for that
// long (0 or less: 5s) after a client may come again.
func NewClients(size int, ttl time.Duration) *Clients {
	if size <= 0 {
		size = 4096
	}
	if ttl <= 0 {
		ttl = 5 * time.Second
	}
	return &Clients{ttl: ttl, slots: make([]failure, size), places: map[who]int{}}
}

// Digest returns the digest of a request that Failed and Seen compare: of its
// path and query, which may hold the model or the tool, and its body. SHA-256, so
// that no client can make another's request look like its own.
func Digest(uri string, body []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.WriteString(h, uri) // a hash never fails
	_, _ = h.Write([]byte{0})     // which no path holds
	_, _ = h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// Failed says that the call of a client (call.Call.Client) with that
// digest was answered with an error and will not be tried again by us. wait is
// what it was told to wait, 0 for nothing: one that comes back then is retrying.
func (c *Clients) Failed(client string, digest [sha256.Size]byte, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, until := who{client, digest}, time.Now().Add(max(wait, 0)+c.ttl)
	if i, ok := c.places[w]; ok {
		c.slots[i] = failure{} // it moves to the newest place
	}
	if old := c.slots[c.next]; !old.until.IsZero() {
		delete(c.places, old.who)
	}
	c.slots[c.next] = failure{w, until}
	c.places[w] = c.next
	c.next = (c.next + 1) % len(c.slots)
	if until.After(c.last) {
		c.last = until
	}
}

// Seen reports whether the same client failed with the same body and the ttl,
// counted from when it may come again, is not over.
func (c *Clients) Seen(client string, digest [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.places[who{client, digest}]
	return ok && !time.Now().After(c.slots[i].until)
}

// Recent reports whether any failure is remembered. While it is false Seen is, too, and there is no need to compute a digest.
func (c *Clients) Recent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && !time.Now().After(c.last)
}
