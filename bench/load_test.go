package main

import (
	"bufio"
	"errors"
	"net"
	"testing"
	"time"
)

func TestAClosedLoopCountsOnlyWithinTheWindow(t *testing.T) {
	addr := listen(t)
	tally, err := measure(t.Context(), subject{addr: addr}, 20*time.Millisecond, 100*time.Millisecond, closedLoop(4))
	if err != nil {
		t.Fatal(err)
	}
	if tally.Counted == 0 || tally.Failed != 0 || tally.CPU != 0 {
		t.Errorf("got %+v, want answers, no failure, and no CPU of nobody", tally)
	}
}

func TestLiveStreamsCountEventsAndTheirDelays(t *testing.T) {
	addr := listen(t)
	phase := liveStreams(5, streamPlan{events: 10, pause: 10 * time.Millisecond})
	tally, err := measure(t.Context(), subject{addr: addr}, 50*time.Millisecond, 200*time.Millisecond, phase)
	if err != nil {
		t.Fatal(err)
	}
	if tally.Counted < 20 || tally.Counted > 120 {
		t.Errorf("%d events of 5 streams with 100 per second in 200 ms, want about 100", tally.Counted)
	}
	if n := int64(len(tally.Delays)); n == 0 || n > tally.Counted {
		t.Errorf("%d delays of %d events", n, tally.Counted)
	}
}

// A server that answers nobody for a while must be charged for everybody who
// was due meanwhile, not for the one call that was under way.
func TestAnOpenLoopChargesAStallToEverybodyWhoWasDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	awake := time.Now().Add(stall)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go answerFrom(l, awake)
	tally, err := measure(t.Context(), subject{addr: l.Addr().String()}, 10*time.Millisecond, stall, openLoop(400, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(tally.Delays) < 60 {
		t.Fatalf("%d delays of about 120 calls", len(tally.Delays))
	}
	if p50 := percentile(tally.Delays, 0.5); p50 < stall/4 {
		t.Errorf("the median delay is %s with a stall of %s", p50, stall)
	}
}

// answerFrom accepts at once and answers nobody before that moment.
func answerFrom(l net.Listener, moment time.Time) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			r := bufio.NewReader(conn)
			for {
				if _, err := readRequest(r, nil); err != nil {
					return
				}
				<-time.After(time.Until(moment))
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

func TestAPhaseThatFailsSaysWhy(t *testing.T) {
	addr := freeAddr() // nobody listens
	_, err := measure(t.Context(), subject{addr: addr}, 0, 30*time.Millisecond, closedLoop(1))
	var refused *net.OpError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want the refusal", err)
	}
}
