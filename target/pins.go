package target

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

// maxPinID bounds the ids that are remembered; the providers' are below 100 bytes.
const maxPinID = 512

// pins remember which target and key made a piece of provider-side state. The
// least recently used one is forgotten first.
type pins struct {
	mu   sync.Mutex
	size int
	ttl  time.Duration
	byID map[string]*list.Element // of pin
	used list.List                // most recently used first
}

type pin struct {
	id, target, key string
	used            time.Time
}

func newPins(size int, ttl time.Duration) *pins {
	return &pins{size: max(1, size), ttl: ttl, byID: map[string]*list.Element{}}
}

// Pin remembers that the state with that id lives at a target, with the account
// of a key, both by name (call.Upstream.KeyName). It replaces what was known of the id.
// Empty ids and ids above 512 bytes are not remembered.
func (p *Pool) Pin(id, target, key string) { p.pins.set(id, target, key) }

// Pinned returns where the state with that id lives, and keeps that in memory
// for another PinTTL. ok is false when it is not known (any more).
func (p *Pool) Pinned(id string) (target, key string, ok bool) { return p.pins.get(id) }

func (p *pins) set(id, target, key string) {
	if id == "" || len(id) > maxPinID {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.byID[id]; e != nil {
		known := e.Value.(*pin)
		known.target, known.key, known.used = target, key, time.Now()
		p.used.MoveToFront(e)
		return
	}
	id = strings.Clone(id) // it may be a piece of a whole body
	p.byID[id] = p.used.PushFront(&pin{id, target, key, time.Now()})
	p.shrink()
}

func (p *pins) get(id string) (target, key string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byID[id]
	if e == nil {
		return "", "", false
	}
	known := e.Value.(*pin)
	if time.Since(known.used) >= p.ttl {
		p.remove(e)
		return "", "", false
	}
	known.used = time.Now()
	p.used.MoveToFront(e)
	return known.target, known.key, true
}

func (p *pins) resize(size int, ttl time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size, p.ttl = max(1, size), ttl
	p.shrink()
}

// shrink forgets what is too much, and what has expired. Called under the lock.
func (p *pins) shrink() {
	for e := p.used.Back(); e != nil; e = p.used.Back() {
		if p.used.Len() <= p.size && time.Since(e.Value.(*pin).used) < p.ttl {
			return
		}
		p.remove(e)
	}
}

func (p *pins) remove(e *list.Element) {
	delete(p.byID, e.Value.(*pin).id)
	p.used.Remove(e)
}
