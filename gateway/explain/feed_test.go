package explain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

func publish(f *explain.Feed, from, to int) {
	for i := from; i < to; i++ {
		f.Record(&call.Event{Kind: call.BreakerMoved, Target: fmt.Sprint("t", i), At: began})
	}
}

func read(t *testing.T, f *explain.Feed, from uint64) (targets []string, missed uint64) {
	t.Helper()
	out := make([]explain.Live, 100)
	n, missed, _ := f.Read(from, out)
	for _, l := range out[:n] {
		targets = append(targets, l.Target)
	}
	return targets, missed
}

func TestAReaderGoesOnWhereItStopped(t *testing.T) {
	f := explain.NewFeed(8)
	publish(f, 0, 5)
	if got, missed := read(t, f, f.Seek(f.ID(2))); fmt.Sprint(got) != "[t3 t4]" || missed != 0 {
		t.Errorf("got %v, missed %d", got, missed)
	}
	if got, _ := read(t, f, f.Seek("")); len(got) != 0 {
		t.Errorf("a new reader hears the past: %v", got)
	}
}

func TestAReaderThatWasAwayTooLongHearsHowMuchItMissed(t *testing.T) {
	f := explain.NewFeed(8)
	publish(f, 0, 20)
	if got, missed := read(t, f, f.Seek(f.ID(2))); len(got) != 8 || got[0] != "t12" || missed != 9 {
		t.Errorf("got %v, missed %d", got, missed)
	}
}

func TestAnIDOfAnotherProcessMeansEverythingThatIsKept(t *testing.T) {
	f := explain.NewFeed(8)
	publish(f, 0, 3)
	for _, id := range []string{"other-1", "nonsense", f.ID(99), "-", "18446744073709551615"} {
		if got, _ := read(t, f, f.Seek(id)); len(got) != 3 {
			t.Errorf("%q: got %v", id, got)
		}
	}
}

func TestAReaderHearsWhatTheCacheDid(t *testing.T) {
	f, b := explain.NewFeed(8), explain.NewBook(explain.Limits{})
	both := call.RecorderFunc(func(e *call.Event) { f.Record(e); b.Record(e) })
	newTeller(both, "hf_1").say(0, call.Event{Kind: call.CallEnded, Status: 200, Cached: "bypass", To: "tools", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.OK}}})
	out := make([]explain.Live, 1)
	if f.Read(0, out); out[0].Cache != "bypass" || out[0].To != "tools" {
		t.Errorf("heard %+v", out[0])
	}
	if s, _ := b.Find("hf_1"); s.Cache != "bypass" || s.CacheWhy != "tools" {
		t.Errorf("remembered %q because of %q", s.Cache, s.CacheWhy)
	}
}

func TestAReaderIsWokenByTheNextEvent(t *testing.T) {
	f := explain.NewFeed(8)
	_, _, more := f.Read(0, make([]explain.Live, 1))
	select {
	case <-more:
		t.Fatal("woken by nothing")
	default:
	}
	publish(f, 0, 1)
	select {
	case <-more:
	case <-time.After(5 * time.Second):
		t.Fatal("not woken")
	}
}
