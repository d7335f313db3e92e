package ratelimit_test

import (
	"encoding/json"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// recording is what rate-limiter-flexible itself decided; testdata/record.mjs
// makes it.
type recording struct {
	Recorded map[string]string
	Traces   []struct {
		Points, Duration, BlockDuration int64
		Steps                           []struct {
			After, Cost, Remaining, Wait int64 // ms
			OK                           bool
		}
	}
}

func TestCompatDecidesAsRateLimiterFlexibleDid(t *testing.T) {
	text, err := os.ReadFile("testdata/rate-limiter-flexible.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil || len(r.Traces) < 50 {
		t.Fatalf("%d traces: %v", len(r.Traces), err)
	}
	for i, trace := range r.Traces {
		synctest.Test(t, func(t *testing.T) {
			l := ratelimit.New("rlf", ratelimit.Config{Mode: ratelimit.ModeWindow, Compat: true,
				Points: trace.Points, Duration: time.Duration(trace.Duration) * time.Second, BlockFor: time.Duration(trace.BlockDuration) * time.Second})
			for n, s := range trace.Steps {
				time.Sleep(time.Duration(s.After) * time.Millisecond)
				a := take(l, "k", s.Cost)
				wait := a.Reset // of a call let through: until the window ends
				if !a.OK {
					wait = a.Wait
				}
				if a.OK != s.OK || a.Remaining != s.Remaining || wait != time.Duration(s.Wait)*time.Millisecond {
					t.Fatalf("trace %d (%d in %ds, block %ds), step %d: ours ok %v, %d left, wait %s; theirs ok %v, %d left, wait %dms",
						i, trace.Points, trace.Duration, trace.BlockDuration, n, a.OK, a.Remaining, wait, s.OK, s.Remaining, s.Wait)
				}
			}
		})
	}
}
