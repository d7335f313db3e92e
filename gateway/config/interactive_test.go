package config

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// TestEveryFigureOfTheInteractiveProfileIsInForce names each figure that the
// profile promises, as it is once a file has nothing but the profile's name.
func TestEveryFigureOfTheInteractiveProfileIsInForce(t *testing.T) {
	c := inForce(t, "profile: interactive\n")
	route := c.Routes[0]
	target := route.Targets[0]
	b := target.Breaker
	limit := holdfast.Limit{Name: "client", Per: holdfast.PerClient,
		Config: ratelimit.Config{Points: 20, Duration: time.Second, BlockFor: 2 * time.Second, Mode: ratelimit.ModeWindow}}
	for _, figure := range []struct {
		name      string
		got, want any
	}{
		{"attempt timeout: 8 s", route.Timeout.Attempt, 8 * time.Second},
		{"attempt timeout: whatever max_tokens", route.Timeout.AttemptFixed, true},
		{"first token: 8 s, as the attempt of a stream", route.Timeout.FirstToken, 8 * time.Second},
		{"first token: reasoning models have no more", route.Timeout.FirstTokenReasoning, 8 * time.Second},
		{"call total: 9 s", route.Timeout.Total, 9 * time.Second},
		{"retries: max_attempts 3", route.Retry.MaxAttempts, 3},
		{"retries: jittered, from 0.5 s", route.Retry.MinDelay, 500 * time.Millisecond},
		{"retries: jittered, to 2.5 s", route.Retry.MaxDelay, 2500 * time.Millisecond},
		{"upstream: 5 concurrent per target", target.Concurrency.Max, 5},
		{"edge limit: one, per client", len(c.Limits), 1},
		{"edge limit: 20 per 1 s, blocked for 2 s", fmt.Sprintf("%+v", c.Limits[0]), fmt.Sprintf("%+v", limit)},
		{"queue: 4 running per route", route.Queue.Running, 4},
		{"queue: at most 50 waiting", route.Queue.MaxDepth, 50},
		{"breaker: ratio 50 %", b.Ratio, 0.5},
		{"breaker: window 60 s", b.Window, 60 * time.Second},
		{"breaker: 15 s open by ratio", b.OpenForRatio, 15 * time.Second},
		{"breaker: 5 in a row", b.Consecutive, 5},
		{"breaker: 30 s open by failures in a row", b.OpenForConsecutive, 30 * time.Second},
		{"error codes: seed", route.ErrorCodes, "seed"},
	} {
		t.Run(figure.name, func(t *testing.T) {
			if figure.got != figure.want {
				t.Errorf("%v, want %v", figure.got, figure.want)
			}
		})
	}
}

// upstream is a provider that answers as a function says, and remembers when it
// was asked.
type upstream struct {
	answer func() int // the status

	mu    sync.Mutex
	asked []time.Time
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	u.asked = append(u.asked, time.Now())
	u.mu.Unlock()
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	status := u.answer()
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"error":{"message":"no","type":"x","code":null}}`))}, nil
}

// interactive is the front door of a file with the profile before u.
func interactive(t *testing.T, u *upstream) *holdfast.Transport {
	t.Helper()
	c := inForce(t, "profile: interactive\n")
	c.Transport = u
	hf, err := holdfast.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hf.Close() })
	return hf
}

// said sends a call and returns status and body.
func said(hf *holdfast.Transport) (int, string) {
	body := []byte(`{"model":"chat","messages":[{"role":"user","content":"hi"}]}`)
	req, err := http.NewRequest(http.MethodPost, "http://gateway/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	resp, err := hf.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// TestTheInteractiveProfileTriesAgainOnTheStatusesItNames: a fault of the provider
// at most once more, a throttle as often as max_attempts allows.
func TestTheInteractiveProfileTriesAgainOnTheStatusesItNames(t *testing.T) {
	for status, attempts := range map[int]int{429: 3, 500: 2, 502: 2, 503: 2, 504: 2, 400: 1, 403: 1, 404: 1} {
		t.Run(fmt.Sprintf("%d: %d attempts", status, attempts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &upstream{answer: func() int { return status }}
				hf := interactive(t, u)
				if got, text := said(hf); got < 400 {
					t.Errorf("status %d: %s", got, text)
				}
				if len(u.asked) != attempts {
					t.Fatalf("%d attempts, want %d", len(u.asked), attempts)
				}
				for i := range u.asked[1:] {
					if wait := u.asked[i+1].Sub(u.asked[i]); wait < 500*time.Millisecond || wait > 2500*time.Millisecond {
						t.Errorf("waited %s, want 0.5 s to 2.5 s", wait)
					}
				}
			})
		})
	}
}

// TestTheInteractiveProfileLetsFourRunAndFiftyWait sends 60 calls at once to a
// provider that answers late: 54 stay, the others are refused at once.
func TestTheInteractiveProfileLetsFourRunAndFiftyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{answer: func() int { time.Sleep(time.Second); return http.StatusBadRequest }}
		hf := interactive(t, u)
		var mu sync.Mutex
		refused := 0
		var calls sync.WaitGroup
		for range 60 {
			calls.Go(func() {
				if status, text := said(hf); status == http.StatusServiceUnavailable && strings.Contains(text, "queue_overflow") {
					mu.Lock()
					defer mu.Unlock()
					refused++
				}
			})
		}
		synctest.Wait()
		mu.Lock()
		atOnce := refused
		mu.Unlock()
		if r := hf.Status().Routes[0]; r.Running != 4 || r.Waiting != 50 || atOnce != 6 {
			t.Errorf("%d running, %d waiting, %d refused with 503 queue_overflow; want 4, 50 and 6", r.Running, r.Waiting, atOnce)
		}
		calls.Wait()
	})
}
