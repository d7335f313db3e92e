package target

import (
	"sync"
	"sync/atomic"
	"time"
)

// Conversations are remembered in a table of fixed size: 4,096 sets of 4, in
// which the one that was quiet for longest gives way.
const (
	talkSets = 1 << 12
	talkWays = 4
)

// talk is a conversation and who answered it last.
type talk struct {
	id          uint64
	target, key string
	used        time.Time
}

// talks remember where conversations are, for as long as a provider keeps their
// prompts. The memory is asked for with the first of them.
type talks struct {
	fresh atomic.Int64 // Config.Affinity

	mu   sync.Mutex
	sets [][talkWays]talk
}

// Converse remembers that a conversation was answered at a target with a key, by
// name. id is a digest of what stays the same in it; 0 is none.
func (p *Pool) Converse(id uint64, target, key string) {
	if id == 0 || p.talks.fresh.Load() <= 0 {
		return
	}
	p.talks.mu.Lock()
	defer p.talks.mu.Unlock()
	if p.talks.sets == nil {
		p.talks.sets = make([][talkWays]talk, talkSets)
	}
	set := &p.talks.sets[id%talkSets]
	oldest := &set[0]
	for i := range set {
		t := &set[i]
		if t.id == id {
			oldest = t
			break
		}
		if t.used.Before(oldest.used) {
			oldest = t
		}
	}
	*oldest = talk{id, target, key, time.Now()}
}

// Affine returns where a conversation was answered last, for Asked.Prefer and Key;
// "" and "" when that is not known, or longer ago than Affinity.
func (p *Pool) Affine(id uint64) (target, key string) {
	fresh := time.Duration(p.talks.fresh.Load())
	if id == 0 || fresh <= 0 {
		return "", ""
	}
	p.talks.mu.Lock()
	defer p.talks.mu.Unlock()
	if p.talks.sets == nil {
		return "", ""
	}
	set := &p.talks.sets[id%talkSets]
	for i := range set {
		if t := &set[i]; t.id == id && time.Since(t.used) < fresh {
			return t.target, t.key
		}
	}
	return "", ""
}
