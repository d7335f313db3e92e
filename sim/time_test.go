package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/pipenet"
	"github.com/holdfast-gateway/holdfast/sim"
)

// bubble runs f in virtual time with a provider behind an in-memory network.
func bubble(t *testing.T, d sim.Dials, f func(t *testing.T, p *sim.Provider, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := sim.New(sim.Config{Dials: d})
		client, stop := pipenet.Serve(p)
		defer stop()
		f(t, p, client)
	})
}

// heard is one read of a body and when it came.
type heard struct {
	at   time.Duration
	text string
}

// listen sends body and reads the answer until it ends or patience does. It returns when
// the headers came, what was read when, and the error at the end.
func listen(t *testing.T, client *http.Client, d dialect, body string, patience time.Duration) (headers time.Duration, got []heard, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://sim.test"+d.path, strings.NewReader(body))
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	headers = time.Since(began)
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			got = append(got, heard{time.Since(began), string(buf[:n])})
		}
		if err == io.EOF {
			return headers, got, nil
		}
		if err != nil {
			return headers, got, err
		}
	}
}

func text(got []heard) string {
	var b bytes.Buffer
	for _, h := range got {
		b.WriteString(h.text)
	}
	return b.String()
}

func TestRetryAfterIsOverWhenItSays(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		ask := func(prompt string) answer {
			return do(t, client, "POST", "http://sim.test"+d.path, d.ask("sim/429-retry-after-2", prompt, false))
		}
		if got := ask("hi"); got.status != 429 || got.header.Get("Retry-After") != "2" {
			t.Fatalf("first attempt: %d, Retry-After %q; want 429, 2", got.status, got.header.Get("Retry-After"))
		}
		time.Sleep(1500 * time.Millisecond)
		if got := ask("hi"); got.status != 429 || got.header.Get("Retry-After") != "1" {
			t.Errorf("after 1.5 s: %d, Retry-After %q; want 429, 1", got.status, got.header.Get("Retry-After"))
		}
		time.Sleep(500 * time.Millisecond)
		if got := ask("hi"); got.status != 200 {
			t.Errorf("after 2 s: %d, want 200", got.status)
		}
		if got := ask("ho"); got.status != 429 {
			t.Errorf("another call: %d, want a 429 of its own", got.status)
		}
	})
}

func TestFlapTakesTurns(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[2]
		var got []int
		for range 6 {
			got = append(got, do(t, client, "POST", "http://sim.test"+d.path, d.ask("sim/flap-60s", "hi", true)).status)
			time.Sleep(30 * time.Second)
		}
		if want := "[200 200 503 503 200 200]"; fmt.Sprint(got) != want {
			t.Errorf("every 30 s: %v, want %s", got, want)
		}
	})
}

func TestSilentWaitsForTheCallerToLeave(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		for _, d := range dialects {
			if _, _, err := listen(t, client, d, d.ask("sim/silent", "hi", true), time.Hour); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want our own deadline", d.name, err)
			}
			synctest.Wait()
			a := last(t, p)
			if !a.Cancelled || a.CancelledAt.Sub(a.Received) != time.Hour || a.Status != 0 || p.InFlight() != 0 {
				t.Errorf("recorded %+v with %d in flight; want cancelled after 1h", a, p.InFlight())
			}
		}
	})
}

func TestSlowFirstTokenSendsHeadersAtOnce(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		for _, d := range dialects {
			headers, got, err := listen(t, client, d, d.ask("sim/slow-first-token-20s", "hi", true), time.Hour)
			if err != nil || headers != 0 || !strings.Contains(text(got), d.done) {
				t.Fatalf("%s: headers after %s, %v", d.name, headers, err)
			}
			for _, h := range got {
				if early := len(tokens(h.text)) > 0 && h.at != 20*time.Second; early {
					t.Errorf("%s: content after %s, want 20s", d.name, h.at)
				}
			}
			if d.name == "messages" && (got[0].at != 0 || !strings.HasPrefix(got[0].text, "event: message_start")) {
				t.Errorf("first came %q after %s, want message_start at once", got[0].text, got[0].at)
			}
			headers, got, err = listen(t, client, d, d.ask("sim/slow-first-token-20s", "hi", false), time.Hour)
			if err != nil || headers != 0 || len(got) == 0 || got[0].at != 20*time.Second {
				t.Errorf("%s whole: headers after %s, body %v, %v", d.name, headers, got, err)
			}
		}
	})
}

func TestStallSendsItsTokensAndThenNothing(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		for _, d := range dialects {
			_, got, err := listen(t, client, d, d.ask("sim/stall-after-20", "hi", true), time.Hour)
			if n := len(tokens(text(got))); n != 20 || !errors.Is(err, context.DeadlineExceeded) || got[len(got)-1].at != 0 {
				t.Errorf("%s: %d tokens, the last read after %s, %v", d.name, n, got[len(got)-1].at, err)
			}
			_, got, err = listen(t, client, d, d.ask("sim/stall-after-20", "hi", false), time.Hour)
			if len(got) == 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s whole: %v, %v", d.name, got, err)
			}
			synctest.Wait()
			if a := last(t, p); !a.Cancelled || a.Completed {
				t.Errorf("%s: recorded %+v", d.name, a)
			}
		}
	})
}

func TestNeverClosesSendsAllAndStaysOpen(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		for _, d := range dialects {
			_, got, err := listen(t, client, d, d.ask("sim/never-closes", "hi", true), time.Hour)
			if !strings.Contains(text(got), d.done) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %s, %v; want all of it and then our deadline", d.name, text(got), err)
			}
			synctest.Wait()
			if a := last(t, p); !a.Completed || a.Cancelled || a.Ended.Sub(a.FirstByte) != time.Hour {
				t.Errorf("%s: recorded %+v", d.name, a)
			}
		}
	})
}

func TestOnlyPingsComeOncePerSecondForever(t *testing.T) {
	bubble(t, sim.Dials{}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		signs := map[string]string{"chat": ": keep-alive\n\n", "responses": ": keep-alive\n\n", "messages": "event: ping\n"}
		for _, d := range dialects {
			_, got, err := listen(t, client, d, d.ask("sim/only-pings", "hi", true), 10*time.Minute)
			all := text(got)
			if !errors.Is(err, context.DeadlineExceeded) || len(tokens(all)) != 0 {
				t.Errorf("%s: %d tokens, %v", d.name, len(tokens(all)), err)
			}
			if n := strings.Count(all, signs[d.name]); n < 598 || n > 602 {
				t.Errorf("%s: %d pings in ten minutes, want one a second", d.name, n)
			}
			_, got, _ = listen(t, client, d, d.ask("sim/only-pings", "hi", false), 10*time.Minute)
			if all := text(got); strings.Trim(all, "\n") != "" || len(all) < 598 {
				t.Errorf("%s whole: %q, want a blank line a second", d.name, all)
			}
		}
	})
}

func TestDelaysAreWhereTheDialsSay(t *testing.T) {
	dials := sim.Dials{HeaderDelay: time.Second, FirstTokenDelay: 2 * time.Second, TokenInterval: 100 * time.Millisecond, OutputTokens: 11, Scale: 2}
	bubble(t, dials, func(t *testing.T, p *sim.Provider, client *http.Client) {
		for _, d := range dialects {
			headers, got, err := listen(t, client, d, d.ask("m", "hi", true), time.Hour)
			if err != nil || headers != 2*time.Second {
				t.Fatalf("%s: headers after %s, %v; want 2s", d.name, headers, err)
			}
			var at []time.Duration
			for _, h := range got {
				for range tokens(h.text) {
					at = append(at, h.at)
				}
			}
			if len(at) != 11 || at[0] != 6*time.Second || at[10] != 8*time.Second {
				t.Errorf("%s: tokens at %v, want from 6s to 8s", d.name, at)
			}
			if headers, _, _ = listen(t, client, d, d.ask("m", "hi", false), time.Hour); headers != 8*time.Second {
				t.Errorf("%s whole: after %s, want 8s", d.name, headers)
			}
		}
	})
}

func TestTheCallersLeavingStopsTheAnswerAtOnce(t *testing.T) {
	bubble(t, sim.Dials{TokenInterval: time.Second, OutputTokens: 1000}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		_, got, err := listen(t, client, d, d.ask("m", "hi", true), 4500*time.Millisecond)
		synctest.Wait()
		a := last(t, p)
		if len(tokens(text(got))) != 5 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("heard %d tokens, %v; want 5", len(tokens(text(got))), err)
		}
		if !a.Cancelled || a.Tokens != 5 || a.CancelledAt.Sub(a.Received) != 4500*time.Millisecond || p.InFlight() != 0 {
			t.Errorf("recorded %+v with %d in flight", a, p.InFlight())
		}
	})
}

// direct calls the provider without a network, which is faster for many calls.
func direct(p *sim.Provider, d dialect, body string) (status int, took time.Duration) {
	began, w := time.Now(), httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("POST", d.path, strings.NewReader(body)))
	return w.Code, time.Since(began)
}

func TestCalibratedWaitsAreThoseOfTrueProviders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sim.New(sim.Config{Dials: sim.Dials{Latency: "calibrated"}})
		// The recorded median and 95th percentile, in seconds, and how far 400 draws may stray.
		for _, c := range []struct {
			d        dialect
			p50, p95 float64
		}{{dialects[0], 2.1, 12.8}, {dialects[2], 2.4, 5.2}} {
			const n = 400
			slow, verySlow := 0, 0
			for range n {
				_, took := direct(p, c.d, c.d.ask("m", "hi", false))
				if took.Seconds() > c.p50 {
					slow++
				}
				if took.Seconds() > c.p95 {
					verySlow++
				}
			}
			if slow < n*4/10 || slow > n*6/10 || verySlow < n/50 || verySlow > n/10 {
				t.Errorf("%s: %d of %d above the median, %d above the 95th percentile", c.d.name, slow, n, verySlow)
			}
		}
	})
}

func TestCalibratedStreamsSpeakAtFiftyTokensASecond(t *testing.T) {
	bubble(t, sim.Dials{Latency: "calibrated"}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		headers, got, err := listen(t, client, d, d.ask("m", "hi", true), time.Hour)
		if err != nil || headers == 0 {
			t.Fatalf("headers after %s, %v; want a wait", headers, err)
		}
		if took := got[len(got)-1].at - headers; took != 19*20*time.Millisecond {
			t.Errorf("20 tokens took %s after the headers, want 380ms", took)
		}
	})
}

func TestSlowModeSlowsOneCallInTwenty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sim.New(sim.Config{Dials: sim.Dials{FirstTokenDelay: 200 * time.Millisecond, Seed: 3}})
		d, slow := dialects[0], 0
		for range 1000 {
			switch _, took := direct(p, d, d.ask("sim/slow-mode", "hi", false)); took {
			case 2 * time.Second:
				slow++
			case 200 * time.Millisecond:
			default:
				t.Fatalf("took %s, want 200ms or 2s", took)
			}
		}
		if slow < 25 || slow > 80 {
			t.Errorf("%d of 1000 calls were slow, want about 50", slow)
		}
	})
}

func TestFaultProbabilityIsAShareOfTheCalls(t *testing.T) {
	p := sim.New(sim.Config{Dials: sim.Dials{Fault: "500", FaultProbability: 0.05}})
	d, failed := dialects[0], 0
	for range 2000 {
		if status, _ := direct(p, d, d.ask("m", "hi", false)); status == 500 {
			failed++
		}
	}
	if failed < 60 || failed > 150 {
		t.Errorf("%d of 2000 calls failed, want about 100", failed)
	}
}

func TestLimitsRefuseWithTheirOwnWait(t *testing.T) {
	bubble(t, sim.Dials{RequestsPerMinute: 6, OutputTokens: 1}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		ask := func() answer {
			return do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "hi", false))
		}
		for i := range 6 {
			got := ask()
			if want := fmt.Sprint(5 - i); got.status != 200 || got.header.Get("X-Ratelimit-Remaining-Requests") != want {
				t.Errorf("call %d: %d, %q remaining; want 200, %s", i, got.status, got.header.Get("X-Ratelimit-Remaining-Requests"), want)
			}
		}
		got := ask()
		if got.status != 429 || got.header.Get("Retry-After") != "10" || got.header.Get("X-Ratelimit-Reset-Requests") != "10s" {
			t.Errorf("call 7: %d %v, want 429 and 10 s", got.status, got.header)
		}
		time.Sleep(10 * time.Second)
		if got := ask(); got.status != 200 {
			t.Errorf("after 10 s: %d, want 200", got.status)
		}
	})
}

func TestTokenLimitsAreChargedAsTheVendorDoes(t *testing.T) {
	bubble(t, sim.Dials{TokensPerMinute: 1000, OutputTokens: 10}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		openai := do(t, client, "POST", "http://sim.test/v1/chat/completions",
			`{"model":"m","max_tokens":400,"messages":[{"role":"user","content":"12345678"}]}`)
		if got := openai.header.Get("X-Ratelimit-Remaining-Tokens"); got != "598" {
			t.Errorf("OpenAI: %s remaining, want 598: input and max_tokens are reserved", got)
		}
		time.Sleep(time.Minute)
		d := dialects[2]
		do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "12345678", false))
		got := do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "12345678", false)).header
		if in, out := got.Get("Anthropic-Ratelimit-Input-Tokens-Remaining"), got.Get("Anthropic-Ratelimit-Output-Tokens-Remaining"); in != "996" || out != "190" {
			t.Errorf("Anthropic: %s and %s remaining, want 996 and 190: input on arrival, output when sent", in, out)
		}
		if reset, err := time.Parse(time.RFC3339, got.Get("Anthropic-Ratelimit-Output-Tokens-Reset")); err != nil || reset.Sub(time.Now()) > 4*time.Second || reset.Before(time.Now()) {
			t.Errorf("reset %s, %v; want 3 s from now", reset, err)
		}
	})
}

func TestParallelCallsWaitTheirTurn(t *testing.T) {
	bubble(t, sim.Dials{Parallel: 2, FirstTokenDelay: time.Second}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		began, done := time.Now(), make(chan time.Duration, 10)
		for range 6 {
			go func() {
				do(t, client, "POST", "http://sim.test"+dialects[0].path, dialects[0].ask("m", "hi", false))
				done <- time.Since(began)
			}()
		}
		synctest.Wait()
		if n := p.InFlight(); n != 6 {
			t.Errorf("%d in flight, want 6", n)
		}
		for i := range 6 {
			if at, want := <-done, time.Duration(i/2+1)*time.Second; at != want {
				t.Errorf("call %d after %s, want %s", i, at, want)
			}
		}
	})
}

func TestACallerThatLeavesTheQueueTakesNoPlace(t *testing.T) {
	bubble(t, sim.Dials{Parallel: 1}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		go listen(t, client, d, d.ask("sim/silent", "hi", false), 10*time.Second)
		synctest.Wait()
		if _, _, err := listen(t, client, d, d.ask("m", "queued", false), time.Second); err == nil {
			t.Error("answered while the only place was taken")
		}
		synctest.Wait()
		if n := p.InFlight(); n != 1 {
			t.Errorf("%d in flight, want the silent one", n)
		}
		began := time.Now()
		if _, got, err := listen(t, client, d, d.ask("m", "next", false), time.Hour); err != nil || got == nil || time.Since(began) != 9*time.Second {
			t.Errorf("answered after %s, %v; want when the silent call left", time.Since(began), err)
		}
	})
}
