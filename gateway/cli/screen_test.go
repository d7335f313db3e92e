package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/spend"
)

// crowded is a status with much more than a screen holds.
func crowded(now time.Time) admin.Status {
	s := admin.Status{Version: "v1.2.3", Ready: true, Started: now.Add(-time.Hour), Config: admin.File{File: "holdfast.yaml", Loaded: now,
		Error: "holdfast.yaml:8:15: unknown provider\n  8 | x\n    | ^\nholdfast.yaml:9:1: another\n"}}
	for i := range 40 {
		s.Routes = append(s.Routes, holdfast.RouteStatus{Name: fmt.Sprint("route", i), Calls: 1_000_000})
		s.Targets = append(s.Targets, holdfast.TargetStatus{Name: fmt.Sprintf("a-provider-with-a-long-name/and-a-model-%d", i), Breaker: "closed", RetryBudget: 1,
			Classes: map[string]int64{"ok": 1234567, "overloaded": 42, "provider_fault": 7}})
		s.Failures = append(s.Failures, explain.Summary{At: now, ID: "hf_IX4FWAJMEMSHH2KXP6UWX5EQZS", Route: "a-route-with-a-long-name", Class: "provider_fault", Status: 502, Made: 3})
	}
	s.Routes[39].Waiting = 7
	s.Targets[39].Breaker, s.Targets[39].OpenUntil = "open", now.Add(30*time.Second)
	s.Targets[38].EjectedUntil = now.Add(20 * time.Second)
	return s
}

func TestACircuitShowsWhyATargetIsNotAsked(t *testing.T) {
	now := time.Now()
	for want, s := range map[string]holdfast.TargetStatus{
		"closed":          {Breaker: "closed", EjectedUntil: now.Add(-time.Second)},
		"outlier for 20s": {Breaker: "closed", EjectedUntil: now.Add(20 * time.Second)},
		"open for 5s":     {Breaker: "open", OpenUntil: now.Add(5 * time.Second), EjectedUntil: now.Add(20 * time.Second)},
	} {
		if got := circuit(s, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAStatusFitsTheScreen(t *testing.T) {
	now := time.Now()
	for _, size := range [][2]int{{80, 24}, {120, 50}, {80, 40}} {
		s := screen{width: size[0], height: size[1]}
		text := s.draw(crowded(now), now)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) > size[1]-1 {
			t.Errorf("%v: %d lines\n%s", size, len(lines), text)
		}
		for _, l := range lines {
			if len([]rune(l)) > size[0] {
				t.Errorf("%v: %d wide: %s", size, len([]rune(l)), l)
			}
		}
		for _, want := range []string{"route39", "open for 30s", "RECENT FAILURES", "hf_IX4FWAJMEMSHH2KXP6UWX5EQZS", "more", "unknown provider"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q\n%s", size, want, text)
			}
		}
	}
}

func TestAStatusShowsLimitsAndBudgets(t *testing.T) {
	s := admin.Status{Status: holdfast.Status{
		Limits: []holdfast.LimitStatus{
			{Name: "key", Of: "alice", Unit: "requests", Points: 20, Seconds: 1, Concurrency: 5, Running: 2, Full: 3, Counts: ratelimit.Stats{Counts: ratelimit.Counts{Admitted: 7, Refused: 1}, Keys: 1}},
			{Name: "address", Unit: "tokens", Points: 1000, Seconds: 60, Shadow: true, Counts: ratelimit.Stats{Counts: ratelimit.Counts{Would: 4}, Keys: 9, Blocked: 2}},
		},
		Budgets: []spend.Status{{Name: "key alice", USD: 4.5, USDHeld: 0.25, USDPerDay: 5, Tokens: 100, TokensPerDay: 100, Refused: 6}},
	}}
	text := strings.Join(strings.Fields(screen{}.draw(s, time.Now())), " ")
	for _, want := range []string{"key alice 20 requests in 1s, 5 at once (2 now) 7 4 1 0", "address 1000 tokens in 1m0s 0 4 would be 9 2", "key alice 4.75 of 5 100 of 100 6"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestAStatusShowsWhatIsLeftOfTheProvidersLimits(t *testing.T) {
	s := admin.Status{Status: holdfast.Status{Targets: []holdfast.TargetStatus{{Name: "openai/m", Breaker: "closed", Quotas: []holdfast.QuotaStatus{
		{Key: "first", Limit: "rpm", Allowed: 500, Left: 118, Reserved: 3},
		{Key: "first", Limit: "tpm", Allowed: 200_000, Left: -20, Reserved: 9000, Waste: 0.9, MaxTokens: 4096, Used: 380},
	}}}}}
	text := strings.Join(strings.Fields(screen{}.draw(s, time.Now())), " ")
	for _, want := range []string{"openai/m first 500 rpm 118 3 ", "openai/m first 200000 tpm -20 9000 90 % wasted: max_tokens 4096, used 380"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestWithoutATerminalEverythingIsPrinted(t *testing.T) {
	now := time.Now()
	text := screen{}.draw(crowded(now), now)
	if n := strings.Count(text, "\n"); n < 120 || strings.Contains(text, "more") || strings.Contains(text, "\x1b") {
		t.Errorf("%d lines", n)
	}
}

func TestWhatIsBadIsRedOnlyWithColours(t *testing.T) {
	now := time.Now()
	red := 0
	for _, l := range strings.Split(screen{width: 80, height: 24, colours: true}.draw(crowded(now), now), "\n") {
		if strings.HasPrefix(l, "\x1b[31m") && strings.HasSuffix(l, "\x1b[0m") {
			red++
		}
	}
	if red != 3 { // the file, the route that waits, the open circuit
		t.Errorf("%d red lines", red)
	}
	if strings.Contains(screen{width: 80, height: 24}.draw(crowded(now), now), "\x1b") {
		t.Error("colours without colours")
	}
}

func TestNoColorIsObeyed(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	t.Setenv("COLUMNS", "100")
	if s := terminalScreen(); s.colours || s.width != 100 || s.height != 24 {
		t.Errorf("%+v", s)
	}
}
