package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/spend"
)

// exposition is what a scrape would read, without comments.
func exposition(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var own strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "holdfast_") {
			own.WriteString(line)
		}
	}
	return own.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func aCall(arrived time.Time) *call.Call {
	return &call.Call{ID: "hf_1", Route: "chat", Op: call.OpChat, Method: "POST", Path: "/v1/chat/completions",
		Request: call.Request{Model: "chat"}, Arrived: arrived}
}

func TestEventsBecomeMetrics(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{
		Degraded: func(route, target string) bool { return route == "chat" && target == "b/m" },
		Version:  "1.2.3", Go: "go1",
	})
	arrived := time.Now()
	c := aCall(arrived)
	for _, e := range []call.Event{
		{Kind: call.Queued, Call: c, Wait: 20 * time.Millisecond},
		{Kind: call.AttemptEnded, Call: c, At: arrived.Add(time.Second), Target: "a/m", Provider: "a", Model: "m", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.Overloaded}}},
		{Kind: call.RetryPlanned, Call: c, Provider: "a", Reason: "overloaded"},
		{Kind: call.BudgetDenied, Call: c, Target: "a/m", Reason: "attempts"},
		{Kind: call.MovedOn, Call: c, From: "a/m", To: "b/m", Reason: "overloaded"},
		{Kind: call.AttemptEnded, Call: c, At: arrived.Add(5 * time.Second), Target: "b/m", Provider: "b", Outcome: call.Outcome{
			Verdict: call.Verdict{Class: call.OK}, Committed: true, Duration: 3 * time.Second, FirstToken: time.Second,
			Usage: call.Usage{Known: true, Input: 10, Output: 5, Cached: 4, Odd: true}}},
		{Kind: call.CallEnded, Call: c, At: arrived.Add(5 * time.Second), Target: "b/m", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}},
		{Kind: call.BreakerMoved, Target: "a/m", To: "open"},
		{Kind: call.KeyPaused, Target: "a/m", Key: "key1"},
		{Kind: call.KeyEjected, Target: "a/m", Key: "key2", Reason: "auth"},
		{Kind: call.TargetEjected, Target: "a/m", Reason: "not_found"},
		{Kind: call.ClientRetried, Call: c, Reason: "header"},
		{Kind: call.Queued, Call: c, Reason: "queue_full"},
		{Kind: call.AttemptEnded, Call: c, Provider: "b", Model: "m", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.Truncated, Code: "cut"}}},
		{Kind: call.AttemptEnded, Call: c, Provider: "b", Model: "m", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.PolicyViolation, Category: "cyber"}}},
	} {
		m.Record(&e)
	}
	m.Reloaded(false)
	has(t, exposition(t, m),
		`holdfast_requests_total{dialect="chat",outcome="degraded",reason="",route="chat"} 1`,
		`holdfast_request_duration_seconds_bucket{outcome="degraded",route="chat",le="4"} 0`,
		`holdfast_request_duration_seconds_sum{outcome="degraded",route="chat"} 5`,
		`holdfast_time_to_first_token_seconds_sum{provider="b",route="chat"} 3`, // 5 s after arrival it ended, 3 s after sending; 1 s after sending came the token
		`holdfast_attempts_total{class="overloaded",model="m",provider="a"} 1`,
		`holdfast_attempts_total{class="ok",model="other",provider="b"} 1`,
		`holdfast_retries_total{class="overloaded",provider="a"} 1`,
		`holdfast_retry_budget_denials_total{reason="attempts",target="a/m"} 1`,
		`holdfast_fallbacks_total{from="a/m",reason="overloaded",route="chat",to="b/m"} 1`,
		`holdfast_tokens_total{direction="input",model="other",provider="b"} 10`,
		`holdfast_tokens_total{direction="output",model="other",provider="b"} 5`,
		`holdfast_tokens_total{direction="cached",model="other",provider="b"} 4`,
		`holdfast_odd_usage_total{provider="b"} 1`,
		`holdfast_breaker_transitions_total{target="a/m",to="open"} 1`,
		`holdfast_key_pauses_total{key="key1",target="a/m"} 1`,
		`holdfast_key_ejections_total{key="key2",reason="auth",target="a/m"} 1`,
		`holdfast_target_ejections_total{reason="not_found",target="a/m"} 1`,
		`holdfast_client_retries_total{route="chat"} 1`,
		`holdfast_shed_total{reason="queue_full",route="chat"} 1`,
		`holdfast_queue_wait_seconds_count{route="chat"} 1`,
		`holdfast_streams_truncated_total{cause="cut",provider="b"} 1`,
		`holdfast_policy_events_total{category="cyber",provider="b"} 1`,
		`holdfast_config_last_reload_successful 0`,
		`holdfast_build_info{goversion="go1",version="1.2.3"} 1`,
	)
}

func TestWhatACacheDidIsCounted(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{})
	c := aCall(time.Now())
	for _, did := range []string{"hit", "stale", "stale", ""} {
		m.Record(&call.Event{Kind: call.CallEnded, Call: c, Cached: did, Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}})
	}
	has(t, exposition(t, m),
		`holdfast_requests_total{dialect="chat",outcome="degraded",reason="",route="chat"} 2`,
		`holdfast_requests_total{dialect="chat",outcome="ok",reason="",route="chat"} 2`,
		`holdfast_cache_requests_total{result="hit",route="chat"} 1`,
		`holdfast_cache_requests_total{result="stale",route="chat"} 2`,
	)
}

func TestTheStatusBecomesGauges(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{
		Dropped:  map[string]func() int64{"log": func() int64 { return 3 }, "traces": func() int64 { return 5 }},
		Withheld: func() int64 { return 7 },
		Status: func() holdfast.Status {
			return holdfast.Status{
				Routes: []holdfast.RouteStatus{{Name: "chat", Running: 2, Waiting: 1, Classes: []holdfast.QueueStatus{{Class: "batch", Waiting: 1}}}},
				Limits: []holdfast.LimitStatus{
					{Name: "key", Of: "alice", Full: 4, Counts: ratelimit.Stats{Counts: ratelimit.Counts{Admitted: 5, Refused: 1}, Keys: 1}},
					{Name: "key", Of: "bob", Counts: ratelimit.Stats{Counts: ratelimit.Counts{Admitted: 7}, Keys: 1}},
					{Name: "ip", Counts: ratelimit.Stats{Counts: ratelimit.Counts{Would: 3, Spared: 2}, Keys: 9, Blocked: 2}},
				},
				Budgets: []spend.Status{{Name: "key alice", Refused: 2}, {Name: "key bob", Refused: 1}, {Name: "route chat"}},
				Targets: []holdfast.TargetStatus{
					{Name: "a/m", Breaker: "half_open", InFlight: 2, Permits: 8, RetryBudget: 0.5},
					{Name: "b", Breaker: "closed", RetryBudget: 1, Quotas: []holdfast.QuotaStatus{
						{Key: "first", Model: "x", Limit: "tpm", Allowed: 1000, Left: 200},
						{Key: "first", Model: "y", Limit: "tpm", Allowed: 1000, Left: -50, Reserved: 300, Waste: 0.75},
						{Key: "first", Model: "y", Limit: "rpm", Allowed: 60, Left: 15},
					}},
					{Name: "b", Breaker: "open", RetryBudget: 1}, // another model of the same target
				},
			}
		},
	})
	text := exposition(t, m)
	has(t, text,
		`holdfast_queue_running{route="chat"} 2`, `holdfast_queue_waiting{class="batch",route="chat"} 1`,
		`holdfast_breaker_state{target="a/m"} 1`, `holdfast_breaker_state{target="b"} 2`,
		`holdfast_attempts_in_flight{target="a/m"} 2`, `holdfast_concurrency_limit{target="a/m"} 8`,
		`holdfast_retry_budget_remaining_ratio{target="a/m"} 0.5`, `holdfast_telemetry_dropped_total{sink="log"} 3`,
		`holdfast_telemetry_dropped_total{sink="traces"} 5`,
		`holdfast_ratelimit_decisions_total{decision="admitted",limit="key"} 12`, `holdfast_ratelimit_decisions_total{decision="refused",limit="key"} 1`,
		`holdfast_ratelimit_decisions_total{decision="full",limit="key"} 4`, `holdfast_ratelimit_decisions_total{decision="shadow",limit="ip"} 3`,
		`holdfast_ratelimit_decisions_total{decision="spared",limit="ip"} 2`, `holdfast_ratelimit_keys{limit="key"} 2`, `holdfast_ratelimit_blocked{limit="ip"} 2`,
		`holdfast_budget_refusals_total{per="key"} 3`, `holdfast_budget_refusals_total{per="route"} 0`,
		`holdfast_log_lines_suppressed_total 7`,
		`holdfast_quota_limit{key="first",limit="tpm",target="b"} 1000`, `holdfast_quota_remaining{key="first",limit="tpm",target="b"} -50`,
		`holdfast_quota_reserved{key="first",limit="tpm",target="b"} 300`, `holdfast_quota_remaining{key="first",limit="rpm",target="b"} 15`,
		`holdfast_quota_waste_ratio{key="first",target="b"} 0.75`)
	if strings.Contains(text, `holdfast_concurrency_limit{target="b"}`) {
		t.Error("a target without a limit has one")
	}
}

func TestEveryEndOfACallHasOneOutcome(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{})
	for _, c := range []struct {
		class  call.Class
		reason string
		want   string
	}{
		{call.OK, "", "ok"},
		{call.Timeout, "", "timeout"},
		{call.Overloaded, "upstream_exhausted", "error"},
		{call.Truncated, "cut", "error"},
		{call.PolicyViolation, "", "policy"},
		{call.Canceled, "canceled", "canceled"},
		{call.ClientError, "", "client_error"},
		{call.ContextLength, "", "client_error"},
		{call.Auth, "", "error"},
		{call.Refused, call.ReasonQueueFull, "shed"},
		{call.Refused, call.ReasonQueueTimeout, "shed"},
		{call.Refused, call.ReasonRateLimited, "shed"},
		{call.Refused, call.ReasonBudgetExhausted, "shed"},
		{call.Refused, call.ReasonCircuitOpen, "error"},
		{call.Refused, call.ReasonUnknownRoute, "client_error"},
		{call.Refused, call.ReasonDeadlineExceeded, "timeout"},
		{call.Refused, call.ReasonInternal, "error"},
	} {
		e := &call.Event{Kind: call.CallEnded, Reason: c.reason, Outcome: call.Outcome{Verdict: call.Verdict{Class: c.class}}}
		if got := m.Outcome(e); got != c.want {
			t.Errorf("%s with reason %q: %s, want %s", c.class, c.reason, got, c.want)
		}
	}
	callers := &call.Event{Outcome: call.Outcome{Verdict: call.Verdict{Class: call.Auth, CallersKey: true}}}
	if got := m.Outcome(callers); got != "client_error" {
		t.Errorf("the caller's own refused key: %s, want client_error", got)
	}
}

func TestNobodyOutsideChoosesLabels(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{})
	for i := range 1000 {
		c := aCall(time.Now())
		c.Request.Model = fmt.Sprintf("model-%d", i)
		c.Path = fmt.Sprintf("/path-%d", i)
		m.Record(&call.Event{Kind: call.CallEnded, Call: c, Reason: "a reason with spaces " + c.Path})
		m.Record(&call.Event{Kind: call.AttemptEnded, Call: c, Provider: "a", Outcome: call.Outcome{Verdict: call.Verdict{
			Class: call.PolicyViolation, Category: fmt.Sprintf("category-%d", i)}}})
	}
	text := exposition(t, m)
	if n := strings.Count(text, "\n"); n > 150 {
		t.Errorf("%d series after 1000 names from outside", n)
	}
	has(t, text, `holdfast_policy_events_total{category="other",provider="a"} 936`)
}

func TestACallIsOneLineWithoutSecrets(t *testing.T) {
	var out bytes.Buffer
	l := telemetry.Logs{To: slog.New(slog.NewJSONHandler(&out, nil)), Outcome: func(*call.Event) string { return "ok" }}
	c := aCall(time.Now().Add(-time.Second))
	c.Body = []byte("the prompt")
	c.Request.Model = strings.Repeat("m", 10_000) + "\n{\"forged\":true}"
	c.Path = "/v1/chat\ncompletions"
	l.Record(&call.Event{Kind: call.AttemptEnded, Call: c}) // debug: not written
	l.Record(&call.Event{Kind: call.CallEnded, Call: c, At: time.Now(), Attempt: 2, Status: 200, Target: "a/m", Outcome: call.Outcome{
		Verdict: call.Verdict{Class: call.OK}, FirstToken: 300 * time.Millisecond, Usage: call.Usage{Known: true, Input: 7, Output: 9}, Err: errors.New("odd")}})
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines, want 1: %s", n, out.String())
	}
	if len(out.String()) > 2000 || strings.Contains(out.String(), "prompt") {
		t.Errorf("too much: %s", out.String())
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"msg": "call", "request_id": "hf_1", "route": "chat", "op": "chat", "status": 200.0, "class": "ok", "attempts": 2.0,
		"target": "a/m", "first_token_ms": 300.0, "tokens_in": 7.0, "tokens_out": 9.0, "error": "odd", "path": "/v1/chat\ncompletions",
	} {
		if line[name] != want {
			t.Errorf("%s: got %v, want %v", name, line[name], want)
		}
	}
}

func TestBreakersAndKeysAreWarnings(t *testing.T) {
	var out bytes.Buffer
	l := telemetry.Logs{To: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	l.Record(&call.Event{Kind: call.BreakerMoved, Target: "a/m", From: "closed", To: "open", Reason: "consecutive", Wait: 15 * time.Second})
	l.Record(&call.Event{Kind: call.KeyEjected, Target: "a/m", Key: "key1", Reason: "auth", Wait: 5 * time.Minute})
	for _, want := range []string{`"msg":"breaker"`, `"to":"open","cause":"consecutive","open_for_ms":15000`, `"msg":"key_ejected"`, `"key":"key1"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

// stuck is a log that nobody reads, until it is let go.
type stuck struct {
	release chan struct{}
	mu      sync.Mutex
	text    bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func TestALogThatNobodyReadsDoesNotStopCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{release: make(chan struct{})}
		q := telemetry.NewQueue()
		log := slog.New(q.Handler(slog.NewTextHandler(out, nil))).With("a", 1)
		for i := range 10_000 {
			log.Info("line", "i", i) // would hang here
		}
		synctest.Wait()
		if d := q.Dropped(); d < 10_000-8192-1 || d > 10_000-8192 {
			t.Errorf("%d lines dropped of 10000 with room for 8192", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close of a stuck log: %v", err)
		}
		close(out.release)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := int64(strings.Count(out.text.String(), "\n")); n+q.Dropped() != 10_000 {
			t.Errorf("%d written and %d dropped, of 10000", n, q.Dropped())
		}
		log.Info("too late")
		if n := int64(strings.Count(out.text.String(), "\n")); n+q.Dropped() != 10_001 {
			t.Error("a line after Close is not counted")
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	m := telemetry.NewMetrics(telemetry.Sources{})
	q := telemetry.NewQueue()
	defer func() { _ = q.Close(context.Background()) }()
	l := telemetry.Logs{To: slog.New(q.Handler(slog.NewJSONHandler(io.Discard, nil))), Outcome: m.Outcome}
	r := telemetry.Both(m, l)
	e := &call.Event{Kind: call.CallEnded, Call: aCall(time.Now()), At: time.Now(), Target: "a/m", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}}
	b.ReportAllocs()
	for b.Loop() {
		r.Record(e)
	}
}
