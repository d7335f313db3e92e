package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
	"github.com/holdfast-gateway/holdfast/internal/process"
	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/spend"
)

func entries(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("not one JSON object: %q", line)
		}
		all = append(all, entry)
	}
	return all
}

func ended(c *call.Call, class call.Class) *call.Event {
	return &call.Event{Kind: call.CallEnded, Call: c, At: time.Now(), Outcome: call.Outcome{Verdict: call.Verdict{Class: class}}}
}

func TestAFloodOfEqualLinesIsSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out process.Text
		limit := telemetry.NewLimit()
		m := telemetry.NewMetrics(telemetry.Sources{})
		l := telemetry.Logs{To: slog.New(slog.NewJSONHandler(&out, nil)), Outcome: m.Outcome, Limit: limit}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { limit.Run(ctx); close(done) }()

		c := aCall(time.Now())
		for range 11_000 { // cancelled requests, as under overload
			l.Record(ended(c, call.Canceled))
		}
		l.Record(ended(c, call.Overloaded)) // another kind is not drowned
		if n := strings.Count(out.String(), "\n"); n != 101 {
			t.Errorf("%d lines at once, want 100 and 1", n)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		lines := entries(t, out.String())
		last := lines[len(lines)-1]
		if len(lines) != 102 || last["msg"] != "more of the same" || last["message"] != "call" || last["where"] != "chat" || last["how"] != "canceled" || last["suppressed"] != 10_900.0 {
			t.Errorf("%d lines, the last %v", len(lines), last)
		}
		if limit.Suppressed() != 10_900 {
			t.Errorf("%d are counted as suppressed", limit.Suppressed())
		}
		limit.Set(-1)
		for range 500 {
			l.Record(ended(c, call.Canceled))
		}
		stop()
		<-done
		if n := strings.Count(out.String(), "\n"); n != 602 {
			t.Errorf("%d lines without a limit, want 602", n)
		}
	})
}

func TestOtherLinesAreLimitedByTheirMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		limit := telemetry.NewLimit()
		limit.Set(2)
		log := slog.New(limit.Handler(slog.NewJSONHandler(&out, nil))).With("part", "edge")
		for i := range 10 {
			log.Warn("an answer broke off", "i", i)
			log.Warn("something else", "i", i)
		}
		time.Sleep(time.Second)
		log.Warn("an answer broke off", "i", 10) // tells of the second before, even without Run
		text := out.String()
		if n := strings.Count(text, "\n"); n != 6 || !strings.Contains(text, `"msg":"more of the same","part":"edge","message":"an answer broke off","where":"","how":"","suppressed":8`) {
			t.Errorf("%d lines:\n%s", n, text)
		}
	})
}

func TestTheLimitsMemoryIsBounded(t *testing.T) {
	var out bytes.Buffer
	limit := telemetry.NewLimit()
	limit.Set(1)
	log := slog.New(limit.Handler(slog.NewJSONHandler(&out, nil)))
	for i := range 5_000 {
		log.Info(fmt.Sprint("message ", i))
	}
	if n := strings.Count(out.String(), "\n"); n != 1025 {
		t.Errorf("%d of 5000 kinds have an account, want 1024 and one for the others", n)
	}
}

// What a caller writes must stay text in every format that the log has.
func TestNothingInALineActsOnItsReader(t *testing.T) {
	const evil = "a\r\n{\"forged\":true}\x1b[31m\u2028\u2029\u0085\u009b31m\u202e\x00\t\u200f"
	for _, format := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var out bytes.Buffer
		q := telemetry.NewQueue()
		log := slog.New(q.Handler(format(&out)))
		l := telemetry.Logs{To: log, Outcome: func(*call.Event) string { return "ok" }}
		c := aCall(time.Now())
		c.Path, c.Method, c.Tenant, c.Request.Model = evil, evil, evil, evil
		l.Record(ended(c, call.OK))
		log.Warn("message "+evil, "text", evil, "error", fmt.Errorf("failed: %s", evil), slog.Group("group", "text", evil), evil, 1)
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != 2 || strings.ContainsAny(strings.ReplaceAll(out.String(), "\n", ""), evil[1:3]+"\x1b\u2028\u2029\u0085\u009b\u202e\x00\t\u200f") {
			t.Errorf("%d lines: %q", n, out.String())
		}
		if !strings.HasPrefix(out.String(), "{") {
			continue
		}
		for _, entry := range entries(t, out.String()) { // nor when the reader takes JSON's escapes away
			if text := fmt.Sprint(entry); strings.ContainsAny(text, "\r\n\x1b\u2028\u009b\u202e\x00") {
				t.Errorf("decoded: %q", text)
			}
		}
	}
}

// traced is a Trace under which every call is kept.
func traced(*call.Call) (trace, span string) {
	return "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
}

func TestLinesAndHistogramsNameTheTrace(t *testing.T) {
	var out bytes.Buffer
	m := telemetry.NewMetrics(telemetry.Sources{Trace: traced})
	l := telemetry.Logs{To: slog.New(slog.NewJSONHandler(&out, nil)), Outcome: m.Outcome, Trace: traced}
	c := aCall(time.Now().Add(-3 * time.Second))
	e := ended(c, call.OK)
	e.Attempt, e.Own = 1, 300*time.Microsecond
	attempt := &call.Event{Kind: call.AttemptEnded, Call: c, At: time.Now(), Provider: "a", Attempt: 1,
		Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}, Committed: true, FirstToken: time.Second, Duration: 2 * time.Second}}
	for _, r := range []call.Recorder{m, l} {
		r.Record(attempt)
		r.Record(e)
	}
	line := entries(t, out.String())[0]
	if trace, span := traced(c); line["trace_id"] != trace || line["span_id"] != span {
		t.Errorf("the line names %v, %v", line["trace_id"], line["span_id"])
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	for _, metric := range []string{"holdfast_request_duration_seconds", "holdfast_time_to_first_token_seconds", "holdfast_overhead_seconds"} {
		example := regexp.MustCompile(metric + `_bucket\{.*\} 1 # \{.*trace_id="4bf92f3577b34da6a3ce929d0e0e4736".*\}`)
		if !example.MatchString(w.Body.String()) {
			t.Errorf("no bucket of %s has an example in\n%s", metric, w.Body)
		}
	}
	has(t, exposition(t, m), "holdfast_overhead_seconds_sum 0.0003")
}

// R39: an attacker sends 100,000 names of everything that can be named.
func TestAHundredThousandNamesMakeFewSeriesAndLittleMemory(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{})
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			name := fmt.Sprintf("name_%d", i)
			c := aCall(time.Now())
			c.Request.Model, c.Path, c.Tenant, c.Client, c.ID, c.Trace = name, "/"+name, name, name, name, name
			v := call.Verdict{Class: call.Classes()[i%len(call.Classes())], Code: name, Category: name}
			m.Record(&call.Event{Kind: call.AttemptEnded, Call: c, Target: "any", Provider: "any", Key: "key1", Outcome: call.Outcome{Verdict: v}})
			m.Record(&call.Event{Kind: call.CallEnded, Call: c, Target: "any", Provider: "any", Reason: name, Outcome: call.Outcome{Verdict: v}})
			m.Record(&call.Event{Kind: call.Queued, Call: c, Reason: name})
		}
	}
	flood(0, 10_000)
	before := heap()
	flood(10_000, 100_000)
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the last 90,000 names left %d bytes behind", grown)
	}
	if n := strings.Count(exposition(t, m), "\n"); n > 2000 {
		t.Errorf("%d series", n)
	}
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func TestPromtoolFindsTheMetricsClean(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		wanted.Missing(t, wanted.Prometheus, "promtool is not here: apt-get install prometheus")
	}
	m := telemetry.NewMetrics(telemetry.Sources{
		Status: func() holdfast.Status {
			return holdfast.Status{Routes: []holdfast.RouteStatus{{Name: "chat", Classes: []holdfast.QueueStatus{{Class: "normal"}}, Cache: &cache.Contents{}}}, Targets: []holdfast.TargetStatus{{Name: "a", Permits: 1,
				Quotas: []holdfast.QuotaStatus{{Key: "k", Limit: "tpm", Allowed: 1, Waste: 0.5}}}},
				Limits: []holdfast.LimitStatus{{Name: "key"}}, Budgets: []spend.Status{{Name: "key alice"}}}
		},
		Dropped:  map[string]func() int64{"log": func() int64 { return 0 }},
		Withheld: func() int64 { return 0 },
	})
	c := aCall(time.Now())
	for _, e := range everyKind(c) {
		m.Record(e)
	}
	m.Reloaded(true)
	text := exposition(t, m)
	for _, f := range m.Families() {
		if !strings.Contains(text, f.Name) {
			t.Errorf("%s was not made, and so not checked", f.Name)
		}
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = w.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// What the how-to tells to ask must be something that Prometheus understands.
func TestPrometheusUnderstandsTheQuestionsOfTheHowTo(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		wanted.Missing(t, wanted.Prometheus, "promtool is not here: apt-get install prometheus")
	}
	page, err := os.ReadFile("../../docs/how-to/prometheus.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: how-to\n  rules:\n")
	questions := 0
	for _, block := range regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for question := range strings.SplitSeq(strings.ReplaceAll(block[1], "\n  ", " "), "\n") {
			if strings.Contains(question, "holdfast_") && !strings.HasPrefix(question, "curl") {
				questions++
				fmt.Fprintf(&rules, "  - record: question_%d\n    expr: %q\n", questions, question)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil || questions < 9 {
		t.Errorf("%d questions: %v\n%s\n%s", questions, err, out, rules.String())
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "config", "../../deploy/prometheus/prometheus.yml").CombinedOutput(); err != nil {
		t.Errorf("the example configuration: %v\n%s", err, out)
	}
}

// everyKind is one event at least of each kind that is counted.
func everyKind(c *call.Call) []*call.Event {
	broken := call.Outcome{Verdict: call.Verdict{Class: call.Truncated, Code: "cut"}, Committed: true, FirstToken: 1, Usage: call.Usage{Known: true, Input: 1, Odd: true}}
	refused := call.Outcome{Verdict: call.Verdict{Class: call.PolicyViolation, Category: "cyber"}}
	events := []*call.Event{
		{Kind: call.AttemptEnded, Call: c, Outcome: broken}, {Kind: call.AttemptEnded, Call: c, Outcome: refused},
		{Kind: call.Queued, Call: c}, {Kind: call.Queued, Call: c, Reason: "queue_full"},
		{Kind: call.CallEnded, Call: c, Cached: "hit"},
	}
	for k := call.CallStarted; k <= call.Limited; k++ {
		events = append(events, &call.Event{Kind: k, Call: c, At: time.Now(), Attempt: 1, Target: "a", Provider: "a", Key: "key1", From: "a", To: "b", Reason: "overloaded"})
	}
	return events
}

// A page that names a metric nobody makes sends its reader into the dark.
func TestEveryMetricThatAPageNamesExists(t *testing.T) {
	known := map[string]bool{}
	for _, f := range telemetry.NewMetrics(telemetry.Sources{}).Families() {
		known[f.Name] = true
		if f.Kind == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[f.Name+part] = true
			}
		}
	}
	name := regexp.MustCompile(`\bholdfast_[a-z0-9_]+[a-z0-9]`)
	named := 0
	for _, folder := range []string{"docs", "deploy", "README.md", "changelog"} {
		err := filepath.WalkDir("../../"+folder, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range name.FindAllString(string(text), -1) {
				if named++; !known[m] {
					t.Errorf("%s names %s, which is no metric", path, m)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if named < len(known)/2 {
		t.Errorf("only %d names found: the search is broken", named)
	}
}
