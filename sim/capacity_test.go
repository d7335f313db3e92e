package sim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/sim"
)

func TestEachAccountingChargesAndTellsAsItsProviderDocuments(t *testing.T) {
	// 100 tokens in, a quarter of them from a cache; 500 allowed out, 40 come.
	body := fmt.Sprintf(`{"model":"m","max_tokens":500,"messages":[{"role":"user","content":%q}]}`, strings.Repeat("four", 100))
	for _, c := range []struct {
		accounting     string
		tokens, output int // charged in the end
		left           int // told on arrival
		header         string
	}{
		{"anthropic", 75, 40, 9925, "Anthropic-Ratelimit-Input-Tokens-Remaining"},
		{"azure", 600, 0, 9400, "X-Ratelimit-Remaining-Tokens"},
		{"bedrock", 275, 0, 0, ""},
		{"cerebras", 140, 0, 9400, "X-Ratelimit-Remaining-Tokens-Minute"},
		{"gemini", 100, 0, 0, ""},
		{"groq", 115, 0, 9400, "X-Ratelimit-Remaining-Tokens"},
		{"openai", 500, 0, 9500, "X-Ratelimit-Remaining-Tokens"},
	} {
		bubble(t, sim.Dials{Accounting: c.accounting, TokensPerMinute: 10_000, OutputTokens: 40, CachedShare: 0.25}, func(t *testing.T, p *sim.Provider, client *http.Client) {
			got := do(t, client, "POST", "http://sim.test/v1/chat/completions", body)
			synctest.Wait()
			want := sim.Spent{Requests: 1, Tokens: c.tokens, Output: c.output}
			if spent := p.Spent(); got.status != 200 || spent != want {
				t.Errorf("%s: %d, charged %+v; want %+v", c.accounting, got.status, spent, want)
			}
			for name := range got.header {
				if c.header == "" && strings.Contains(name, "Ratelimit") {
					t.Errorf("%s: header %s", c.accounting, name)
				}
			}
			if c.header != "" && got.header.Get(c.header) != fmt.Sprint(c.left) {
				t.Errorf("%s: %s is %q, want %d", c.accounting, c.header, got.header.Get(c.header), c.left)
			}
		})
	}
}

func TestARequestBeyondTheWholeLimitIsRefusedAndCountsWhereFailuresDo(t *testing.T) {
	for accounting, left := range map[string]int{"openai": 9, "groq": 10} {
		bubble(t, sim.Dials{Accounting: accounting, TokensPerMinute: 1000, RequestsPerMinute: 10}, func(t *testing.T, p *sim.Provider, client *http.Client) {
			got := do(t, client, "POST", "http://sim.test/v1/chat/completions", `{"model":"m","max_tokens":1001,"messages":[{"role":"user","content":"hi"}]}`)
			if spent := p.Spent(); got.status != 429 || spent != (sim.Spent{Refused: 1}) {
				t.Errorf("%s: %d, charged %+v; want 429 and nothing", accounting, got.status, spent)
			}
			n := 0
			for do(t, client, "POST", "http://sim.test/v1/chat/completions", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`).status == 200 {
				n++
			}
			if n != left {
				t.Errorf("%s: %d more requests, want %d", accounting, n, left)
			}
		})
	}
}

func TestOutputIsChargedAsItIsProduced(t *testing.T) {
	bubble(t, sim.Dials{Accounting: "anthropic", TokensPerMinute: 10_000, OutputPerMinute: 60, OutputTokens: 100, TokenInterval: 100 * time.Millisecond}, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[2]
		go listen(t, client, d, d.ask("m", "hi", true), time.Hour)
		time.Sleep(5050 * time.Millisecond)
		if got := p.Spent().Output; got != 51 {
			t.Errorf("%d charged after 5 s, want 51", got)
		}
		time.Sleep(10 * time.Second) // 100 made, 15 came in
		if got := do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "hi", false)); got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("got %d, want a 429 while there is a debt", got.status)
		}
	})
}

func TestAnEngineWorksThroughItsQueueAlsoForCallersThatLeft(t *testing.T) {
	dials := sim.Dials{Slots: 2, PrefillPerToken: 10 * time.Millisecond, TokenInterval: 100 * time.Millisecond, OutputTokens: 11}
	bubble(t, dials, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		prompt := strings.Repeat("four", 100) // 1 s to read, then 1 s to answer
		for range 4 {
			go listen(t, client, d, d.ask("m", prompt, true), 500*time.Millisecond)
		}
		time.Sleep(600 * time.Millisecond)
		began := time.Now()
		if _, got, err := listen(t, client, d, d.ask("m", prompt, true), time.Hour); err != nil || time.Since(began) != 5400*time.Millisecond {
			t.Errorf("answered after %s, %v, %v; want after the four that left, 5.4 s", time.Since(began), got, err)
		}
		if c := p.Counts(); c.Completed != 1 || c.Cancelled != 4 || c.OutputTokens != 55 || c.InFlight != 0 {
			t.Errorf("%+v; want one answer, four lost ones and the tokens of all", c)
		}
	})
}

func TestWhoComesInAStallIsServedInOrderAfterIt(t *testing.T) {
	const callers = 20
	for name, dials := range map[string]sim.Dials{"slots": {Slots: 1}, "parallel": {Parallel: 1}} {
		dials.TokenInterval, dials.OutputTokens, dials.StallFor = 100*time.Millisecond, 2, 30*time.Second
		bubble(t, dials, func(t *testing.T, p *sim.Provider, client *http.Client) {
			d, served := dialects[0], make(chan int, callers)
			for i := range callers {
				go func() {
					do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "hi", false))
					served <- i
				}()
				time.Sleep(time.Second)
			}
			for i := range callers {
				if got := <-served; got != i {
					t.Errorf("%s: call %d was served as number %d", name, got, i)
				}
			}
		})
	}
}

func TestAFullBatchIsSlower(t *testing.T) {
	dials := sim.Dials{Slots: 5, TokenInterval: 100 * time.Millisecond, BatchSlowdown: 1, OutputTokens: 17}
	for _, streamed := range []bool{true, false} {
		for callers, want := range map[int]time.Duration{1: 1600 * time.Millisecond, 5: 3200 * time.Millisecond} {
			bubble(t, dials, func(t *testing.T, p *sim.Provider, client *http.Client) {
				d, done := dialects[0], make(chan time.Duration, callers)
				for range callers {
					go func() {
						began := time.Now()
						do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "hi", streamed))
						done <- time.Since(began)
					}()
				}
				for range callers {
					if got := <-done; got > want || got < want*6/10 {
						t.Errorf("%d callers, streamed %t: %s, want about %s", callers, streamed, got, want)
					}
				}
			})
		}
	}
}

func TestEverythingStopsInAStallAndGoesOnAfterIt(t *testing.T) {
	dials := sim.Dials{StallAfter: 5 * time.Second, StallFor: 30 * time.Second, TokenInterval: time.Second, OutputTokens: 11}
	bubble(t, dials, func(t *testing.T, p *sim.Provider, client *http.Client) {
		d := dialects[0]
		began, early, late := time.Now(), make(chan []heard, 1), make(chan time.Duration, 1)
		go func() {
			_, got, _ := listen(t, client, d, d.ask("m", "hi", true), time.Hour)
			early <- got
		}()
		time.Sleep(10 * time.Second)
		go func() {
			do(t, client, "POST", "http://sim.test"+d.path, d.ask("sim/503", "hi", false))
			late <- time.Since(began)
		}()
		if got := <-late; got != 35*time.Second {
			t.Errorf("a call in the stall was refused after %s, want at its end, 35 s", got)
		}
		last := time.Duration(0)
		for _, h := range <-early {
			if h.at >= 5*time.Second && h.at < 35*time.Second {
				t.Errorf("heard at %s, in the stall", h.at)
			}
			last = h.at
		}
		if last != 40*time.Second {
			t.Errorf("the answer ended after %s, want 10 s of work and 30 of stall", last)
		}
		began = time.Now()
		do(t, client, "POST", "http://sim.test"+d.path, d.ask("m", "hi", false))
		if got := time.Since(began); got != 10*time.Second {
			t.Errorf("after the stall: %s, want 10s", got)
		}
	})
}

func TestAShareOfTheCallsIsTenTimesSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sim.New(sim.Config{Dials: sim.Dials{SlowShare: 0.05, FirstTokenDelay: time.Second}})
		d, slow := dialects[0], 0
		for range 1000 {
			switch _, took := direct(p, d, d.ask("m", "hi", true)); took {
			case time.Second:
			case 10 * time.Second:
				slow++
			default:
				t.Fatalf("took %s", took)
			}
		}
		if slow < 25 || slow > 80 {
			t.Errorf("%d of 1000 calls were slow, want about 50", slow)
		}
	})
}

func TestLengthsOfAnswersSpreadAndFollowFromTheConversation(t *testing.T) {
	p := sim.New(sim.Config{Dials: sim.Dials{OutputTokens: 100, OutputSpread: 0.7}})
	d := dialects[0]
	lengths, sum := map[int]bool{}, 0
	for i := range 200 {
		first := len(p.Log())
		for range 2 {
			direct(p, d, d.ask("m", fmt.Sprint("prompt ", i), false))
		}
		log := p.Log()[first:]
		if log[0].Tokens != log[1].Tokens {
			t.Fatalf("the same request got %d and %d tokens", log[0].Tokens, log[1].Tokens)
		}
		lengths[log[0].Tokens] = true
		sum += log[0].Tokens
	}
	if mean := sum / 200; len(lengths) < 80 || mean < 105 || mean > 155 {
		t.Errorf("%d lengths, mean %d; want many around 128, the mean of a lognormal with median 100", len(lengths), mean)
	}
}

func TestImpossibleCapacitiesAreRefused(t *testing.T) {
	err := sim.Dials{Accounting: "x", OutputPerMinute: -1, CachedShare: 2, OutputSpread: 4, Slots: -1, PrefillPerToken: -1, BatchSlowdown: -1,
		SlowShare: 2, StallAfter: -1, StallFor: -1}.Validate()
	for _, name := range []string{"accounting", "output_per_minute", "cached_share", "output_spread", "slots", "prefill_per_token", "batch_slowdown", "slow_share", "stall_after", "stall_for"} {
		if err == nil || !strings.Contains(err.Error(), "sim: "+name+": ") {
			t.Errorf("nothing is said of %s: %v", name, err)
		}
	}
}
