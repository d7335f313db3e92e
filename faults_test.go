package holdfast_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
)

// faultTable says, for every fault of the simulated provider, what a caller
// gets: "END PRIMARY/BACKUP TIME". END is ok (a complete answer), event (the
// dialect's error event on a frame boundary) or a status; then the attempts that
// the two providers saw, and the time it took. The columns are a whole answer
// and a stream, with the primary alone and with a healthy backup. "=" repeats
// the column before.
var faultTable = []struct{ fault, whole, stream, wholeBackup, streamBackup string }{
	{"ok", "ok 1/0 0s", "=", "=", "="},
	{"429-retry-after-2", "ok 2/0 2s-2.2s", "=", "ok 1/1 0s", "="},
	{"429-forever", "429 3/0 2s-5s", "=", "ok 1/1 0s", "="},
	{"429-quota", "429 1/0 0s", "=", "ok 1/1 0s", "="},
	{"500-once", "ok 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"500", "500 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"502", "502 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"503", "503 2/0 500ms-1s", "=", "ok 1/1 0s", "="},
	{"504", "504 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"529", "529 2/0 500ms-1s", "=", "ok 1/1 0s", "="},
	{"reset", "502 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"silent", "504 2/0 4m-4m1s", "504 2/0 60s-61s", "ok 1/1 2m", "ok 1/1 30s"},
	{"slow-first-token-20s", "ok 1/0 20s", "=", "=", "="},
	{"slow-first-token-40s", "504 2/0 60s-61s", "=", "ok 1/1 30s", "="},
	{"cut-after-40", "502 2/0 0s-500ms", "event 1/0 0s", "ok 1/1 0s", "event 1/0 0s"},
	{"cut-clean-after-5", "502 2/0 0s-500ms", "event 1/0 0s", "ok 1/1 0s", "event 1/0 0s"},
	{"stall-after-20", "504 2/0 60s-61s", "event 1/0 30s", "ok 1/1 30s", "event 1/0 30s"},
	{"bad-event-10", "502 2/0 0s-500ms", "event 1/0 0s", "ok 1/1 0s", "event 1/0 0s"},
	{"no-done", "ok 1/0 0s", "event 1/0 0s", "ok 1/0 0s", "event 1/0 0s"},
	{"never-closes", "ok 1/0 0s-1s", "=", "=", "="},
	{"error-first-event", "5xx 2/0 0s-1s", "=", "ok 1/1 0s", "="},
	{"error-after-10", "500 2/0 0s-500ms", "event 1/0 0s", "ok 1/1 0s", "event 1/0 0s"},
	{"only-pings", "504 2/0 4m-4m1s", "504 2/0 60s-61s", "ok 1/1 2m", "ok 1/1 30s"},
	{"html-200", "502 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"empty-200", "502 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
	{"context-length", "400 1/0 0s", "=", "=", "="},
	{"content-filter", "policy 1/0 0s", "=", "=", "="},
	{"refusal", "policy 1/0 0s", "=", "=", "="},
	{"auth", "401 1/0 0s", "=", "ok 1/1 0s", "="},
	{"not-found", "404 1/0 0s", "=", "ok 1/1 0s", "="},
	{"400", "400 1/0 0s", "=", "=", "="},
	{"flap-60s", "ok 1/0 0s", "=", "=", "="},
	{"echo-headers", "ok 1/0 0s", "=", "=", "="},
	{"slow-mode", "ok 1/0 0s", "=", "=", "="},
	{"diverge", "ok 1/0 0s", "=", "=", "="},
	{"ignores-prefill", "ok 1/0 0s", "=", "=", "="},
	{"refuses-prefill", "ok 1/0 0s", "=", "=", "="},
	{"big-frame", "ok 1/0 0s", "=", "=", "="},
	{"no-newline", "502 2/0 0s-500ms", "=", "ok 1/1 0s", "="},
}

var dialectNames = []string{"chat", "responses", "messages"}

// TestEveryFaultEndsAsTheTableSays holds the whole house against every fault of
// the simulated provider, in virtual time.
func TestEveryFaultEndsAsTheTableSays(t *testing.T) {
	for _, row := range faultTable {
		wants := []string{row.whole, row.stream, row.wholeBackup, row.streamBackup}
		for i := range wants {
			if wants[i] == "=" {
				wants[i] = wants[i-1]
			}
		}
		for _, dialect := range dialectNames {
			for i, want := range wants {
				streamed, backup := i%2 == 1, i >= 2
				name := fmt.Sprintf("%s/%s/stream=%v/backup=%v", row.fault, dialect, streamed, backup)
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { meetFault(t, row.fault, dialect, streamed, backup, want) })
				})
			}
		}
	}
}

func meetFault(t *testing.T, fault, dialect string, streamed, backup bool, want string) {
	make := to
	if dialect == "messages" {
		make = claude
	}
	targets := []holdfast.Target{make("primary", "sim/"+fault)}
	if backup {
		targets = append(targets, make("backup", "sim/ok"))
	}
	w := build(t, route(targets...), "primary", "backup")
	g := w.do(t.Context(), dialect, ask(dialect, "m", streamed))

	field := strings.Fields(want)
	end, seen, span := field[0], field[1], field[2]
	if got := fmt.Sprintf("%d/%d", w.attempts("primary"), w.attempts("backup")); got != seen {
		t.Errorf("the providers saw %s attempts, want %s", got, seen)
	}
	low, high, ranged := strings.Cut(span, "-")
	least, most := duration(t, low), duration(t, low)
	if ranged {
		most = duration(t, high)
	}
	if g.took < least || g.took > most {
		t.Errorf("took %s, want %s", g.took, span)
	}
	checkEnd(t, g, dialect, streamed, end)
	checkEvents(t, w, g, end)
	if t.Failed() {
		t.Log(g)
	}
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkEnd holds what the caller got against the table's END.
func checkEnd(t *testing.T, g got, dialect string, streamed bool, end string) {
	t.Helper()
	if g.err != nil || g.read != nil {
		t.Fatalf("error %v, read error %v: Holdfast answers with responses", g.err, g.read)
	}
	for _, name := range []string{"X-Holdfast-Request-Id", "X-Holdfast-Route", "X-Holdfast-Provider", "X-Holdfast-Model", "X-Holdfast-Attempts"} {
		if g.header.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	switch end {
	case "ok":
		if !g.complete(dialect) {
			t.Error("the answer is not complete")
		}
	case "policy":
		if g.status != 200 && g.status != 400 || strings.Contains(g.body, "event: error") {
			t.Error("a policy signal is an answer and goes to the caller as it is")
		}
	case "event":
		if !endsInErrorEvent(g.body, dialect) {
			t.Error("the stream does not end in the dialect's error event on a frame boundary")
		}
	case "5xx":
		if g.status < 500 {
			t.Errorf("status %d, want 5xx", g.status)
		}
		checkRefusal(t, g)
	default:
		if strconv.Itoa(g.status) != end {
			t.Errorf("status %d, want %s", g.status, end)
		}
		checkRefusal(t, g)
	}
}

// checkRefusal holds a final error against what SDKs need of it.
func checkRefusal(t *testing.T, g got) {
	t.Helper()
	if g.header.Get("X-Should-Retry") != "false" {
		t.Errorf("x-should-retry is %q, want false: all attempts are spent", g.header.Get("X-Should-Retry"))
	}
	if source := g.header.Get("X-Holdfast-Error-Source"); source != "gateway" && source != "provider" {
		t.Errorf("x-holdfast-error-source is %q", source)
	}
	if after := g.header.Get("Retry-After"); after != "" {
		if n, err := strconv.Atoi(after); err != nil || n < 1 || n > 60 {
			t.Errorf("Retry-After is %q, want 1 to 60 s", after)
		}
	}
}

// endsInErrorEvent reports whether a stream's last frame is the dialect's error
// and none of its frames is cut or a terminator of success.
func endsInErrorEvent(body, dialect string) bool {
	if !strings.HasSuffix(body, "\n\n") {
		return false
	}
	frames := strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
	for _, f := range frames {
		_, data, _ := strings.Cut(f, "data: ")
		if data != "" && !call.Value(data).Well() {
			return false
		}
		if strings.Contains(f, "[DONE]") || strings.Contains(f, "event: message_stop") || strings.Contains(f, "event: response.completed") {
			return false
		}
	}
	last := frames[len(frames)-1]
	_, data, _ := strings.Cut(last, "data: ")
	problem := call.Value(data).Get("error")
	if dialect == "chat" {
		return strings.HasPrefix(last, "data: ") && problem.Get("message").Text() != ""
	}
	if dialect == "responses" && (!strings.Contains(body, "event: response.failed\n") || call.Value(data).Get("message").Text() == "") {
		return false
	}
	return strings.HasPrefix(last, "event: error\n") && problem.Get("message").Text() != ""
}

// checkEvents holds the events against the answer: one per attempt, one per call.
func checkEvents(t *testing.T, w *world, g got, end string) {
	t.Helper()
	attempts := w.events(call.AttemptEnded)
	if n := w.attempts("primary") + w.attempts("backup"); len(attempts) != n {
		t.Errorf("%d AttemptEnded events for %d attempts", len(attempts), n)
	}
	if header := g.header.Get("X-Holdfast-Attempts"); header != strconv.Itoa(len(attempts)) {
		t.Errorf("x-holdfast-attempts is %s, want %d", header, len(attempts))
	}
	ended := w.events(call.CallEnded)
	if len(ended) != 1 {
		t.Fatalf("%d CallEnded events, want 1", len(ended))
	}
	class := ended[0].Outcome.Class
	switch {
	case end == "ok" && class != call.OK, end != "ok" && class == call.OK, end == "policy" && class != call.PolicyViolation:
		t.Errorf("the call's class is %s", class)
	case end == "event" && class.Row().Breaker != call.BreakerFailure:
		t.Errorf("a broken stream has class %s, which is no failure to the breaker", class)
	}
	for _, target := range w.hf.Status().Targets {
		if target.InFlight != 0 {
			t.Errorf("%s still holds %d permits", target.Name, target.InFlight)
		}
	}
}
