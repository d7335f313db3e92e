package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
)

// bench is a scheduler over scripted upstreams.
type bench struct {
	dispatch.Scheduler[string]
	targets []*call.Target
	replies map[string][]reply // per target, in order; the last one repeats
	asked   []string           // "target/key@seconds"
	closed  map[string]time.Duration
	busy    map[string]bool
	soft    map[string]bool
	paused  map[string]time.Duration // per key
	ejected map[string]bool          // per key
	typical time.Duration
	refuse  string // the budget that refuses
	taken   int    // withdrawn and not given back
	began   time.Time
	events  []call.EventKind
	reasons []string // "target: kind reason" of what was told about targets passed over and ends
}

type reply struct {
	class  call.Class
	status int
	wait   time.Duration
	unsent bool
	takes  time.Duration
}

func newBench(targets ...string) *bench {
	b := &bench{replies: map[string][]reply{}, closed: map[string]time.Duration{}, busy: map[string]bool{}, soft: map[string]bool{},
		paused: map[string]time.Duration{}, ejected: map[string]bool{}, began: time.Now()}
	for _, name := range targets {
		name, keys, _ := strings.Cut(name, ":")
		t := &call.Target{Name: name, Provider: name}
		for _, k := range strings.Fields(keys) {
			t.Keys = append(t.Keys, call.Key{Name: k, Secret: "s"})
		}
		b.targets = append(b.targets, t)
	}
	b.Scheduler = dispatch.Scheduler[string]{
		Try: b.try, Key: b.key, MaxAttempts: 3, MaxWait: time.Minute, TokenMultiplier: 2,
		LastResort: func(t *call.Target, _ string) *call.Key { return &t.Keys[0] },
		Ready: func(t *call.Target, _ string) (bool, time.Duration) {
			wait, isClosed := b.closed[t.Name]
			return !isClosed, wait
		},
		Withdraw: func(*call.Target, string, int, bool) (func(), string) {
			if b.refuse != "" {
				return nil, b.refuse
			}
			b.taken++
			return func() { b.taken-- }, ""
		},
		Backoff: func(n int, throttle bool, _ time.Duration) time.Duration {
			if throttle {
				return time.Duration(n) * time.Second
			}
			return time.Duration(n) * 500 * time.Millisecond
		},
		Delay:   func(backoff, wait time.Duration, _ bool) time.Duration { return max(backoff, wait) },
		Typical: func(*call.Target, string) time.Duration { return b.typical },
		Row:     func(_ *call.Call, o call.Outcome) call.Consequence { return o.Class.Row() },
		Event: func(e *call.Event) {
			b.events = append(b.events, e.Kind)
			if e.Kind == call.PassedOver || e.Kind == call.Stopped {
				b.reasons = append(b.reasons, e.Target+": "+e.Kind.String()+" "+e.Reason)
			}
		},
	}
	return b
}

func (b *bench) try(ctx context.Context, _ *call.Call, u call.Upstream, _ int, _, force bool) (string, bool, call.Outcome, error) {
	name := u.Target.Name
	if b.busy[name] {
		return "", false, call.Outcome{}, dispatch.ErrBusy
	}
	if wait, isClosed := b.closed[name]; isClosed {
		return "", false, call.Outcome{}, &dispatch.ClosedError{Wait: wait}
	}
	if b.soft[name] && !force {
		return "", false, call.Outcome{}, &dispatch.ClosedError{Soft: true}
	}
	b.asked = append(b.asked, fmt.Sprintf("%s/%s@%.1f", name, u.KeyName(), time.Since(b.began).Seconds()))
	r := reply{class: call.OK}
	if script := b.replies[name]; len(script) > 0 {
		r = script[0]
		if len(script) > 1 {
			b.replies[name] = script[1:]
		}
	}
	time.Sleep(r.takes)
	if ctx.Err() != nil {
		r.class = call.Canceled
	}
	o := call.Outcome{Verdict: call.Verdict{Class: r.class, Wait: r.wait, HasWait: r.wait > 0}, Status: r.status, Sent: !r.unsent}
	if r.class == call.Throttled && u.Key != nil {
		b.paused[u.Key.Name] = time.Since(b.began) + r.wait
	}
	if r.class.Row().EjectKey && u.Key != nil {
		b.ejected[u.Key.Name] = true
	}
	return name, r.class == call.OK, o, nil
}

func (b *bench) key(_ *call.Call, t *call.Target, _ string, tried []*call.Key) (*call.Key, time.Duration, bool) {
	if len(t.Keys) == 0 {
		return nil, 0, true
	}
	shortest := time.Duration(0)
next:
	for i := range t.Keys {
		k := &t.Keys[i]
		for _, old := range tried {
			if old == k {
				continue next
			}
		}
		if b.ejected[k.Name] {
			continue
		}
		if wait := b.paused[k.Name] - time.Since(b.began); wait > 0 {
			if shortest == 0 || wait < shortest {
				shortest = wait
			}
			continue
		}
		return k, 0, true
	}
	return nil, shortest, false
}

func (b *bench) open(ctx context.Context, c *call.Call) (dispatch.Result[string], *dispatch.State[string]) {
	st := &dispatch.State[string]{Targets: b.targets}
	return b.Open(ctx, c, st), st
}

func newCall() *call.Call {
	return &call.Call{Safe: true, Replay: true, Request: call.Request{InputTokens: 10, MaxTokens: 10, Choices: 1}}
}

// story is one call against scripted upstreams.
type story struct {
	name    string
	targets []string
	replies map[string][]reply
	prepare func(b *bench, c *call.Call)
	asked   string // what was asked, in order, with the second
	reason  string // "" open
}

var stories = []story{
	{"a healthy target is asked once", []string{"a", "b"}, nil, nil, "a/caller@0.0", ""},
	{"an overloaded target is left at once", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Overloaded, status: 503}}}, nil, "a/caller@0.0 b/caller@0.0", ""},
	{"an overloaded target alone is asked once more, slowly", []string{"a"}, map[string][]reply{"a": {{class: call.Overloaded, status: 529}}}, nil, "a/caller@0.0 a/caller@1.0", dispatch.Exhausted},
	{"a 500 alone is asked once more", []string{"a"}, map[string][]reply{"a": {{class: call.ProviderFault, status: 500}}}, nil, "a/caller@0.0 a/caller@0.5", dispatch.Exhausted},
	{"a conflict is asked again while attempts last", []string{"a"}, map[string][]reply{"a": {{class: call.Conflict, status: 409}}}, nil, "a/caller@0.0 a/caller@0.5 a/caller@1.5", dispatch.Exhausted},
	{"a billed attempt leaves room for one more", []string{"a"}, map[string][]reply{"a": {{class: call.ProviderFault, status: 502}}}, nil, "a/caller@0.0 a/caller@0.5", dispatch.Exhausted},
	{"a timed-out target is not asked again if another exists", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Timeout}}, "b": {{class: call.Timeout}}}, nil, "a/caller@0.0 b/caller@0.0", dispatch.Exhausted},
	{"a timed-out target alone is asked once more", []string{"a"}, map[string][]reply{"a": {{class: call.Timeout}, {class: call.OK}}}, nil, "a/caller@0.0 a/caller@0.5", ""},
	{"a refused connection is tried again at once", []string{"a"}, map[string][]reply{"a": {{class: call.Transport, unsent: true}, {class: call.OK}}}, nil, "a/caller@0.0 a/caller@0.0", ""},
	{"an answer that cannot change is not asked for again", []string{"a", "b"}, map[string][]reply{"a": {{class: call.ClientError, status: 400}}}, nil, "a/caller@0.0", dispatch.Exhausted},
	{"a policy violation is not routed around", []string{"a", "b"}, map[string][]reply{"a": {{class: call.PolicyViolation, status: 400}}}, nil, "a/caller@0.0", dispatch.Exhausted},
	{"a throttled key gives way to the next", []string{"a:k1 k2"}, map[string][]reply{"a": {{class: call.Throttled, status: 429, wait: 9 * time.Second}, {class: call.OK}}}, nil, "a/k1@0.0 a/k2@0.0", ""},
	{"with all keys throttled the next target is asked", []string{"a:k1", "b"}, map[string][]reply{"a": {{class: call.Throttled, status: 429, wait: 9 * time.Second}}}, nil, "a/k1@0.0 b/caller@0.0", ""},
	{"with nothing else the provider's wait is obeyed", []string{"a:k1"}, map[string][]reply{"a": {{class: call.Throttled, status: 429, wait: 9 * time.Second}, {class: call.OK}}}, nil, "a/k1@0.0 a/k1@9.0", ""},
	{"a wait beyond the cap is not waited for", []string{"a:k1"}, map[string][]reply{"a": {{class: call.Throttled, status: 429, wait: 2 * time.Minute}}}, nil, "a/k1@0.0", dispatch.Exhausted},
	{"a wait beyond the deadline is not waited for", []string{"a:k1"}, map[string][]reply{"a": {{class: call.Throttled, status: 429, wait: 9 * time.Second}}},
		func(_ *bench, c *call.Call) { c.CommitBy = time.Now().Add(5 * time.Second) }, "a/k1@0.0", dispatch.Exhausted},
	{"exhausted quota rests the key, not the target", []string{"a:k1 k2"}, map[string][]reply{"a": {{class: call.QuotaExhausted, status: 429}, {class: call.OK}}}, nil, "a/k1@0.0 a/k2@0.0", ""},
	{"a bad key goes to the next target", []string{"a:k1", "b"}, map[string][]reply{"a": {{class: call.Auth, status: 401}}}, nil, "a/k1@0.0 b/caller@0.0", ""},
	{"the only key is used although it rests", []string{"a:k1"}, map[string][]reply{"a": {{class: call.Auth, status: 401}}}, func(b *bench, _ *call.Call) { b.ejected["k1"] = true }, "a/k1@0.0", dispatch.Exhausted},
	{"a paused key is waited for", []string{"a:k1"}, nil, func(b *bench, _ *call.Call) { b.paused["k1"] = 4 * time.Second }, "a/k1@4.0", ""},
	{"a long pause is told", []string{"a:k1"}, nil, func(b *bench, _ *call.Call) { b.paused["k1"] = 4 * time.Minute }, "", dispatch.Throttled},
	{"an open circuit is passed over", []string{"a", "b"}, nil, func(b *bench, _ *call.Call) { b.closed["a"] = time.Second }, "b/caller@0.0", ""},
	{"all circuits open", []string{"a", "b"}, nil, func(b *bench, _ *call.Call) { b.closed["a"], b.closed["b"] = 9*time.Second, 4*time.Second }, "", dispatch.CircuitOpen},
	{"a ramping target is passed over", []string{"a", "b"}, nil, func(b *bench, _ *call.Call) { b.soft["a"] = true }, "b/caller@0.0", ""},
	{"a ramping target is asked when nothing else is left", []string{"a", "b"}, nil, func(b *bench, _ *call.Call) { b.soft["a"], b.closed["b"] = true, time.Second }, "a/caller@0.0", ""},
	{"busy targets send the call back to the door", []string{"a", "b"}, nil, func(b *bench, _ *call.Call) { b.busy["a"], b.busy["b"] = true, true }, "", dispatch.AllBusy},
	{"a refused budget keeps the provider's own error", []string{"a"}, map[string][]reply{"a": {{class: call.ProviderFault, status: 502}}}, func(b *bench, _ *call.Call) { b.refuse = "retries" }, "a/caller@0.0", dispatch.Exhausted},
	{"moving on needs no budget of the first", []string{"a", "b"}, map[string][]reply{"a": {{class: call.ProviderFault, status: 502}}}, func(b *bench, _ *call.Call) { b.refuse = "retries" }, "a/caller@0.0 b/caller@0.0", ""},
	{"a client that retries gets one attempt", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Overloaded, status: 503}}}, func(_ *bench, c *call.Call) { c.NoRetry = true }, "a/caller@0.0", dispatch.Exhausted},
	{"a pinned call stays", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Overloaded, status: 503}}}, func(_ *bench, c *call.Call) { c.NoMove = true }, "a/caller@0.0 a/caller@1.0", dispatch.Exhausted},
	{"what may act twice is not repeated after it was sent", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Transport}}}, func(_ *bench, c *call.Call) { c.Safe = false }, "a/caller@0.0", dispatch.Exhausted},
	{"what may act twice is repeated if it was not sent", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Transport, unsent: true}, {class: call.OK}}}, func(_ *bench, c *call.Call) { c.Safe = false }, "a/caller@0.0 a/caller@0.0", ""},
	{"a body that cannot be sent again is not", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Overloaded, status: 503}}}, func(_ *bench, c *call.Call) { c.Replay = false }, "a/caller@0.0", dispatch.Exhausted},
	{"an attempt that cannot finish is not started", []string{"a", "b"}, map[string][]reply{"a": {{class: call.Overloaded, status: 503, takes: 4 * time.Second}}},
		func(b *bench, c *call.Call) { b.typical, c.CommitBy = 2*time.Second, time.Now().Add(5*time.Second) }, "a/caller@0.0", dispatch.Exhausted},
	{"a passed deadline ends the call", []string{"a"}, nil, func(_ *bench, c *call.Call) { c.CommitBy = time.Now().Add(-time.Second) }, "", dispatch.Deadline},
	{"a prompt too long goes only to a larger window", []string{"a", "b", "c"}, map[string][]reply{"a": {{class: call.ContextLength, status: 400}}},
		func(b *bench, _ *call.Call) {
			b.targets[0].Context, b.targets[1].Context, b.targets[2].Context = 8000, 4000, 200_000
		}, "a/caller@0.0 c/caller@0.0", ""},
}

func TestStories(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, c := newBench(s.targets...), newCall()
				for name, r := range s.replies {
					b.replies[name] = r
				}
				if s.prepare != nil {
					s.prepare(b, c)
				}
				r, st := b.open(t.Context(), c)
				if got := strings.Join(b.asked, " "); got != s.asked {
					t.Errorf("asked %q, want %q", got, s.asked)
				}
				if r.Reason != s.reason || r.Open != (s.reason == "") {
					t.Errorf("reason %q, open %v; want %q", r.Reason, r.Open, s.reason)
				}
				if st.Attempts != len(b.asked) || len(st.Steps) != len(b.asked) {
					t.Errorf("counted %d attempts in %d steps, %d were made", st.Attempts, len(st.Steps), len(b.asked))
				}
			})
		})
	}
}

// whys says for a story what is told of targets not asked and of ends.
var whys = map[string]string{
	"an answer that cannot change is not asked for again":   "a: stopped final",
	"an open circuit is passed over":                        "a: passed_over circuit_open",
	"all circuits open":                                     "a: passed_over circuit_open, b: passed_over circuit_open",
	"a ramping target is passed over":                       "a: passed_over ramping",
	"busy targets send the call back to the door":           "a: passed_over busy, b: passed_over busy",
	"a paused key is waited for":                            "a: passed_over key_paused",
	"the only key is used although it rests":                "a: passed_over no_key, a: stopped no_target_left",
	"a wait beyond the cap is not waited for":               "a: stopped no_time",
	"a conflict is asked again while attempts last":         "a: stopped attempts",
	"a billed attempt leaves room for one more":             "a: stopped tokens",
	"an overloaded target alone is asked once more, slowly": "a: stopped no_target_left",
	"a client that retries gets one attempt":                "a: stopped one_attempt",
	"what may act twice is not repeated after it was sent":  "a: stopped not_repeatable",
	"a body that cannot be sent again is not":               "a: stopped not_replayable",
	"an attempt that cannot finish is not started":          "b: passed_over no_time, a: stopped no_time",
	"a prompt too long goes only to a larger window":        "b: passed_over context",
	"a healthy target is asked once":                        "",
}

func TestWhatWasNotDoneIsToldWithItsReason(t *testing.T) {
	told := 0
	for _, s := range stories {
		want, known := whys[s.name]
		if !known {
			continue
		}
		told++
		synctest.Test(t, func(t *testing.T) {
			b, c := newBench(s.targets...), newCall()
			for name, r := range s.replies {
				b.replies[name] = r
			}
			if s.prepare != nil {
				s.prepare(b, c)
			}
			_, _ = b.open(t.Context(), c)
			if got := strings.Join(b.reasons, ", "); got != want {
				t.Errorf("%s: told %q, want %q", s.name, got, want)
			}
		})
	}
	if told != len(whys) {
		t.Errorf("%d of %d expectations have a story", told, len(whys))
	}
}

// TestAnyScheduleKeepsTheBounds: random upstreams, 3,000 calls. Never more than
// MaxAttempts, never a target again after another one, never past the deadline,
// and what was withdrawn is either spent or given back.
func TestAnyScheduleKeepsTheBounds(t *testing.T) {
	for seed := range uint64(3000) {
		synctest.Test(t, func(t *testing.T) { anySchedule(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func anySchedule(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	classes := call.Classes()
	names := []string{"a:k1 k2", "b", "c:k3"}[:1+rnd.IntN(3)]
	b, c := newBench(names...), newCall()
	for _, name := range []string{"a", "b", "c"} {
		for range 1 + rnd.IntN(4) {
			b.replies[name] = append(b.replies[name], reply{class: classes[rnd.IntN(len(classes))], status: []int{0, 429, 500, 502, 503}[rnd.IntN(5)],
				wait: time.Duration(rnd.IntN(3)*rnd.IntN(40)) * time.Second, unsent: rnd.IntN(3) == 0, takes: time.Duration(rnd.IntN(5)) * time.Second})
		}
		b.busy[name], b.soft[name] = rnd.IntN(8) == 0, rnd.IntN(8) == 0
		if rnd.IntN(8) == 0 {
			b.closed[name] = time.Duration(rnd.IntN(20)) * time.Second
		}
	}
	for _, k := range []string{"k1", "k2", "k3"} {
		b.ejected[k] = rnd.IntN(8) == 0
		b.paused[k] = time.Duration(rnd.IntN(2)*rnd.IntN(90)) * time.Second
	}
	b.MaxAttempts = 1 + rnd.IntN(4)
	c.Safe, c.Replay, c.NoRetry, c.NoMove = rnd.IntN(4) > 0, rnd.IntN(8) > 0, rnd.IntN(8) == 0, rnd.IntN(8) == 0
	limit := time.Duration(1+rnd.IntN(60)) * time.Second
	if rnd.IntN(2) == 0 {
		c.CommitBy = time.Now().Add(limit)
	}
	r, st := b.open(t.Context(), c)
	if st.Attempts > b.MaxAttempts || c.NoRetry && st.Attempts > 1 || !c.Replay && st.Attempts > 1 {
		t.Errorf("%d attempts of %d: %v", st.Attempts, b.MaxAttempts, b.asked)
	}
	left := map[string]bool{}
	last := ""
	for _, a := range b.asked {
		name, _, _ := strings.Cut(a, "/")
		if name != last && left[name] {
			t.Errorf("%s was asked again after it was left: %v", name, b.asked)
		}
		left[last], last = true, name
	}
	for _, s := range st.Steps {
		if !c.CommitBy.IsZero() && s.Wait > limit {
			t.Errorf("waited %s with %s left", s.Wait, limit)
		}
	}
	further := 0
	for i := 1; i < len(b.asked); i++ {
		if a, _, _ := strings.Cut(b.asked[i], "/"); strings.HasPrefix(b.asked[i-1], a+"/") {
			further++
		}
	}
	if b.taken < 0 || b.taken > further {
		t.Errorf("%d withdrawals are kept for %d further attempts", b.taken, further)
	}
	if !r.Open && r.Reason == "" {
		t.Error("no answer and no reason")
	}
}

func TestTheCallersEndStopsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench("a")
		b.replies["a"] = []reply{{class: call.Overloaded, status: 503, wait: 30 * time.Second}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		r, _ := b.open(ctx, newCall())
		if took := time.Since(began); took != 3*time.Second || r.Reason != dispatch.Left || b.taken != 0 {
			t.Errorf("ended after %s as %q with %d kept; want 3s, %q, 0", took, r.Reason, b.taken, dispatch.Left)
		}
	})
}

func TestOpenGoesOnAfterBusyWithTheSameCount(t *testing.T) {
	b := newBench("a", "b")
	b.replies["a"] = []reply{{class: call.Overloaded, status: 503}}
	b.busy["b"] = true
	c, st := newCall(), &dispatch.State[string]{Targets: b.targets}
	if r := b.Open(t.Context(), c, st); r.Reason != dispatch.AllBusy || st.Attempts != 1 {
		t.Fatalf("got %q after %d attempts", r.Reason, st.Attempts)
	}
	b.busy["b"] = false
	if r := b.Open(t.Context(), c, st); !r.Open || st.Attempts != 2 || len(b.asked) != 2 {
		t.Errorf("got %+v, asked %v", r, b.asked)
	}
}

func TestARetryThatFoundItsTargetBusyIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench("a:k")
		b.replies["a"] = []reply{{class: call.Throttled, status: 429, wait: 2 * time.Second}, {class: call.OK}}
		c, st := newCall(), &dispatch.State[string]{Targets: b.targets}
		try := b.Try
		b.Try = func(ctx context.Context, c *call.Call, u call.Upstream, n int, first, force bool) (string, bool, call.Outcome, error) {
			defer func() { b.busy["a"] = n == 1 }() // somebody else takes its place
			return try(ctx, c, u, n, first, force)
		}
		if r := b.Open(t.Context(), c, st); r.Reason != dispatch.AllBusy || st.Attempts != 1 || b.taken != 0 {
			t.Fatalf("got %q after %d attempts, %d kept; want %q, 1, 0", r.Reason, st.Attempts, b.taken, dispatch.AllBusy)
		}
		b.busy["a"] = false
		if r := b.Open(t.Context(), c, st); !r.Open || st.Attempts != 2 || b.taken != 1 {
			t.Errorf("got %+v after %d attempts, %d charged; want an answer, 2, 1: asked %v", r, st.Attempts, b.taken, b.asked)
		}
	})
}

func TestErrorsNameTheirKind(t *testing.T) {
	var closed *dispatch.ClosedError
	if err := error(&dispatch.ClosedError{Wait: time.Second}); !errors.As(err, &closed) || err.Error() == "" {
		t.Error(err)
	}
}

func BenchmarkOpenAtOnce(b *testing.B) {
	s := newBench("a", "b")
	s.Try = func(context.Context, *call.Call, call.Upstream, int, bool, bool) (string, bool, call.Outcome, error) {
		return "", true, call.Outcome{}, nil
	}
	c := newCall()
	b.ReportAllocs()
	for b.Loop() {
		st := dispatch.State[string]{Targets: s.targets}
		if r := s.Open(context.Background(), c, &st); !r.Open {
			b.Fatal(r)
		}
	}
}
