package sim

import "sync"

// memory is a map that forgets its oldest entry when it is full. Its methods may be
// called from several goroutines.
type memory[K comparable, V any] struct {
	mu     sync.Mutex
	max    int
	values map[K]V
	order  []K // by first writing; entries removed by forget stay until their turn
}

func newMemory[K comparable, V any](max int) *memory[K, V] {
	return &memory[K, V]{max: max, values: map[K]V{}}
}

// update replaces the value of k by f of the value so far, and returns it.
func (m *memory[K, V]) update(k K, f func(old V, known bool) V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, known := m.values[k]
	if !known {
		m.makeRoom()
		m.order = append(m.order, k)
	}
	m.values[k] = f(old, known)
	return m.values[k]
}

func (m *memory[K, V]) makeRoom() {
	for len(m.order) >= m.max {
		delete(m.values, m.order[0])
		m.order = m.order[1:]
	}
}

func (m *memory[K, V]) get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[k]
	return v, ok
}

// forget removes k and reports whether it was there.
func (m *memory[K, V]) forget(k K) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.values[k]
	delete(m.values, k)
	return ok
}
