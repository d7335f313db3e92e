package edge

import (
	"io"
	"net/http"
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
}

func (p *paced) Read(b []byte) (int, error) {
	began := time.Now()
	allowed := p.config.BodyGrace + time.Duration(p.received/p.config.BodyRate)*time.Second - p.waited
	deadline := began.Add(min(allowed, p.config.WriteStall))
	if !p.end.IsZero() && p.end.Before(deadline) {
		deadline = p.end
	}
	_ = p.control.SetReadDeadline(deadline) // a reader without deadlines, as in tests, needs none
	n, err := p.ReadCloser.Read(b)
	_ = p.control.SetReadDeadline(time.Time{}) // from here on reading only notices that the caller left
	p.received += int64(n)
	p.waited += time.Since(began)
	return n, err
}
