package cache

import (
	"container/list"
	"net/http"
	"sync"
	"time"
)

// Answer is a whole, good answer. Nobody may change what it holds: it goes to
// many callers.
type Answer struct {
	Status   int
	Header   http.Header // what of the provider's headers speaks of the answer
	Body     []byte
	Provider string // who made it
	Model    string
	Made     time.Time // when it was whole
}

// overhead is what an entry takes in memory besides its answer, in bytes; an
// estimate.
const overhead = 512

// size estimates what a takes in memory.
func (a *Answer) size() int64 {
	n := int64(overhead + len(a.Body) + len(a.Provider) + len(a.Model))
	for name, values := range a.Header {
		n += int64(len(name)) + 64
		for _, v := range values {
			n += int64(len(v)) + 16
		}
	}
	return n
}

// Store keeps answers. Make it with NewStore; it is safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	c      Config // with defaults
	byKey  map[Key]*list.Element
	recent *list.List // of *entry; the one used last in front
	bytes  int64
	counts Contents
}

type entry struct {
	key    Key
	answer *Answer
	size   int64
}

// Contents are a Store's counts since it was made, and what it holds now.
type Contents struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"`
	Kept    int64 `json:"kept"`    // answers taken in
	Evicted int64 `json:"evicted"` // that made room for others
	TooBig  int64 `json:"too_big"` // answers not taken in for their size
}

// NewStore returns an empty Store. c should have been validated.
func NewStore(c Config) *Store {
	return &Store{c: c.WithDefaults(), byKey: map[Key]*list.Element{}, recent: list.New()}
}

// Reconfigure replaces the configuration; c should have been validated. What is
// too much now goes, the oldest first; with Off everything.
func (s *Store) Reconfigure(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c = c.WithDefaults()
	if s.c.Keeps() {
		s.shrink()
		return
	}
	clear(s.byKey)
	s.recent.Init()
	s.bytes = 0
}

// Get returns the answer kept for k, how old it is, and whether it is fresh; nil
// when there is none that is of use.
func (s *Store) Get(k Key) (a *Answer, age time.Duration, fresh bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.byKey[k]
	if at == nil {
		return nil, 0, false
	}
	a = at.Value.(*entry).answer
	age = now.Sub(a.Made)
	if age >= s.c.life() {
		s.drop(at)
		return nil, 0, false
	}
	s.recent.MoveToFront(at)
	return a, age, age < s.c.TTL
}

// Put keeps an answer in place of the one that k had. It reports false for one
// that is too large, or when nothing is kept.
func (s *Store) Put(k Key, a *Answer) bool {
	size := a.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.c.Keeps() {
		return false
	}
	if at := s.byKey[k]; at != nil {
		s.drop(at)
	}
	if int64(len(a.Body)) > s.c.MaxEntry || size > s.c.MaxBytes {
		s.counts.TooBig++
		return false
	}
	s.byKey[k] = s.recent.PushFront(&entry{k, a, size})
	s.bytes += size
	s.counts.Kept++
	s.shrink()
	return true
}

// shrink drops what was used longest ago until the bounds hold.
func (s *Store) shrink() {
	for s.recent.Len() > s.c.MaxEntries || s.bytes > s.c.MaxBytes {
		s.drop(s.recent.Back())
		s.counts.Evicted++
	}
}

func (s *Store) drop(at *list.Element) {
	e := s.recent.Remove(at).(*entry)
	delete(s.byKey, e.key)
	s.bytes -= e.size
}

// Contents returns the counts.
func (s *Store) Contents() Contents {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts
	n.Entries, n.Bytes = s.recent.Len(), s.bytes
	return n
}
