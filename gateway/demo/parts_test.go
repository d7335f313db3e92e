package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/sim"
)

// TestOnlyAWholeGoodAnswerIsNoFailure asks a provider that breaks its answers in
// every way that ends by itself.
func TestOnlyAWholeGoodAnswerIsNoFailure(t *testing.T) {
	provider := httptest.NewServer(sim.New(sim.Config{}))
	defer provider.Close()
	for _, model := range []string{"ok", "503", "429-forever", "cut-after-5", "cut-clean-after-5", "bad-event-3", "no-done", "error-first-event", "error-after-3", "html-200", "empty-200", "reset"} {
		for _, dialect := range []string{chat, responses} {
			for _, streamed := range []bool{true, false} {
				if model == "no-done" && !streamed {
					continue // a whole answer has no terminator to lose
				}
				t.Run(fmt.Sprintf("%s/%s/streamed=%t", model, dialect, streamed), func(t *testing.T) {
					a := newArm(provider.URL)
					defer a.close()
					a.client.Transport = asking("sim/"+model, a.client.Transport)
					a.call(t.Context(), ask{dialect: dialect, streamed: streamed})
					_, results := a.seen()
					if good := results[0].failure == ""; good != (model == "ok") {
						t.Errorf("failure %q", results[0].failure)
					}
				})
			}
		}
	}
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// asking changes the model that calls ask for.
func asking(model string, next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.Replace(body, []byte(`"model":"chat"`), fmt.Appendf(nil, `"model":%q`, model), 1)
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return next.RoundTrip(r)
	})
}

func TestCallersDoNotWaitForAnswersBeforeTheyAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, lasts = 20, 5 * time.Second
		var mu sync.Mutex
		asked := map[string][]string{}
		silent := func(name string) *arm {
			a := newArm("http://" + name)
			a.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				asked[name] = append(asked[name], string(body))
				mu.Unlock()
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			return a
		}
		ctx, cancel := context.WithTimeout(t.Context(), lasts+time.Second)
		defer cancel()
		until := make(chan struct{})
		time.AfterFunc(lasts, func() { close(until) })
		one, other := silent("one"), silent("other")
		traffic(ctx, until, rate, 3, one, other)

		if n := len(asked["one"]); n < rate*5-1 || n > rate*5 {
			t.Errorf("%d calls in %s, want %d", n, lasts, rate*5)
		}
		slices.Sort(asked["one"])
		slices.Sort(asked["other"])
		if !slices.Equal(asked["one"], asked["other"]) {
			t.Error("the arms were asked different things")
		}
		if _, results := one.seen(); len(results) != len(asked["one"]) || results[0].failure == "" {
			t.Errorf("%d results of %d calls, the first with failure %q", len(results), len(asked["one"]), results[0].failure)
		}
	})
}

func TestNumbersThatDoNotAgreeMakeTheDemoFail(t *testing.T) {
	const text = `# HELP holdfast_requests_total Calls that ended.
holdfast_requests_total{dialect="chat",outcome="ok",reason="",route="chat"} 6
holdfast_requests_total{dialect="responses",outcome="degraded",reason="",route="chat"} 4
holdfast_requests_total_other{route="chat"} 100
holdfast_attempts_total{class="ok",model="sim-1",provider="openai-sim"} 6
holdfast_attempts_total{class="overloaded",model="sim-1",provider="openai-sim"} 2
holdfast_attempts_total{class="ok",model="sim-1",provider="backup-sim"} 4
`
	status := server.Status{Status: holdfast.Status{
		Routes:  []holdfast.RouteStatus{{Name: "chat", Calls: 10, OK: 10}},
		Targets: []holdfast.TargetStatus{{Provider: primaryName, Attempts: 8}, {Provider: backupName, Attempts: 4}},
	}}
	p := &play{protected: newArm(""), without: newArm("")}
	for i := range 10 {
		name := primaryName
		if i >= 6 {
			name = backupName
		}
		p.protected.results = append(p.protected.results, result{provider: name})
	}
	truth := Report{
		Protected: Arm{Calls: 10}, Unprotected: Arm{Calls: 100, Failed: 60},
		Primary: Provider{Name: primaryName, Attempts: 8, Answered: 6}, Backup: Provider{Name: backupName, Attempts: 4, Answered: 4},
		Alone: Provider{Name: aloneName, Attempts: 100, Answered: 40},
	}
	verdict := func(r Report, text string) string {
		r.Checks = p.comparisons(&r, metrics(text), status)
		return r.verdict()
	}
	if why := verdict(truth, text); why != "" {
		t.Errorf("numbers that agree: %s", why)
	}
	for what, change := range map[string]func(*Report){
		"Attempts at openai-sim":     func(r *Report) { r.Primary.Attempts++ },
		"Answers of backup-sim":      func(r *Report) { r.Backup.Answered-- },
		"Calls through Holdfast":     func(r *Report) { r.Protected.Calls++ },
		"Answers of unprotected-sim": func(r *Report) { r.Alone.Answered++ },
	} {
		wrong := truth
		change(&wrong)
		if why := verdict(wrong, text); !strings.Contains(why, what+": counted ") {
			t.Errorf("%s is wrong, and the verdict is %q", what, why)
		}
	}
	if why := verdict(truth, strings.Replace(text, "} 2\n", "} 3\n", 1)); !strings.Contains(why, "counted 8, but /metrics says 9") {
		t.Errorf("metrics are wrong, and the verdict is %q", why)
	}
	few := truth
	few.Unprotected.Failed, few.Alone.Answered = enoughFailures, 100-enoughFailures
	if why := verdict(few, text); !strings.Contains(why, "Only 50 calls without Holdfast failed") {
		t.Errorf("too little outage, and the verdict is %q", why)
	}
}

func TestTheReportWaitsUntilTheBooksAreClosed(t *testing.T) {
	early := Report{Primary: Provider{Answered: 142}, Checks: []Check{{What: "Answers", Counted: 142, Told: 143}}}
	whole := Report{Primary: Provider{Answered: 143}, Checks: []Check{{What: "Answers", Counted: 143, Told: 143, OK: true}}}
	away := errors.New("away")
	for name, c := range map[string]struct {
		count func(n int, ctx context.Context) (Report, error)
		want  string
		took  time.Duration
	}{
		"at once": {func(int, context.Context) (Report, error) { return whole, nil }, "", 0},
		"a provider is late": {func(n int, _ context.Context) (Report, error) {
			if n < 3 {
				return early, nil
			}
			return whole, nil
		}, "", 2 * books / 20},
		"the gateway is away for a moment": {func(n int, _ context.Context) (Report, error) {
			if n < 2 {
				return whole, away
			}
			return whole, nil
		}, "", books / 20},
		"numbers that never agree": {func(_ int, ctx context.Context) (Report, error) {
			if ctx.Err() != nil {
				return Report{}, ctx.Err() // the last look comes too late to see anything
			}
			return early, nil
		}, "Answers: counted 142, but  says 143.", books},
		"a gateway that stays away": {func(int, context.Context) (Report, error) { return whole, away },
			"The gateway's own numbers could not be read: away.", books},
		"a gateway that hangs": {func(_ int, ctx context.Context) (Report, error) {
			<-ctx.Done()
			return whole, ctx.Err()
		}, "The gateway's own numbers could not be read: context deadline exceeded.", books},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, n := time.Now(), 0
				r := agreed(t.Context(), func(ctx context.Context) (Report, error) { n++; return c.count(n, ctx) })
				got := ""
				if !agree(r.Checks) {
					got = r.Checks[0].wrong()
				}
				if took := time.Since(began); got != c.want || took != c.took {
					t.Errorf("%q after %s, want %q after %s", got, took, c.want, c.took)
				}
				if c.want == "" && r.Primary.Answered != 143 {
					t.Errorf("%d answers reported, want those that were counted last", r.Primary.Answered)
				}
			})
		})
	}
}

func TestTheStoryIsReadFromThePrimarysLog(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	log := func(status int, times ...float64) (out []sim.Attempt) {
		for _, s := range times {
			out = append(out, sim.Attempt{Received: at(s), Status: status, Completed: true})
		}
		return out
	}
	p := &play{stage: &stage{moves: &moves{}}, began: began, broken: at(8), repaired: at(28), settled: true, config: Config{timing: &timing{}}}
	for _, m := range []move{{at(8.6), "", "closed", "open", "consecutive"}, {at(20), "", "open", "half_open", "probe"}, {at(20.1), "", "half_open", "open", "probe"},
		{at(31), "", "open", "half_open", "probe"}, {at(31.9), "", "half_open", "closed", "probe"}} {
		m.target = targetOf(primaryName)
		p.stage.moves.list = append(p.stage.moves.list, m)
	}
	primary := slices.Concat(log(200, 1, 2, 3), log(503, 8.1, 8.2, 8.3, 8.4, 8.5, 20), log(200, 31, 31.5, 33))
	backup := log(200, 8.1, 9, 20, 31.2, 36.4)

	c := p.circuit(primary, backup)
	if *c.Opened != .6 || c.Failures != 5 || c.ProbesInOutage != 1 || *c.GoodProbe != 3 || *c.Closed != 3.9 || *c.FullShare != 4.5 {
		t.Errorf("opened %v, failures %d, probes %d, good probe %v, closed %v, full share %v",
			*c.Opened, c.Failures, c.ProbesInOutage, *c.GoodProbe, *c.Closed, *c.FullShare)
	}
	text := strings.Join(c.story(), "\n")
	for _, want := range []string{"opened 0.6 s into the outage, after 5 failures in a row", "saw 1 probe instead", "came 3.0 s after", "closed 3.9 s after", "4.5 s later"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	p.settled = false
	if c := p.circuit(primary, backup); c.FullShare != nil {
		t.Error("the share is told although the play ended before it could be known")
	}
	p.stage.moves.list = nil
	if c := p.circuit(primary, backup); c.Opened != nil || len(c.story()) != 1 {
		t.Errorf("a circuit that never moved has a story: %q", c.story())
	}
}

// busy is a view with everything as wide as it gets.
func busy(p phase) view {
	signs := strings.Repeat(".xX", 20)
	return view{
		phase: p, since: 58 * time.Second, past: time.Second, lasts: 24 * time.Second, circuit: "half_open",
		protected: tally{calls: 2900, failed: 2900, health: signs, who: strings.Repeat("PB+", 20)}, without: tally{calls: 2900, failed: 2900, health: signs},
		primary: 9999, refused: 9999, backup: 9999,
	}
}

func TestTheScreenFitsAndIsRedrawnInPlace(t *testing.T) {
	for _, width := range []int{20, 40, 79, 80, 81, 200} {
		for _, colour := range []bool{true, false} {
			var out bytes.Buffer
			s := &screen{header: header{w: &out}, width: func() int { return width }, colour: colour}
			for _, p := range []phase{healthy, outage, recovery} {
				out.Reset()
				s.show(busy(p))
				if got := strings.Contains(out.String(), "\x1b[3"); got != colour && width > 40 {
					t.Errorf("width %d: colours %t, want %t", width, got, colour)
				}
			}
			if lines := strings.Count(out.String(), "\n"); lines > 24 || !strings.HasPrefix(out.String(), fmt.Sprintf("\x1b[%dA", lines)) {
				t.Errorf("width %d: %d lines, not drawn over the ones before", width, lines)
			}
			for _, line := range busy(recovery).lines(min(block, width-1)) {
				if got := len(clipped(line, min(block, width-1))); got >= width || got > 80 {
					t.Errorf("width %d: a line of %d columns", width, got)
				}
			}
		}
	}
	for _, line := range busy(recovery).lines(79) {
		if len(line) > 79 {
			t.Errorf("cut off at 80 columns: %q", line)
		}
	}
}

func TestAnySummaryFitsInto80Columns(t *testing.T) {
	second := 12.3
	r := Report{
		OK: false, Outage: 24,
		Protected:   Arm{Calls: 9999, Streamed: 9999, Failed: 9999, FailedInOutage: 9999, MedianMillis: 10000, P95Millis: 10000, AttemptsPerCall: 2.99, AttemptsAtMost: 3},
		Unprotected: Arm{Calls: 9999, Streamed: 9999, Failed: 9999, FailedInOutage: 9999, MedianMillis: 10000, P95Millis: 10000},
		Circuit:     Circuit{Opened: &second, GoodProbe: &second, Closed: &second, FullShare: &second, Failures: 99, ProbesInOutage: 99, Cause: "consecutive", inARow: 5},
		Checks:      []Check{{What: "Calls answered well", Where: statusPath, Counted: 9999, Told: 9998}},
	}
	r.Why = r.verdict()
	var out bytes.Buffer
	if err := writeSummary(&out, r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", len(line)-1, line)
		}
	}
	if !strings.Contains(out.String(), "! Calls answered well: counted 9999, but /api/v1/status says 9998.") {
		t.Errorf("the check that failed is not told:\n%s", out.String())
	}
}
