package edge

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// paced is a request body whose sender has to keep up. The time that reads spend
// waiting may not exceed a grace and what a minimum rate allows for the bytes
// that came; no single read may wait longer than a stall. Time in which nobody
// reads, as while a provider is slow to take an upload, is not the sender's.
//
// Reads end with os.ErrDeadlineExceeded; then and at the end of the body its
// connection has no deadline left.
type paced struct {
	io.ReadCloser
	control *http.ResponseController
	config  *Config
	end     time.Time // of all reads; zero: none

	received int64
	waited   time.Duration
	ended    atomic.Bool // nothing is left to read
	parting  atomic.Bool // the answer has begun, or is over
}

// lastWait is how long what is left of a body may take once it is answered:
// net/http reads some of it, so that its connection can serve again.
const lastWait = 5 * time.Second

// part bounds what net/http still reads of a body that nobody here wants.
func (p *paced) part() {
	if p == nil || p.ended.Load() {
		return
	}
	p.parting.Store(true)
	_ = p.control.SetReadDeadline(time.Now().Add(lastWait))
}

// Close gives the body up. net/http then reads what is left, which is bounded.
func (p *paced) Close() error {
	p.part()
	return p.ReadCloser.Close()
}

func (p *paced) Read(b []byte) (int, error) {
	if p.parting.Load() {
		return p.ReadCloser.Read(b)
	}
	began := time.Now()
	allowed := p.config.BodyGrace + time.Duration(p.received/p.config.BodyRate)*time.Second - p.waited
	deadline := began.Add(min(allowed, p.config.writeStall()))
	if !p.end.IsZero() && p.end.Before(deadline) {
		deadline = p.end
	}
	_ = p.control.SetReadDeadline(deadline) // a reader without deadlines, as in tests, needs none
	n, err := p.ReadCloser.Read(b)
	if !p.parting.Load() {
		_ = p.control.SetReadDeadline(time.Time{}) // from here on reading only notices that the caller left
	}
	if err == io.EOF {
		p.ended.Store(true)
	}
	p.received += int64(n)
	p.waited += time.Since(began)
	return n, err
}
