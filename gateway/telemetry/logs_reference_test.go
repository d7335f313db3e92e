package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
)

// loudest is an event about which there is everything to say.
func loudest(k call.EventKind) *call.Event {
	c := aCall(time.Now())
	c.Tenant = "team"
	switch k {
	case call.BreakerMoved, call.KeyPaused, call.KeyEjected, call.TargetEjected:
		c = nil // they belong to no call
	default:
	}
	return &call.Event{Kind: k, Call: c, At: time.Now(), Reason: "overloaded", Wait: time.Second, Original: 503, Cached: "bypass", To: "stream", Outcome: call.Outcome{
		Verdict:    call.Verdict{Class: call.Timeout, HasWait: true, Code: "code", Category: "category"},
		FirstToken: time.Second, Usage: call.Usage{Known: true, Odd: true}, Clock: "idle", Err: errors.New("why"),
	}}
}

func TestTheReferenceNamesEveryLine(t *testing.T) {
	var b strings.Builder
	b.WriteString("| `msg` | Level | Members, besides `time` and `level` |\n| --- | --- | --- |\n")
	for k := call.CallStarted; k <= call.Limited; k++ {
		var out bytes.Buffer
		l := telemetry.Logs{To: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Outcome: func(*call.Event) string { return "timeout" }, Trace: traced}
		l.Record(loudest(k))
		if out.Len() == 0 {
			continue
		}
		entry := entries(t, out.String())[0]
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", entry["msg"], strings.ToLower(fmt.Sprint(entry["level"])), members(out.String()))
	}
	docpage.Check(t, "../../docs/reference/logs.md", b.String())
}

// members lists the keys of a flat JSON object in their order.
func members(line string) string {
	var keys []string
	for part := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "{}"), `,"`) {
		key, _, _ := strings.Cut(strings.TrimPrefix(part, `"`), `"`)
		if key != "time" && key != "level" && key != "msg" {
			keys = append(keys, "`"+key+"`")
		}
	}
	return strings.Join(keys, ", ")
}
