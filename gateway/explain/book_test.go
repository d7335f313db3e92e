package explain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
	"github.com/holdfast-gateway/holdfast/gateway/internal/reach"
)

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// tell gives a book the events of one call.
type teller struct {
	to   call.Recorder
	call *call.Call
	at   time.Time
}

func newTeller(to call.Recorder, id string) *teller {
	return &teller{to: to, at: began, call: &call.Call{ID: id, Route: "chat", Tenant: "acme", Op: call.OpChat, Method: "POST", Path: "/v1/chat/completions",
		Body: []byte(`{"model":"gpt"}`), Replay: true, Arrived: began, CommitBy: began.Add(9 * time.Second), Request: call.Request{Model: "gpt", Stream: true, Choices: 1}}}
}

func (t *teller) say(after time.Duration, e call.Event) {
	t.at = t.at.Add(after)
	e.Call, e.At = t.call, t.at
	t.to.Record(&e)
}

func ended(number int, target, key string, class call.Class, status int) call.Event {
	return call.Event{Kind: call.AttemptEnded, Attempt: number, Target: target, Provider: target, Model: "gpt-4o", Key: key,
		Outcome: call.Outcome{Verdict: call.Verdict{Class: class}, Status: status, Sent: true, Duration: 200 * time.Millisecond}}
}

// outage is a call that was throttled on both keys, moved on past an open
// circuit and was answered.
func outage(b call.Recorder, id string) {
	t := newTeller(b, id)
	t.say(0, call.Event{Kind: call.CallStarted})
	t.say(12*time.Millisecond, call.Event{Kind: call.Queued, Wait: 12 * time.Millisecond})
	first := ended(1, "openai", "key1", call.Throttled, 429)
	first.Outcome.Wait, first.Outcome.HasWait, first.Outcome.Code = time.Second, true, "rate_limit_exceeded"
	t.say(200*time.Millisecond, first)
	t.say(0, call.Event{Kind: call.RetryPlanned, Target: "openai", Attempt: 1, Reason: "throttled"})
	t.say(200*time.Millisecond, ended(2, "openai", "key2", call.Overloaded, 503))
	t.say(0, call.Event{Kind: call.RetryPlanned, Target: "openai", Attempt: 2, Reason: "overloaded", Wait: time.Second})
	t.say(1200*time.Millisecond, ended(3, "openai", "key2", call.Overloaded, 503))
	t.say(0, call.Event{Kind: call.PassedOver, Target: "azure", Reason: "circuit_open", Wait: 12 * time.Second})
	t.say(0, call.Event{Kind: call.MovedOn, From: "openai", To: "azure", Attempt: 3, Reason: "overloaded"})
	last := ended(4, "anthropic", "key1", call.OK, 200)
	last.Answered = "claude-\x1b[31msonnet"
	last.Outcome.Usage = call.Usage{Input: 12, Output: 340, Known: true}
	last.Outcome.FirstToken, last.Outcome.Bytes, last.Outcome.Committed = 100*time.Millisecond, 5100, true
	t.say(200*time.Millisecond, last)
	t.say(0, call.Event{Kind: call.CallEnded, Status: 200, Source: "provider", Attempt: 4, Target: "anthropic",
		Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}, Own: 3 * time.Millisecond})
}

func TestAStoryTellsWhatWasDoneAndWhy(t *testing.T) {
	b := explain.NewBook(explain.Limits{})
	outage(b, "hf_1")
	s, ok := b.Find("hf_1")
	if !ok {
		t.Fatal("not remembered")
	}
	if s.Running || s.Status != 200 || s.Class != "ok" || s.Made != 4 || s.Target != "anthropic" || s.QueueMS != 12 || s.DurationMS != 1812 || s.OwnMS != 3 {
		t.Errorf("the call: %+v", s.Summary)
	}
	if s.Dialect != "chat" || s.Model != "gpt" || s.Answered != "claude-[31msonnet" || s.Request.Bytes != 15 || s.Request.CommitMS != 9000 || s.Incomplete {
		t.Errorf("the request: %+v", s)
	}
	var decided []string
	for _, a := range s.Attempts {
		line := fmt.Sprintf("%d %s %s %s %d", a.Number, a.Target, a.Key, a.Class, a.Status)
		if a.Next != nil {
			line += fmt.Sprintf(" -> %s %s %s %v", a.Next.Decision, a.Next.To, a.Next.Reason, a.Next.WaitMS)
		}
		decided = append(decided, line)
	}
	want := []string{
		"1 openai key1 throttled 429 -> other_key  throttled 0",
		"2 openai key2 overloaded 503 -> same_target  overloaded 1000",
		"3 openai key2 overloaded 503 -> next_target anthropic overloaded 0",
		"4 anthropic key1 ok 200",
	}
	if got := strings.Join(decided, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if a := s.Attempts[0]; a.RetryAfterMS != 1000 || a.Code != "rate_limit_exceeded" {
		t.Errorf("the throttled attempt: %+v", a)
	}
	if a := s.Attempts[3]; a.Tokens == nil || a.Tokens.Output != 340 || a.Bytes != 5100 || a.FirstTokenMS != 100 {
		t.Errorf("the answer: %+v", a)
	}
	if len(s.PassedOver) != 1 || s.PassedOver[0] != (explain.PassedOver{Target: "azure", Reason: "circuit_open", WaitMS: 12000, After: 3}) {
		t.Errorf("passed over: %+v", s.PassedOver)
	}
}

func TestACallThatRunsIsRememberedToo(t *testing.T) {
	b := explain.NewBook(explain.Limits{})
	newTeller(b, "hf_1").say(0, call.Event{Kind: call.CallStarted})
	if s, ok := b.Find("hf_1"); !ok || !s.Running || s.Failed() {
		t.Errorf("got %+v, %v", s.Summary, ok)
	}
	if _, ok := b.Find("hf_2"); ok {
		t.Error("a call that never was is remembered")
	}
}

func TestTheOldestCallsMakeRoomAndAreCounted(t *testing.T) {
	b := explain.NewBook(explain.Limits{Calls: 160})
	for i := range 1000 {
		outage(b, fmt.Sprint("hf_", i))
	}
	n := b.Counts()
	if n.Calls > 160 || n.Calls < 100 || n.Forgotten != int64(1000-n.Calls) {
		t.Errorf("%+v", n)
	}
	if _, ok := b.Find("hf_999"); !ok {
		t.Error("the newest call is forgotten")
	}
	if _, ok := b.Find("hf_0"); ok {
		t.Error("the oldest call is remembered")
	}
}

func TestLongTextsDoNotFillTheMemory(t *testing.T) {
	b := explain.NewBook(explain.Limits{Bytes: 1 << 20})
	long := strings.Repeat("x", 1<<20)
	for i := range 200 {
		tl := newTeller(b, fmt.Sprint("hf_", i))
		tl.call.Path, tl.call.Request.Model, tl.call.Tenant = long, long, long
		tl.say(0, call.Event{Kind: call.CallStarted})
		for n := range 100 {
			e := ended(n+1, "openai", "key1", call.ProviderFault, 500)
			e.Answered = long
			tl.say(0, e)
		}
	}
	n := b.Counts()
	if n.Bytes > 1<<20+16*64<<10 || n.Calls == 0 || n.Forgotten == 0 {
		t.Errorf("%+v", n)
	}
	s, ok := b.Find("hf_199")
	if !ok || len(s.Attempts) != 64 || s.Left != 100-64 || s.Made != 100 || len(s.Path) > 200 {
		t.Errorf("%d attempts kept, %d left out of %d", len(s.Attempts), s.Left, s.Made)
	}
}

func TestACallForgottenWhileItRanSaysSo(t *testing.T) {
	b := explain.NewBook(explain.Limits{Calls: 1})
	tl := newTeller(b, "hf_long")
	tl.say(0, call.Event{Kind: call.CallStarted})
	for i := range 100 {
		outage(b, fmt.Sprint("hf_", i))
	}
	tl.say(0, ended(1, "openai", "key1", call.OK, 200))
	if s, ok := b.Find("hf_long"); !ok || !s.Incomplete || len(s.Attempts) != 1 {
		t.Errorf("got %+v, %v", s, ok)
	}
}

func TestCallsAreChosenByWhatTheyAre(t *testing.T) {
	b := explain.NewBook(explain.Limits{})
	for i := range 20 {
		tl := newTeller(b, fmt.Sprint("hf_", i))
		tl.call.Arrived = began.Add(time.Duration(i) * time.Second)
		class, status := call.OK, 200
		if i%4 == 0 {
			class, status, tl.call.Tenant, tl.call.Route = call.Overloaded, 503, "other", "slow"
		}
		tl.say(0, ended(1, fmt.Sprint("target", i%2), "key1", class, status))
		tl.say(0, call.Event{Kind: call.CallEnded, Status: status, Attempt: 1, Outcome: call.Outcome{Verdict: call.Verdict{Class: class}}})
	}
	for _, c := range []struct {
		name   string
		filter explain.Filter
		want   int
	}{
		{"all", explain.Filter{}, 20}, {"a limit", explain.Filter{Limit: 3}, 3}, {"route", explain.Filter{Route: "slow"}, 5},
		{"tenant", explain.Filter{Tenant: "other"}, 5}, {"class", explain.Filter{Class: "overloaded"}, 5}, {"status", explain.Filter{Status: 503}, 5},
		{"a hundred of statuses", explain.Filter{Status: 2}, 15}, {"target", explain.Filter{Target: "target1"}, 10}, {"failed", explain.Filter{Failed: true}, 5},
		{"nobody", explain.Filter{Route: "nobody"}, 0},
	} {
		got := b.Recent(c.filter)
		if len(got) != c.want {
			t.Errorf("%s: %d calls, want %d", c.name, len(got), c.want)
		}
		for i := 1; i < len(got); i++ {
			if got[i].At.After(got[i-1].At) {
				t.Errorf("%s: not the newest first", c.name)
			}
		}
	}
}

func TestWhatAProviderWroteCannotCarryASecret(t *testing.T) {
	const canary = "sk-canary-0123456789abcdef"
	for _, echoed := range []string{canary, "gsk_0123456789", "key=" + canary, strings.Repeat("a", 65)} {
		b := explain.NewBook(explain.Limits{})
		e := ended(1, "openai", "key1", call.Auth, 401)
		e.Outcome.Code, e.Outcome.Category = echoed, echoed
		e.Outcome.Err = fmt.Errorf("malformed HTTP response %q", echoed)
		newTeller(b, "hf_1").say(0, e)
		s, _ := b.Find("hf_1")
		text, err := json.Marshal(s)
		if err != nil || strings.Contains(string(text), echoed) {
			t.Errorf("%s", text)
		}
		if s.Attempts[0].Code != "unlisted" || s.Attempts[0].Fault != "other" {
			t.Errorf("%+v", s.Attempts[0])
		}
	}
}

func TestAFaultOfTheConnectionIsNamed(t *testing.T) {
	for want, err := range map[string]error{
		"refused":           &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"reset":             fmt.Errorf("read: %w", syscall.ECONNRESET),
		"forbidden_address": &net.OpError{Op: "dial", Err: &reach.RefusedError{}},
		"name_not_found":    &net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere"}},
		"unexpected_end":    io.ErrUnexpectedEOF,
		"other":             errors.New("anything"),
	} {
		b := explain.NewBook(explain.Limits{})
		e := ended(1, "openai", "key1", call.Transport, 0)
		e.Outcome.Err = err
		newTeller(b, "hf_1").say(0, e)
		if s, _ := b.Find("hf_1"); s.Attempts[0].Fault != want {
			t.Errorf("%v: %s, want %s", err, s.Attempts[0].Fault, want)
		}
	}
}

func TestWritersAndReadersDoNotDisturbEachOther(t *testing.T) {
	b := explain.NewBook(explain.Limits{Calls: 200})
	f := explain.NewFeed(64)
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	readers.Go(func() {
		out := make([]explain.Live, 16)
		for at := uint64(0); ctx.Err() == nil; {
			n, missed, _ := f.Read(at, out)
			at += uint64(n) + missed
			for _, s := range b.Recent(explain.Filter{Limit: 10}) {
				if story, ok := b.Find(s.ID); ok {
					_, _ = json.Marshal(story) // the race detector reads with it
				}
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			for i := range 200 {
				outage(call.RecorderFunc(func(e *call.Event) { b.Record(e); f.Record(e) }), fmt.Sprintf("hf_%d_%d", w, i))
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	if n := b.Counts(); int64(n.Calls)+n.Forgotten < 800 {
		t.Errorf("%+v", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	book, feed := explain.NewBook(explain.Limits{}), explain.NewFeed(0)
	both := call.RecorderFunc(func(e *call.Event) { book.Record(e); feed.Record(e) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			outage(both, fmt.Sprint("hf_", i))
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/13, "ns/event")
}
