package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

// What the document says of answers that other packages made.
var (
	story     = explain.Story{}
	liveEvent = explain.Live{}
)

// patience is how long a write to a reader of events may take.
const patience = 5 * time.Second

// follow writes events until the reader leaves or does not keep up.
func (a *API) follow(w http.ResponseWriter, r *http.Request, _ map[string]string) *problem {
	on, p := goesOn(r.URL.RawQuery)
	if p != nil {
		return p
	}
	select {
	case a.readers <- struct{}{}:
		defer func() { <-a.readers }()
	default:
		w.Header().Set("Retry-After", "5")
		return &problem{Status: http.StatusServiceUnavailable, Code: "too_many_readers", Detail: "64 readers follow the events already."}
	}
	at := a.Feed.Seek(r.Header.Get("Last-Event-ID"))
	w.Header().Set("Content-Type", "text/event-stream")
	s := &stream{w: w, control: http.NewResponseController(w), feed: a.Feed, quit: a.quit, once: !on}
	if err := s.send("retry: 2000\n\n"); err != nil {
		return nil //nolint:nilerr // the reader has gone
	}
	s.run(r, at, a.Heartbeat)
	return nil
}

// goesOn reads the query of the event stream.
func goesOn(query string) (bool, *problem) {
	switch query {
	case "", "follow=true":
		return true, nil
	case "follow=false":
		return false, nil
	}
	return false, badRequest("The query is follow=true or follow=false.")
}

// stream is one reader of the events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	feed    *explain.Feed
	quit    <-chan struct{}
	once    bool // ends when everything that is kept was sent
	text    []byte
}

// run sends what happens from a position on.
func (s *stream) run(r *http.Request, at uint64, heartbeat time.Duration) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	events := make([]explain.Live, 64)
	for begun := false; ; begun = true {
		n, missed, more := s.feed.Read(at, events)
		if missed > 0 && begun {
			return // too slow: it hears what it missed when it comes back
		}
		at += missed
		if err := s.tell(events[:n], at, missed); err != nil {
			return
		}
		if at += uint64(n); n > 0 {
			continue
		}
		if s.once {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.quit:
			return
		case <-more:
		case <-beat.C:
			if s.send(": still here\n\n") != nil {
				return
			}
		}
	}
}

// tell writes events, the first of which stands at a position.
func (s *stream) tell(events []explain.Live, at, missed uint64) error {
	s.text = s.text[:0]
	if missed > 0 {
		s.text = fmt.Appendf(s.text, "event: gap\ndata: {\"missed\":%d}\n\n", missed)
	}
	for i := range events {
		data, err := json.Marshal(events[i])
		if err != nil {
			return err
		}
		s.text = fmt.Appendf(s.text, "id: %s\nevent: %s\ndata: %s\n\n", s.feed.ID(at+uint64(i)), events[i].Kind, data)
	}
	if len(s.text) == 0 {
		return nil
	}
	return s.send(string(s.text))
}

// send writes and flushes, or fails when the reader does not take it in time.
func (s *stream) send(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(patience)) // a writer that cannot is a test's
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
