package admin_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// follower reads the event stream line by line.
type follower struct {
	t     *testing.T
	lines *bufio.Scanner
	leave func()
}

func (d *desk) follow(last string) *follower {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	req, _ := http.NewRequestWithContext(ctx, "GET", d.server.URL+"/api/v1/events", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := d.server.Client().Do(req)
	if err != nil || resp.Header.Get("Content-Type") != "text/event-stream" {
		d.t.Fatal(resp, err)
	}
	f := &follower{t: d.t, lines: bufio.NewScanner(resp.Body), leave: func() { cancel(); resp.Body.Close() }}
	d.t.Cleanup(f.leave)
	return f
}

// until reads lines up to one that begins with a text, and returns it.
func (f *follower) until(begin string) string {
	f.t.Helper()
	for f.lines.Scan() {
		if strings.HasPrefix(f.lines.Text(), begin) {
			return f.lines.Text()
		}
	}
	f.t.Fatalf("no line %q: %v", begin, f.lines.Err())
	return ""
}

func (d *desk) happen(from, to int) {
	for i := from; i < to; i++ {
		d.feed.Record(&call.Event{Kind: call.KeyPaused, Target: fmt.Sprint("t", i), At: time.Now()})
	}
}

func TestEventsAreHeardAsTheyHappen(t *testing.T) {
	d := open(t, nil)
	f := d.follow("")
	f.until("retry: 2000")
	if err := d.transport.Breaker("backup", "open", "maintenance", time.Hour); err != nil {
		t.Fatal(err)
	}
	if id := f.until("id: "); id != "id: "+d.feed.ID(0) {
		t.Errorf("got %s", id)
	}
	f.until("event: breaker_moved")
	if data := f.until("data: "); !strings.Contains(data, `"target":"backup"`) || !strings.Contains(data, `"to":"open"`) || !strings.Contains(data, `"reason":"maintenance"`) {
		t.Errorf("got %s", data)
	}
}

func TestSilenceIsFilledWithHeartbeats(t *testing.T) {
	f := open(t, nil).follow("")
	f.until(": still here")
	f.until(": still here")
}

func TestAReaderComesBackToWhereItWas(t *testing.T) {
	d := open(t, nil)
	d.happen(0, 5)
	f := d.follow(d.feed.ID(2))
	for _, want := range []string{"t3", "t4"} {
		if data := f.until("data: "); !strings.Contains(data, `"`+want+`"`) {
			t.Errorf("got %s, want %s", data, want)
		}
	}
}

func TestAReaderThatWasAwayTooLongIsToldOfTheGap(t *testing.T) {
	d := open(t, nil)
	d.happen(0, 200) // 128 are kept
	f := d.follow(d.feed.ID(9))
	f.until("event: gap")
	if data := f.until("data: "); data != `data: {"missed":62}` {
		t.Errorf("got %s", data)
	}
	if data := f.until("data: "); !strings.Contains(data, `"t72"`) {
		t.Errorf("got %s", data)
	}
}

func TestAReaderMayWantOnlyWhatIsKept(t *testing.T) {
	d := open(t, nil)
	d.happen(0, 200)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", d.server.URL+"/api/v1/events?follow=false", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Last-Event-ID", "oldest")
	resp, err := d.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || strings.Count(string(text), "\nid: ") != 128 || strings.Contains(string(text), "event: gap") {
		t.Errorf("%v, %d events", err, strings.Count(string(text), "\nid: "))
	}
}

func TestTheStreamEndsWithTheAPI(t *testing.T) {
	d := open(t, nil)
	f := d.follow("")
	f.until("retry: ")
	d.Close()
	for f.lines.Scan() { //nolint:revive // until it ends
	}
	if err := f.lines.Err(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A reader that does not read is cut: nothing is kept for it, and writers of
// events never wait.
func TestAReaderThatDoesNotReadIsCut(t *testing.T) {
	d := open(t, nil)
	conn, err := net.Dial("tcp", d.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", token)
	for deadline := time.Now().Add(10 * time.Second); d.Readers() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the reader is not followed")
		}
	}
	began := time.Now()
	cut := make(chan error, 1)
	go func() {
		gone := time.NewTimer(20 * time.Second)
		defer gone.Stop()
		for i := 0; ; i += 500 {
			select {
			case <-gone.C:
				cut <- fmt.Errorf("not cut")
				return
			default:
			}
			d.happen(i, i+500)
			if d.Readers() == 0 {
				cut <- nil
				return
			}
		}
	}()
	if err := <-cut; err != nil {
		t.Fatal(err)
	}
	t.Logf("cut after %s", time.Since(began))
}
