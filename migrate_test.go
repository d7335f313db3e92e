package holdfast_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/ratelimit"
	"github.com/holdfast-gateway/holdfast/retry"
)

// The recordings of the libraries that docs/how-to/migrate.md is about are
// replayed where the policies are. What needs two of them is here.

// windowTrace is what a p-queue with an interval did, without the looks at it.
// Times are in ms.
type windowTrace struct {
	Name   string
	Config struct {
		Concurrency                    int
		Interval, IntervalCap          int64
		Strict, CarryoverIntervalCount bool
	}
	Acts []windowAct
}

type windowAct struct{ at, took, started int64 }

func (a *windowAct) UnmarshalJSON(text []byte) error {
	var none any
	return json.Unmarshal(text, &[]any{&a.at, &none, &a.took, &none, &none, &none, &none, &none, &a.started})
}

// replay sends the tasks through a waiting room whose target is ready when a
// limiter has points, as a quota is asked. It returns when each started.
func (w windowTrace) replay(running int, limit ratelimit.Config) []int64 {
	door := admission.NewDoor("p-queue", admission.Config{Running: running, MaxWait: 24 * time.Hour, MaxDepth: 1_000_000})
	limiter := ratelimit.New("p-queue", limit)
	reserve := func() func() bool { // of one task
		reserved := false
		return func() bool {
			if reserved {
				return true
			}
			asks := []ratelimit.Ask{{Limiter: limiter, Cost: 1}}
			if reserved = ratelimit.Take(asks); !reserved {
				time.AfterFunc(asks[0].Wait, door.Wake) // who knows the time wakes the room
			}
			return reserved
		}
	}
	began, started := time.Now(), make([]int64, len(w.Acts))
	var tasks sync.WaitGroup
	for i, act := range w.Acts {
		time.Sleep(time.Duration(act.at)*time.Millisecond - time.Since(began))
		tasks.Go(func() {
			place, err := door.Enter(context.Background(), admission.Ticket{Ready: reserve()})
			if err != nil {
				started[i] = -1
				return
			}
			place.Took()
			started[i] = time.Since(began).Milliseconds()
			time.Sleep(time.Duration(act.took) * time.Millisecond)
			place.Leave()
		})
		synctest.Wait()
	}
	tasks.Wait()
	return started
}

func (w windowTrace) theirs() []int64 {
	started := make([]int64, len(w.Acts))
	for i, act := range w.Acts {
		started[i] = act.started
	}
	return started
}

// window is intervalCap and interval in our words.
func (w windowTrace) window() ratelimit.Config {
	return ratelimit.Config{Mode: ratelimit.ModeWindow, Points: w.Config.IntervalCap, Duration: time.Duration(w.Config.Interval) * time.Millisecond}
}

func readWindows(t *testing.T) (r struct{ Windows, Differences []windowTrace }) {
	t.Helper()
	text, err := os.ReadFile("admission/testdata/p-queue.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWindowsBeginTasksWhenPQueueDid(t *testing.T) {
	r := readWindows(t)
	if len(r.Windows) < 31 {
		t.Fatalf("%d traces", len(r.Windows))
	}
	for _, trace := range r.Windows {
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if ours := trace.replay(0, trace.window()); !slices.Equal(ours, trace.theirs()) {
					t.Errorf("%+v\nours   %v\ntheirs %v", trace.Config, ours, trace.theirs())
				}
			})
		})
	}
}

// Each difference is meant; docs/how-to/migrate.md says why.
func TestWindowsDifferFromPQueueWhereTheyMeanTo(t *testing.T) {
	evenly := func(w windowTrace) ratelimit.Config {
		c := w.window()
		c.Mode, c.Burst = ratelimit.ModeGCRA, 1
		return c
	}
	meant := map[string]struct {
		running int
		limit   func(windowTrace) ratelimit.Config
		want    []int64
	}{
		// Ours begins with the first call after the one before.
		"a window begins where the one before ends, used or not": {1, windowTrace.window, []int64{0, 10, 1310, 1320, 2310, 2320}},
		// One point after the other holds the same bound without a list of moments.
		"strict lets no rolling interval have more than the cap": {0, evenly, []int64{0, 990, 1490, 1990}},
		// What runs is bounded by itself.
		"carryoverIntervalCount counts what still runs": {2, windowTrace.window, []int64{0, 0, 150, 150, 300, 300}},
	}
	explained := 0
	for _, trace := range readWindows(t).Differences {
		m, known := meant[trace.Name]
		if !known && trace.Config.Interval > 0 {
			t.Errorf("%s: recorded and not explained", trace.Name)
		}
		if !known {
			continue // in admission
		}
		explained++
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours := trace.replay(m.running, m.limit(trace))
				if !slices.Equal(ours, m.want) {
					t.Errorf("got %v, want %v; theirs %v", ours, m.want, trace.theirs())
				}
				if slices.Equal(ours, trace.theirs()) {
					t.Error("no difference")
				}
			})
		})
	}
	if explained != len(meant) {
		t.Errorf("%d of %d differences recorded", explained, len(meant))
	}
}

// migrations are the sections of the page, with the recordings that name what
// each library has.
var migrations = map[string]string{
	"opossum 9":                "breaker/testdata/opossum.json",
	"p-queue 9":                "admission/testdata/p-queue.json",
	"p-retry 7":                "retry/testdata/p-retry.json",
	"rate-limiter-flexible 11": "ratelimit/testdata/rate-limiter-flexible.json",
	"backoff 2.2.1 for Python": "retry/testdata/backoff.json",
}

func TestEveryOptionOfTheLibrariesHasAHome(t *testing.T) {
	for _, missing := range homeless(t, string(read(t, os.DirFS("."), "docs/how-to/migrate.md"))) {
		t.Errorf("docs/how-to/migrate.md: %s is not in the first column of any table", missing)
	}
}

func TestAnOptionThatThePageForgetsIsReported(t *testing.T) {
	page := string(read(t, os.DirFS("."), "docs/how-to/migrate.md"))
	forgets := strings.Replace(page, "`allowWarmUp` |", "`warm` |", 1)
	if got := homeless(t, forgets); !slices.Equal(got, []string{"opossum 9: options allowWarmUp"}) {
		t.Errorf("got %q", got)
	}
}

// homeless returns the names in the recordings that no table of their section
// has in its first column.
func homeless(t *testing.T, page string) (missing []string) {
	t.Helper()
	for title, file := range migrations {
		var r struct{ Names map[string][]string }
		if err := json.Unmarshal(read(t, os.DirFS("."), file), &r); err != nil || len(r.Names) == 0 {
			t.Fatalf("%s: %d kinds of names: %v", file, len(r.Names), err)
		}
		there := firstColumns(page, title)
		for kind, names := range r.Names {
			for _, name := range names {
				if !there[name] {
					missing = append(missing, title+": "+kind+" "+name)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// firstColumns returns the code spans in the first columns of a section's tables.
func firstColumns(page, title string) map[string]bool {
	_, section, _ := strings.Cut(page, "\n## "+title+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	names := map[string]bool{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && cells[0] == "" {
			for _, span := range codeSpan.FindAllStringSubmatch(cells[1], -1) {
				names[span[1]] = true
			}
		}
	}
	return names
}

// failing answers as a p-retry's action did: so many times not, and then.
type failing struct {
	kind     string
	left     int
	began    time.Time
	attempts []int64 // ms
}

func (f *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	f.attempts = append(f.attempts, time.Since(f.began).Milliseconds())
	httptrace.ContextClientTrace(r.Context()).WroteHeaders() // what was not sent is repeated at once
	answer := func(status int, body string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
	}
	if f.left--; f.left < 0 {
		return answer(200, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hello."}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`), nil
	}
	switch f.kind {
	case "network":
		return nil, io.ErrUnexpectedEOF
	case "error":
		return answer(502, `{"error":{"type":"server_error","message":"broken"}}`), nil
	}
	return answer(400, `{"error":{"type":"invalid_request_error","message":"never"}}`), nil
}

// callTrace is what p-retry did with one call. Times are in ms.
type callTrace struct {
	Name    string
	Options struct {
		Retries                              *int
		MinTimeout, MaxTimeout, MaxRetryTime int64
		Factor                               float64
		Randomize                            bool
	}
	Kind     string
	Failures int
	Attempts []int64
	Randoms  []float64
	End      string
}

// config is p-retry's options as the guide has them, for a whole Transport.
func (c callTrace) config(provider http.RoundTripper) holdfast.Config {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	policy := retry.Config{MaxAttempts: 11, Base: time.Second, Factor: c.Options.Factor, Cap: -1, Jitter: retry.JitterNone}
	if c.Options.Randomize {
		policy.Jitter = retry.JitterPRetry
	}
	policy.TokenMultiplier = 100 // p-retry does not care what attempts cost
	if c.Options.Retries != nil {
		policy.MaxAttempts = *c.Options.Retries + 1
	}
	if c.Options.MinTimeout > 0 {
		policy.Base = ms(c.Options.MinTimeout)
	}
	if c.Options.MaxTimeout > 0 {
		policy.Cap = ms(c.Options.MaxTimeout)
	}
	config := route(to("provider", "m"))
	config.Rand = drawn(c.Randoms)
	config.Transport, config.Retry = provider, policy
	config.Breaker.Off = true // p-retry has none, and 11 failures in a row open ours
	config.Timeout.Total = 24 * time.Hour
	if c.Options.MaxRetryTime > 0 {
		config.Timeout.Total = ms(c.Options.MaxRetryTime)
	}
	return config
}

// drawn returns recorded random numbers, and 0 when there are no more.
func drawn(numbers []float64) func() float64 {
	return func() float64 {
		if len(numbers) == 0 {
			return 0
		}
		r := numbers[0]
		numbers = numbers[1:]
		return r
	}
}

// nearly allows for p-retry's rounding of each of ten waits to a millisecond.
func nearly(ours, theirs int64) bool { return max(ours, theirs)-min(ours, theirs) <= 5 }

// The room's own test replays the waits; this one asks whether a whole Transport
// makes its attempts then, with all its clocks and budgets in between.
func TestATransportMakesItsAttemptsWhenPRetryDid(t *testing.T) {
	var r struct{ Traces []callTrace }
	if err := json.Unmarshal(read(t, os.DirFS("."), "retry/testdata/p-retry.json"), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Traces) < 100 {
		t.Fatalf("%d traces", len(r.Traces))
	}
	for _, trace := range r.Traces {
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				provider := &failing{kind: trace.Kind, left: trace.Failures, began: time.Now()}
				w := build(t, trace.config(provider))
				g := w.do(t.Context(), "chat", askFor(10))
				theirs, end := trace.Attempts, trace.End
				if last := len(theirs) - 1; trace.Options.MaxRetryTime > 0 && theirs[last] >= trace.Options.MaxRetryTime {
					theirs, end = theirs[:last], "failed" // the attempt when time is over
				}
				if !slices.EqualFunc(provider.attempts, theirs, nearly) || (g.status == 200) != (end == "worked") {
					t.Errorf("%+v, %d failures as %s: ours %v and %d, theirs %v and %s", trace.Options, trace.Failures, trace.Kind, provider.attempts, g.status, theirs, end)
				}
			})
		})
	}
}

// hanging is a provider that never answers. It counts whom it hangs up at once.
type hanging struct {
	mu          sync.Mutex
	under, most int
}

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	h.add(1)
	defer h.add(-1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func (h *hanging) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.under += n
	h.most = max(h.most, h.under)
}

func TestATimeoutEndsACallWhereOpossumAndPQueueLetItGoOn(t *testing.T) {
	for _, recording := range []string{"breaker/testdata/opossum.json", "admission/testdata/p-queue.json"} {
		var r struct{ Together int }
		if err := json.Unmarshal(read(t, os.DirFS("."), recording), &r); err != nil || r.Together != 3 {
			t.Errorf("%s: %d ran at once where one was allowed, want 3 as the guide says: %v", recording, r.Together, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		provider := &hanging{}
		c := route(to("provider", "m"))
		c.Transport, c.Concurrency.Max, c.Retry.MaxAttempts = provider, 1, 1
		c.Timeout.Attempt, c.Timeout.AttemptFixed, c.Queue.MaxWait = time.Second, true, time.Minute
		w := build(t, c)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if g := w.do(t.Context(), "chat", askFor(10)); g.status != 504 {
					t.Error(g)
				}
			})
		}
		calls.Wait()
		if provider.most != 1 || provider.under != 0 {
			t.Errorf("%d ran at once, %d run still; want 1 and 0", provider.most, provider.under)
		}
	})
}
