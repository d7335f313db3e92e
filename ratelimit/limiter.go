package ratelimit

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Limiter holds one limit and a meter for each key. Make it with New; it is safe
// for concurrent use.
type Limiter struct {
	name   string
	config Config
	meter  meter
	order  int64 // of taking locks, among all Limiters
	seed   maphash.Seed
	began  time.Time
	shards []shard
}

var made atomic.Int64

// New returns a Limiter for c, which must be valid. The name is shown to callers
// and in metrics.
func New(name string, c Config) *Limiter {
	c = c.WithDefaults()
	l := &Limiter{name: name, config: c, meter: newMeter(c), order: made.Add(1), seed: maphash.MakeSeed(), began: time.Now()}
	n := 1
	if c.MaxKeys >= manyKeys {
		n = shardsOfMany
	}
	l.shards = make([]shard, n)
	for i := range l.shards {
		l.shards[i].most = (c.MaxKeys + n - 1) / n
		l.shards[i].index = map[uint64]int32{}
	}
	return l
}

// Name returns the name given to New.
func (l *Limiter) Name() string { return l.name }

// Config returns the limit with its defaults.
func (l *Limiter) Config() Config { return l.config }

// Ask is one Limiter's part in a decision: what is asked for, and after Take
// what it said.
type Ask struct {
	Limiter *Limiter
	Key     string // whose meter; "" is a key like any other
	Cost    int64  // points; below 0 counts as 0, and 0 only asks whether the key is blocked

	State
	ticket Ticket
	shard  *shard
	cell   *cell
	shared bool
	weight int64
}

// State is where a key stands with one limit.
type State struct {
	OK        bool          // the limit lets the call through (also when it is in shadow)
	Would     bool          // it is in shadow and would have refused
	Blocked   bool          // the key is in the penalty box
	Remaining int64         // points that may be used now
	Wait      time.Duration // when refused: until the same call may pass; 0 otherwise
	Reset     time.Duration // until every point is back
}

// Ticket is what a call was charged, for Settle. The zero Ticket is of no call.
type Ticket struct {
	limiter *Limiter
	hash    uint64
	since   int64
	cost    int64
}

// Ticket returns what Take charged for this ask; the zero Ticket if nothing.
func (a Ask) Ticket() Ticket { return a.ticket }

// Take charges the costs of all asks, or none of them: when a limit that is not
// in shadow refuses, nothing is charged anywhere. It fills in the State of every
// ask and reorders them. A Limiter may stand among the asks once. No asks are
// let through.
func Take(asks []Ask) bool {
	arrange(asks)
	if len(asks) == 0 {
		return true
	}
	began := asks[0].Limiter.began
	now := began.Add(time.Since(began)) // half the price of time.Now
	for i := range asks {
		asks[i].enter(now)
	}
	pass := true
	for i := range asks {
		pass = asks[i].judge(now) && pass
	}
	for i := len(asks) - 1; i >= 0; i-- {
		asks[i].leave(now, pass)
	}
	return pass
}

// arrange puts the asks into the order of their locks. There are a handful.
func arrange(asks []Ask) {
	for i := 1; i < len(asks); i++ {
		for j := i; j > 0 && asks[j].Limiter.order < asks[j-1].Limiter.order; j-- {
			asks[j], asks[j-1] = asks[j-1], asks[j]
		}
	}
}

// enter takes the lock of the key's shard and finds its cell.
func (a *Ask) enter(now time.Time) {
	l := a.Limiter
	hash := maphash.String(l.seed, a.Key)
	a.ticket = Ticket{limiter: l, hash: hash, cost: max(0, a.Cost)}
	a.weight = l.meter.weigh(a.Cost)
	a.shard = l.shardOf(hash)
	a.shard.mu.Lock()
	a.cell, a.shared = a.shard.find(&l.meter, hash, l.at(now))
}

// judge says whether this limit lets the call go on.
func (a *Ask) judge(now time.Time) bool {
	m := &a.Limiter.meter
	a.State = State{OK: m.fits(a.cell, a.weight)}
	if a.OK {
		return true
	}
	at := a.Limiter.at(now)
	if !a.shared { // nobody is put into the box for what others did
		m.punish(a.cell, a.weight, at)
	}
	a.Wait = time.Duration(m.wait(a.cell, a.weight, at))
	if a.Limiter.config.Shadow {
		a.Would, a.OK, a.Wait = true, true, 0
	}
	return a.OK
}

// leave charges, notes where the key stands and frees the lock.
func (a *Ask) leave(now time.Time, pass bool) {
	m, at := &a.Limiter.meter, a.Limiter.at(now)
	if pass && !a.Would {
		m.add(a.cell, a.weight, at)
		a.ticket.since = a.cell.since
	} else {
		a.ticket = Ticket{}
	}
	a.shard.count.note(a.State, pass)
	remaining, reset := m.left(a.cell, at)
	a.Remaining, a.Reset, a.Blocked = remaining, time.Duration(reset), a.cell.until != 0
	a.shard.mu.Unlock()
	a.shard, a.cell = nil, nil
}

// Settle corrects what a call was charged to what it used, when that is known:
// what is too much is given back as far as it has not come back by itself, what
// is too little is charged even if it does not fit. A Ticket is to be settled at
// most once; the zero Ticket is ignored, and used below 0 counts as 0.
func Settle(t Ticket, used int64) {
	l := t.limiter
	if l == nil {
		return
	}
	m, now := &l.meter, l.at(time.Now())
	s := l.shardOf(t.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _ := s.find(m, t.hash, now)
	if charged, weight := m.weigh(t.cost), m.weigh(used); weight < charged {
		m.give(c, charged-weight, t.since)
	} else {
		m.add(c, weight-charged, now)
	}
}

// Peek returns where a key stands, without charging anything.
func (l *Limiter) Peek(key string) State {
	hash, now := maphash.String(l.seed, key), l.at(time.Now())
	s := l.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := cell{}
	if i, ok := s.index[hash]; ok {
		c = s.cells[i]
	}
	l.meter.pass(&c, now)
	remaining, reset := l.meter.left(&c, now)
	return State{OK: remaining > 0, Blocked: c.until != 0, Remaining: remaining, Reset: time.Duration(reset)}
}

func (l *Limiter) shardOf(hash uint64) *shard { return &l.shards[hash%uint64(len(l.shards))] }

// at returns a moment on the Limiter's own clock, which only goes forward.
func (l *Limiter) at(now time.Time) int64 { return max(0, int64(now.Sub(l.began))) }

// Counts are sums since a Limiter was made.
type Counts struct {
	Admitted int64 `json:"admitted"` // calls charged
	Refused  int64 `json:"refused"`  // calls that this limit refused
	Would    int64 `json:"would"`    // calls that it would have refused, were it not in shadow
	Spared   int64 `json:"spared"`   // calls that it let through and another limit refused: not charged
	Shared   int64 `json:"shared"`   // times that a new key had to share a meter
}

func (c *Counts) note(s State, pass bool) {
	switch {
	case s.Would:
		c.Would++
	case !s.OK:
		c.Refused++
	case !pass:
		c.Spared++
	default:
		c.Admitted++
	}
}

// Stats is a Limiter's state as a whole.
type Stats struct {
	Counts
	Keys    int `json:"keys"`    // keys that are kept
	Blocked int `json:"blocked"` // of these in the penalty box
}

// Stats counts what the Limiter holds. It looks at every key, a shard at a time.
func (l *Limiter) Stats() Stats {
	var all Stats
	for i := range l.shards {
		l.shards[i].sum(&all, l.at(time.Now()))
	}
	return all
}

func (s *shard) sum(all *Stats, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all.Admitted += s.count.Admitted
	all.Refused += s.count.Refused
	all.Would += s.count.Would
	all.Spared += s.count.Spared
	all.Shared += s.count.Shared
	all.Keys += len(s.index)
	for i := range s.cells {
		if s.cells[i].until > now {
			all.Blocked++
		}
	}
}

// Soonest is the longest wait among refused asks, and whose it is: when the same
// call may pass, should nobody else be faster.
func Soonest(asks []Ask) (wait time.Duration, limit string) {
	for i := range asks {
		a := &asks[i]
		if !a.OK && a.Limiter != nil && a.Wait >= wait {
			wait, limit = a.Wait, a.Limiter.name
		}
	}
	return wait, limit
}
