package responses

import "github.com/holdfast-gateway/holdfast/call"

// Large implements call.LargeFrames: what an event means of which only the head
// was read, because the whole is too large to hold. Its type stands before its
// payload; the usage at its end is lost.
func (dialect) Large(name, head []byte, s *call.Stream) call.Frame {
	e := event{typ: name}
	_ = e.read(head)
	switch string(e.typ) {
	case "response.completed", "response.incomplete":
		s.Content, s.Ended, s.Finishes = true, true, 1
		return call.Frame{Kind: call.FrameEnd}
	case "response.failed", "error":
		s.Failed = string(e.typ) == "response.failed"
		return call.Frame{Kind: call.FrameError}
	}
	s.Content = true
	return call.Frame{Kind: call.FrameContent}
}
