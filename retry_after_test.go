package holdfast_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/retry"
)

// throttleOnce answers the first call with a 429 that names its wait in some
// spelling, and the others well.
type throttleOnce struct {
	set    func(h http.Header)
	body   string
	asked  atomic.Int32
	always bool
}

func (p *throttleOnce) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == "backup" || p.asked.Add(1) > 1 && !p.always {
		return canned{"application/json", `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`}.RoundTrip(req)
	}
	body := p.body
	if body == "" {
		body = `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`
	}
	resp, err := canned{"application/json", body}.RoundTrip(req)
	resp.StatusCode = 429
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if p.set != nil {
		p.set(resp.Header)
	}
	return resp, err
}

func headers(pairs ...string) func(http.Header) {
	return func(h http.Header) {
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
	}
}

// TestEverySpellingOfAWaitIsObeyed: a wait is a lower bound, honoured within
// 10 %; one beyond the cap means the next target at once; nonsense means backoff.
func TestEverySpellingOfAWaitIsObeyed(t *testing.T) {
	backoff := [2]time.Duration{500 * time.Millisecond, time.Second} // equal jitter of the throttle base
	for name, c := range map[string]struct {
		set         func(http.Header)
		body        string
		least, most time.Duration
		moves       bool // too long to wait: another target, or the error
	}{
		"seconds":               {headers("Retry-After", "1"), "", time.Second, 1100 * time.Millisecond, false},
		"fraction":              {headers("Retry-After", "2.5"), "", 2500 * time.Millisecond, 2750 * time.Millisecond, false},
		"milliseconds":          {headers("Retry-After-Ms", "3000"), "", 3 * time.Second, 3300 * time.Millisecond, false},
		"Azure: 1 s and 0 ms":   {headers("Retry-After", "1", "Retry-After-Ms", "0"), "", time.Second, 1100 * time.Millisecond, false},
		"Azure: its own header": {headers("X-Ms-Retry-After-Ms", "4000"), "", 4 * time.Second, 4400 * time.Millisecond, false},
		"date": {func(h http.Header) {
			h.Set("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
		}, "",
			20 * time.Second, 22 * time.Second, false},
		"a date in the past": {func(h http.Header) { h.Set("Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)) }, "", backoff[0], backoff[1], false},
		"absent":             {nil, "", backoff[0], backoff[1], false},
		"negative":           {headers("Retry-After", "-1"), "", backoff[0], backoff[1], false},
		"zero":               {headers("Retry-After", "0"), "", backoff[0], backoff[1], false},
		"not a number":       {headers("Retry-After", "NaN"), "", backoff[0], backoff[1], false},
		"nonsense":           {headers("Retry-After", "soon"), "", backoff[0], backoff[1], false},
		"the cap":            {headers("Retry-After", "60"), "", 60 * time.Second, 61 * time.Second, false},
		"beyond the cap":     {headers("Retry-After", "61"), "", 0, 0, true},
		"a day":              {headers("Retry-After", "86400"), "", 0, 0, true},
		"overflowing":        {headers("Retry-After", "1e18"), "", 0, 0, true},
		"OpenAI: a reset":    {headers("X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "6s"), "", 6 * time.Second, 6600 * time.Millisecond, false},
		"only in the words": {nil, `{"error":{"message":"Rate limit reached. Please try again in 18.642s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`,
			18642 * time.Millisecond, 20506 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				for _, backup := range []bool{false, true} {
					p := &throttleOnce{set: c.set, body: c.body}
					targets := []holdfast.Target{keyed(to("primary", ""), "sk-1")}
					if backup {
						targets = append(targets, to("backup", ""))
					}
					cfg := route(targets...)
					cfg.Transport = p
					w := build(t, cfg)
					g := w.do(t.Context(), "chat", ask("chat", "gpt", false))
					switch {
					case backup:
						if !g.complete("chat") || g.took != 0 || g.header.Get("X-Holdfast-Provider") != "backup" {
							t.Errorf("with a backup nobody waits: %s", g)
						}
					case c.moves:
						if g.status != 429 || g.took != 0 || g.header.Get("Retry-After") != "" || g.header.Get("X-Holdfast-Retry-After-S") == "" {
							t.Errorf("too long to wait, and not to be relayed: %s, retry-after %q", g, g.header.Get("Retry-After"))
						}
					default:
						if !g.complete("chat") || g.took < c.least || g.took > c.most {
							t.Errorf("waited %s, want %s to %s: %s", g.took, c.least, c.most, g)
						}
					}
				}
			})
		})
	}
}

// TestAFinalErrorNeverPutsAClientToSleep: what is relayed is within 1 to 60 s, or
// not there.
func TestAFinalErrorNeverPutsAClientToSleep(t *testing.T) {
	for _, value := range []string{"0", "0.2", "5", "60", "61", "3600", "1e18", "-5"} {
		bubble(t, func(t *testing.T) {
			cfg := route(to("primary", ""))
			cfg.Transport = &throttleOnce{set: headers("Retry-After", value, "X-Should-Retry", "true"), always: true}
			cfg.Retry = retry.Config{MaxAttempts: 1}
			g := build(t, cfg).do(t.Context(), "chat", ask("chat", "gpt", false))
			checkRefusal(t, g)
			if g.status != 429 || !strings.Contains(g.body, "rate_limit_exceeded") {
				t.Errorf("%s: %s", value, g)
			}
		})
	}
}

func TestACircuitIsMovedByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "sim/ok"), to("backup", "sim/ok")), "primary", "backup")
		answered := func() string {
			return w.do(t.Context(), "chat", ask("chat", "m", false)).header.Get("X-Holdfast-Provider")
		}
		steps := []struct{ action, want string }{{"open", "backup"}, {"close", "primary"}, {"reset", "primary"}}
		for _, s := range steps {
			if err := w.hf.Breaker("primary", s.action, "maintenance", time.Hour); err != nil {
				t.Fatal(err)
			}
			if got := answered(); got != s.want {
				t.Errorf("after %s %s answered, want %s", s.action, got, s.want)
			}
		}
		if w.hf.Breaker("nobody", "open", "", 0) == nil || w.hf.Breaker("primary", "explode", "", 0) == nil {
			t.Error("an unknown target or action was taken")
		}
	})
}
