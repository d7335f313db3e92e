package sim

import (
	"sort"
	"sync"
	"time"
)

// Attempt is one call as the provider saw it.
type Attempt struct {
	Seq         uint64    `json:"seq"`      // 1, 2, 3 ... by arrival
	Received    time.Time `json:"received"` // when its headers had been read
	Method      string    `json:"method"`
	Path        string    `json:"path"`
	Host        string    `json:"host"`  // as the caller named it
	Stray       bool      `json:"stray"` // it carried a credential that is not this vendor's; only with Config.Vendor
	Model       string    `json:"model"`
	Fault       string    `json:"fault"` // what was done to it; "ok" for nothing
	Stream      bool      `json:"stream"`
	RequestID   string    `json:"request_id"`  // as sent in x-request-id or request-id
	Tag         string    `json:"tag"`         // x-sim-tag, else metadata.user_id, else user
	RetryCount  string    `json:"retry_count"` // x-stainless-retry-count, as it came
	KeyDigest   string    `json:"key_digest"`  // first 8 hex digits of the key's SHA-256; "" without key
	BodyDigest  string    `json:"body_digest"` // first 16 hex digits of the body's SHA-256
	Status      int       `json:"status"`      // 0: no status line was sent
	FirstByte   time.Time `json:"first_byte,omitzero"`
	Ended       time.Time `json:"ended,omitzero"` // zero while in flight
	Cancelled   bool      `json:"cancelled"`      // the caller left before the end
	CancelledAt time.Time `json:"cancelled_at,omitzero"`
	Completed   bool      `json:"completed"`     // a whole answer was written, of whatever status
	Bytes       int64     `json:"bytes"`         // of the body sent
	InputTokens int       `json:"input_tokens"`  // as estimated, four bytes each
	Tokens      int       `json:"output_tokens"` // content tokens made: sent, or for nobody where work goes on
}

// Counts are the sums over all attempts since the start or the last clearing of the log,
// those that have fallen out of it included.
type Counts struct {
	Calls        int            `json:"calls"`
	InFlight     int            `json:"in_flight"`
	MaxInFlight  int            `json:"max_in_flight"`
	Completed    int            `json:"completed"`
	Cancelled    int            `json:"cancelled"`
	InputTokens  int            `json:"input_tokens"`
	OutputTokens int            `json:"output_tokens"`
	Bytes        int64          `json:"bytes"`
	Stray        int            `json:"stray"`     // attempts with a credential that is not this vendor's
	Dropped      int            `json:"dropped"`   // attempts that fell out of the log
	ByStatus     map[int]int    `json:"by_status"` // ended attempts; 0 is no answer at all
	ByFault      map[string]int `json:"by_fault"`  // at most 256 names, the others under "other"
}

const (
	journalSize  = 100_000
	countedNames = 256
)

// journal is the bounded record of attempts. Its methods may be called from several goroutines.
type journal struct {
	mu       sync.Mutex
	seq      uint64
	ring     []*Attempt // by seq; start is the oldest
	start    int
	size     int
	inFlight int
	counts   Counts
}

func newJournal(size int) *journal {
	j := &journal{size: size}
	j.counts = emptyCounts()
	return j
}

func emptyCounts() Counts {
	return Counts{ByStatus: map[int]int{}, ByFault: map[string]int{}}
}

// begin takes a into the record and gives it its number. The returned pointer is only
// for change.
func (j *journal) begin(a Attempt) *Attempt {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	a.Seq = j.seq
	j.keep(&a)
	j.inFlight++
	j.counts.Calls++
	if a.Stray {
		j.counts.Stray++
	}
	j.counts.MaxInFlight = max(j.counts.MaxInFlight, j.inFlight)
	return &a
}

func (j *journal) keep(a *Attempt) {
	if len(j.ring) < j.size {
		j.ring = append(j.ring, a)
		return
	}
	j.ring[j.start] = a
	j.start = (j.start + 1) % j.size
	j.counts.Dropped++
}

// change lets f write to a under the lock.
func (j *journal) change(a *Attempt, f func(*Attempt)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(a)
}

// end closes a and adds it to the sums.
func (j *journal) end(a *Attempt, f func(*Attempt)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(a)
	j.inFlight--
	c := &j.counts
	if a.Completed {
		c.Completed++
	}
	if a.Cancelled {
		c.Cancelled++
	}
	c.InputTokens += a.InputTokens
	c.OutputTokens += a.Tokens
	c.Bytes += a.Bytes
	c.ByStatus[a.Status]++
	if _, known := c.ByFault[a.Fault]; known || len(c.ByFault) < countedNames {
		c.ByFault[a.Fault]++
	} else {
		c.ByFault["other"]++
	}
}

// since returns copies of the attempts numbered above seq, the oldest first.
func (j *journal) since(seq uint64) []Attempt {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.ring)
	at := func(i int) *Attempt { return j.ring[(j.start+i)%n] }
	first := sort.Search(n, func(i int) bool { return at(i).Seq > seq })
	out := make([]Attempt, 0, n-first)
	for i := first; i < n; i++ {
		out = append(out, *at(i))
	}
	return out
}

// clear forgets all attempts and sums. Calls in flight are not counted again when they end
// as calls, only by their outcome.
func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring, j.start = nil, 0
	j.counts = emptyCounts()
	j.counts.MaxInFlight = j.inFlight
}

func (j *journal) sums() Counts {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.counts
	c.InFlight = j.inFlight
	c.ByStatus, c.ByFault = map[int]int{}, map[string]int{}
	for k, v := range j.counts.ByStatus {
		c.ByStatus[k] = v
	}
	for k, v := range j.counts.ByFault {
		c.ByFault[k] = v
	}
	return c
}

func (j *journal) running() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.inFlight
}
