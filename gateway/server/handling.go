package server

import "sync"

// handling counts requests under way, and can be waited for. The zero value is
// ready. A WaitGroup would not do: a request may begin while one waits.
type handling struct {
	mu     sync.Mutex
	count  int
	closed bool
	empty  chan struct{} // made by close; closed when count is 0
}

// enter counts a request in; it returns false after close.
func (h *handling) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.count++
	}
	return !h.closed
}

func (h *handling) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count--
	if h.closed && h.count == 0 {
		close(h.empty)
	}
}

// close lets nobody in; what it returns is closed when everybody has left.
func (h *handling) close() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed, h.empty = true, make(chan struct{})
		if h.count == 0 {
			close(h.empty)
		}
	}
	return h.empty
}
