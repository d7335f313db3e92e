package target

import (
	"cmp"
	"slices"
	"time"
)

// The states in a KeyState.
const (
	StateEjected = "ejected"
	StatePaused  = "paused"
)

// KeyState is something that rests: a key of a target (ejected), a key for one
// model (paused), or a model at a target (ejected, with no Key).
type KeyState struct {
	Target string
	Key    string // alias, or "#1" for the first key without one; "" for a model or a whole target
	Model  string // "" for all models, or for all beyond the 256 remembered
	State  string // StateEjected or StatePaused
	Reason string // the class that caused it, or ReasonOutlier
	Until  time.Time
}

// Snapshot returns everything that rests now, sorted by target, key and model.
func (p *Pool) Snapshot() []KeyState {
	var all []KeyState
	p.mu.Lock()
	now := time.Now()
	add := func(s KeyState, r rest) {
		if r.active(now) {
			s.Reason, s.Until = r.reason, r.until
			all = append(all, s)
		}
	}
	for target, u := range p.upstreams {
		add(KeyState{Target: target, State: StateEjected}, u.own.rest)
		for key, r := range u.record {
			add(KeyState{Target: target, Key: key, State: StateEjected}, r.rest)
		}
		for key, r := range u.keys {
			add(KeyState{Target: target, Key: key, State: StateEjected}, *r)
		}
		u.each(func(name string, m *model) {
			add(KeyState{Target: target, Model: name, State: StateEjected}, m.ejected)
			for key, r := range m.paused {
				add(KeyState{Target: target, Key: key, Model: name, State: StatePaused}, *r)
			}
		})
	}
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b KeyState) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Model, b.Model), cmp.Compare(a.State, b.State))
	})
	return all
}

// Release ends every ejection and pause of a key of a target; with key "" every
// one of the target, those of its models included. It reports whether there was
// any. What is still wrong will be found out by the next attempt.
func (p *Pool) Release(target, key string) (released bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.upstreams[target]
	if u == nil {
		return false
	}
	now := time.Now()
	drop := func(rests map[string]*rest) {
		for name, r := range rests {
			if key == "" || key == name {
				released = released || r.active(now)
				delete(rests, name)
			}
		}
	}
	drop(u.keys)
	released = u.forgive(key, now) || released
	u.each(func(_ string, m *model) {
		drop(m.paused)
		if key == "" {
			released = released || m.ejected.active(now)
			m.ejected = rest{}
		}
	})
	return released
}
