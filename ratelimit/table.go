package ratelimit

import "sync"

const (
	shardsOfMany = 16 // locks of a table that holds many keys
	manyKeys     = 1024
	sharedCells  = 64 // meters that newcomers share when a shard is full, per shard
	lookAhead    = 16 // cells looked at to find one to forget, when a shard is full
	sweep        = 2  // and when it is not
)

// shard is a part of a Limiter's table, with its lock.
type shard struct {
	mu    sync.Mutex
	index map[uint64]int32 // by hash
	cells []cell
	most  int    // cells kept
	hand  int    // the next cell to look at for one to forget
	full  []cell // meters for new keys when it is full; nil until then
	count Counts
	_     [64]byte // neighbours' locks in other cache lines
}

// find returns the cell of a key, a new one for a key that is not known, and
// whether it is shared with others. The caller holds the lock; the cell is valid
// until it asks for another one.
func (s *shard) find(m *meter, hash uint64, now int64) (c *cell, shared bool) {
	if i, ok := s.index[hash]; ok {
		c = &s.cells[i]
		m.pass(c, now)
		return c, false
	}
	if c = s.room(m, now); c == nil {
		s.count.Shared++
		return s.common(m, hash, now), true
	}
	*c = cell{}
	if s.full != nil { // who shared a meter until now takes its level along, or would begin anew
		*c = *s.common(m, hash, now)
	}
	c.hash = hash
	m.pass(c, now)
	s.index[hash] = int32(s.hand) //nolint:gosec // below maxKeys
	return c, false
}

// common returns the meter that a key shares while it has none of its own.
func (s *shard) common(m *meter, hash uint64, now int64) *cell {
	if s.full == nil {
		s.full = make([]cell, sharedCells)
	}
	c := &s.full[(hash>>32)%sharedCells]
	m.pass(c, now)
	return c
}

// room makes the hand point at a cell for a new key and returns it; nil when
// every cell that was looked at still holds something.
func (s *shard) room(m *meter, now int64) *cell {
	look := sweep
	if len(s.cells) >= s.most {
		look = lookAhead
	}
	for range min(look, len(s.cells)) {
		s.hand++
		if s.hand >= len(s.cells) {
			s.hand = 0
		}
		c := &s.cells[s.hand]
		if m.pass(c, now); m.idle(c) {
			delete(s.index, c.hash)
			return c
		}
	}
	if len(s.cells) >= s.most {
		return nil
	}
	s.cells = append(s.cells, cell{})
	s.hand = len(s.cells) - 1
	return &s.cells[s.hand]
}
