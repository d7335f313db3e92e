package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/server"
)

// Every way to look at what happened must tell the same story: the provider's
// own log, the status, the metrics and the log lines.
func TestStatusMetricsAndLogsAgreeWithTheProvidersLog(t *testing.T) {
	models := []string{"gpt-4o", "sim/500-once", "sim/503", "sim/429-forever", "sim/auth", "sim/context-length",
		"sim/cut-after-2", "sim/cut-clean-after-5", "sim/html-200", "sim/reset", "sim/error-first-event", "sim/refusal"}
	g := start(t, manyRoutes(models), server.Options{})
	const each = 6
	for i := range each {
		for j := range models {
			_, _, _ = g.ask("/v1/chat/completions", fmt.Sprintf( // broken answers are part of it
				`{"model":"r%d","stream":%t,"messages":[{"role":"user","content":"call %d of %d"}]}`, j, i%2 == 0, i, j))
		}
	}
	_, _, _ = g.ask("/v1/chat/completions", `{"model":"nobody","messages":[]}`)
	_, _, _ = g.ask("/v1/chat/completions", `not JSON`)

	_, raw := g.get("http://" + g.AdminAddr() + "/api/v1/status")
	_, exposition := g.get("http://" + g.AdminAddr() + "/metrics")
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	attempts := map[string]int{}
	total := 0
	for _, a := range g.provider.Log() {
		attempts[a.Model]++
		total++
	}
	if total < each*len(models) {
		t.Fatalf("the provider saw %d attempts; the test proves nothing", total)
	}
	compare(t, "attempts by model in the status", statusAttempts(t, raw), attempts)
	compare(t, "attempts by model in the metrics", samples(t, exposition, "holdfast_attempts_total", "model"), attempts)
	compare(t, "attempts by model in the log", logged(t, g.log.String(), "attempt", "model"), attempts)

	outcomes := logged(t, g.log.String(), "call", "outcome")
	compare(t, "calls by outcome in the metrics", samples(t, exposition, "holdfast_requests_total", "outcome"), outcomes)
	if n := sum(outcomes); n != each*len(models)+2 {
		t.Errorf("%d calls in the log, want %d", n, each*len(models)+2)
	}
	routes := logged(t, g.log.String(), "call", "route")
	delete(routes, "") // calls that no route took
	compare(t, "calls by route in the status", statusCalls(t, raw), routes)
	compare(t, "retries in the metrics", samples(t, exposition, "holdfast_retries_total", "class"), logged(t, g.log.String(), "retry_planned", "reason"))
	classes := logged(t, g.log.String(), "attempt", "class")
	compare(t, "attempts by class in the metrics", samples(t, exposition, "holdfast_attempts_total", "class"), classes)
	for class, metric := range map[string]string{"truncated": "holdfast_streams_truncated_total", "policy_violation": "holdfast_policy_events_total"} {
		if n := sum(samples(t, exposition, metric, "provider")); n != classes[class] || n == 0 {
			t.Errorf("%s: %d, and %d in the log", metric, n, classes[class])
		}
	}
}

func manyRoutes(models []string) string {
	var b strings.Builder
	b.WriteString(head + "logs: {level: debug}\nretry: {base: 1ms, throttle_base: 1ms, max_retry_after: 10ms}\nbreaker: {off: true}\n" +
		"providers:\n  openai: {base_url: \"SIM\", api_key: sk-sim}\nroutes:\n")
	for i, m := range models {
		fmt.Fprintf(&b, "  r%d: {targets: [openai/%s]}\n", i, m)
	}
	return b.String()
}

func compare(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func sum(m map[string]int) (total int) {
	for n := range maps.Values(m) {
		total += n
	}
	return total
}

func statusAttempts(t *testing.T, raw string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, target := range parseStatus(t, raw).Targets {
		classes := 0
		for _, n := range target.Classes {
			classes += int(n)
		}
		if int64(classes) != target.Attempts {
			t.Errorf("%s: %d attempts, but %d by class", target.Name, target.Attempts, classes)
		}
		all[target.Model] = int(target.Attempts)
	}
	return all
}

func statusCalls(t *testing.T, raw string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, route := range parseStatus(t, raw).Routes {
		all[route.Name] = int(route.Calls)
	}
	return all
}

func parseStatus(t *testing.T, raw string) server.Status {
	t.Helper()
	var s server.Status
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// samples sums a counter's values by one of its labels.
func samples(t *testing.T, exposition, name, label string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for line := range strings.Lines(exposition) {
		rest, ok := strings.CutPrefix(line, name+"{")
		if !ok {
			continue
		}
		_, after, _ := strings.Cut(","+rest, ","+label+`="`)
		value, _, _ := strings.Cut(after, `"`)
		fields := strings.Fields(rest)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[value] += int(n)
	}
	return all
}

// logged counts the log lines of one kind by one of their members.
func logged(t *testing.T, log, kind, member string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for line := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("a log line is not JSON: %s", line)
		}
		if entry["msg"] == kind {
			all[fmt.Sprint(entry[member])]++
		}
	}
	if len(all) == 0 {
		t.Fatalf("no line %q in the log", kind)
	}
	return all
}
