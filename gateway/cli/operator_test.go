package cli_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
	"github.com/holdfast-gateway/holdfast/gateway/cli"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
	"github.com/holdfast-gateway/holdfast/internal/process"
)

// output is what a command prints, read while it runs.
type output struct{ process.Text }

func (o *output) wait(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(o.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in\n%s", text, o.String())
		}
	}
}

// watched is an API for operators without a gateway.
type watched struct {
	*httptest.Server
	api  *admin.API
	book *explain.Book
	feed *explain.Feed
}

func watch(t *testing.T, status admin.Status) *watched {
	t.Helper()
	w := &watched{book: explain.NewBook(explain.Limits{}), feed: explain.NewFeed(0)}
	w.api = admin.New(admin.Config{
		Status: func() admin.Status { return status }, Book: w.book, Feed: w.feed,
		Token: func() call.Secret { return "" }, Exposed: func() bool { return false },
	})
	w.Server = httptest.NewServer(w.api)
	t.Cleanup(func() { w.api.Close(); w.Close() })
	return w
}

// fail is a call that could not be saved.
func (w *watched) fail(id string) {
	for _, kind := range []call.EventKind{call.CallStarted, call.CallEnded} {
		e := &call.Event{Kind: kind, At: time.Now(), Status: 503, Attempt: 2, Call: &call.Call{ID: id, Route: "chat", Arrived: time.Now()},
			Outcome: call.Outcome{Verdict: call.Verdict{Class: call.Overloaded}}}
		w.book.Record(e)
		w.feed.Record(e)
	}
}

// run runs a command until the test ends it.
func run(t *testing.T, out *output, args ...string) (end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- cli.Main(ctx, args, out, out, "test") }()
	end = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { end() })
	return end
}

func TestAWatchedStatusIsDrawnAgainWhenSomethingHappens(t *testing.T) {
	w, out := watch(t, admin.Status{Version: "v1", Ready: true, Started: time.Now()}), &output{}
	end := run(t, out, "status", "--watch", "--admin", w.URL)
	out.wait(t, "holdfast v1  ready")
	w.fail("hf_LOST")
	out.wait(t, "hf_LOST  chat  503 overloaded, 2 attempts")
	if code := end(); code != 130 {
		t.Errorf("an interrupt ends it with %d", code)
	}
	if text := out.String(); strings.Contains(text, "\x1b") {
		t.Errorf("colours and cursor moves go to what is no terminal: %q", text)
	}
}

func TestAWatchedGatewayThatGoesAwayIsSaid(t *testing.T) {
	w, out := watch(t, admin.Status{Version: "v1", Ready: true, Started: time.Now()}), &output{}
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(t.Context(), []string{"status", "--watch", "--admin", w.URL}, out, out, "test")
	}()
	out.wait(t, "holdfast v1  ready")
	w.api.Close()
	w.Close()
	if code := <-ended; code != 3 || !strings.Contains(out.String(), "cannot reach a gateway at") {
		t.Errorf("ended with %d: %s", code, out)
	}
}

func TestEventsAreFollowed(t *testing.T) {
	w, out := watch(t, admin.Status{}), &output{}
	w.fail("hf_BEFORE")
	end := run(t, out, "events", "--follow", "--kind", "call_ended", "--admin", w.URL)
	out.wait(t, "call_ended  hf_BEFORE  chat 2 attempts 503 overloaded")
	w.fail("hf_AFTER")
	out.wait(t, "call_ended  hf_AFTER")
	if code := end(); code != 130 || strings.Contains(out.String(), "call_started") {
		t.Errorf("ended with %d: %s", code, out)
	}
}

func TestANameFromOutsideCannotPlayWithTheTerminal(t *testing.T) {
	status := admin.Status{Version: "v1", Started: time.Now(), Config: admin.File{Error: "line\x1b]0;owned\a"}}
	status.Routes = []holdfast.RouteStatus{{Name: "\x1b[2Jchat"}}
	w, out := watch(t, status), &output{}
	c := &call.Call{ID: "hf_1", Arrived: time.Now(), Request: call.Request{Model: "\x1b[31mred\r\nline\u2028"}}
	w.book.Record(&call.Event{Kind: call.CallStarted, At: time.Now(), Call: c})
	for _, args := range [][]string{{"status"}, {"explain", "hf_1"}} {
		if code := cli.Main(t.Context(), append(args, "--admin", w.URL), out, out, "test"); code != 0 {
			t.Fatalf("%v: %d %s", args, code, out)
		}
	}
	if text := out.String(); strings.ContainsAny(text, "\x1b\a\r\u2028") {
		t.Errorf("got %q", text)
	}
}

func ExampleMain_explain() {
	book := explain.NewBook(explain.Limits{})
	began := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := &call.Call{ID: "hf_1", Route: "chat", Op: call.OpChat, Method: "POST", Path: "/v1/chat/completions", Arrived: began, Replay: true,
		Body: make([]byte, 512), Request: call.Request{Model: "chat", Stream: true}}
	ended := func(n int, target string, class call.Class, status int) *call.Event {
		return &call.Event{Kind: call.AttemptEnded, Attempt: n, Target: target, Key: "key1",
			Outcome: call.Outcome{Verdict: call.Verdict{Class: class}, Status: status, Duration: 200 * time.Millisecond}}
	}
	for _, e := range []*call.Event{
		{Kind: call.CallStarted},
		ended(1, "openai/gpt-4o", call.Throttled, 429),
		{Kind: call.RetryPlanned, Attempt: 1, Reason: "throttled", Wait: time.Second},
		ended(2, "openai/gpt-4o", call.Overloaded, 503),
		{Kind: call.MovedOn, Attempt: 2, Reason: "overloaded", To: "anthropic/claude"},
		ended(3, "anthropic/claude", call.OK, 200),
		{Kind: call.CallEnded, Attempt: 3, Status: 200, Source: "provider", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}, Own: 2 * time.Millisecond},
	} {
		e.Call, e.At = c, began.Add(1800*time.Millisecond)
		book.Record(e)
	}
	api := admin.New(admin.Config{Book: book, Feed: explain.NewFeed(1), Token: func() call.Secret { return "" }, Exposed: func() bool { return false }})
	server := httptest.NewServer(api)
	defer server.Close()
	var out output
	fmt.Println(cli.Main(context.Background(), []string{"explain", "hf_1", "--admin", server.URL}, &out, &out, "test"))
	fmt.Print(out.String())
	// Output:
	// 0
	// hf_1  2026-11-01 12:00:00  POST /v1/chat/completions
	// route chat, dialect chat, model chat, streamed, 512 B
	// answered 200 ok by anthropic/claude in 1.8 s after 3 attempts, 2 ms of it Holdfast's own
	//
	//   attempt 1  openai/gpt-4o key1  429 throttled after 200 ms
	//              -> waited 1.0 s, the same target again
	//   attempt 2  openai/gpt-4o key1  503 overloaded after 200 ms
	//              -> moved on to anthropic/claude
	//   attempt 3  anthropic/claude key1  200 ok after 200 ms
	//
	// in short: openai/gpt-4o key1 429 throttled, waited 1.0 s -> 503 overloaded, moved on -> anthropic/claude key1 200
}
