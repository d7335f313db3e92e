package stream

import "github.com/holdfast-gateway/holdfast/call"

// produce estimates how much an answer holds, for when its provider does not
// say. An event of a stream is mostly wrapping: what the smallest of them weighs
// is taken for it, and for one token; the rest of the others for their text.
type produce struct {
	events, bytes, least int
}

// note counts a meaningful event of n bytes. How a stream finishes and ends holds
// nothing; the end of a whole answer is all of it.
func (p *produce) note(kind call.FrameKind, n int, whole bool) {
	if kind != call.FrameContent && !whole {
		return
	}
	if p.events == 0 || n < p.least {
		p.least = n
	}
	p.events++
	p.bytes += n
}

// tokens is the estimate; whole says that the one event was the whole answer.
func (p *produce) tokens(whole bool) int {
	if whole {
		return call.TextTokens(p.bytes, 0)
	}
	return p.events + call.TextTokens(p.bytes-p.events*p.least, 0)
}
