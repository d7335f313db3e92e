package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// squall is a storm of a few seconds, heavier than the true one.
// Callers are as patient as in that: with less, a busy machine is who fails them.
func squall() Storm {
	return Storm{Seed: 3, Version: "test", Errs: &screenshot{}, weather: &weather{
		spells:   [3]spell{{"calm", 35, 300 * time.Millisecond}, {"burst", 130, 1700 * time.Millisecond}, {"after", 35, 2500 * time.Millisecond}},
		patience: 2 * time.Second, window: 1500 * time.Millisecond,
	}}
}

// TestTheStormIsOverForThoseBehindTheGateway plays it on true ports. How many are
// good depends on how busy this machine is, so it only compares the two arms.
func TestTheStormIsOverForThoseBehindTheGateway(t *testing.T) {
	t.Parallel()
	var out, errs screenshot
	c := squall()
	c.JSON, c.Out, c.Errs = true, &out, &errs
	err := RunStorm(t.Context(), c)
	var failed *Failure
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("RunStorm: %v", err)
	}
	var r StormReport
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("standard output is not one JSON document: %v", err)
	}
	if r.OK != (err == nil) || r.OK != (r.Why == "") {
		t.Errorf("ok %t, why %q, error %v: they must say the same", r.OK, r.Why, err)
	}
	if with, without := r.After.With.part(), r.After.Without.part(); with == 0 || without > with/2 {
		t.Errorf("after the burst %s were good with Holdfast and %s without\n%s", r.After.With, r.After.Without, errs.String())
	}
	if r.Burst.With.Calls < 100 || len(r.Timeline) != 4 || r.Timeline[1].Spell != "burst" || r.Timeline[1].Offered < 80 {
		t.Errorf("burst %+v, timeline %+v", r.Burst, r.Timeline)
	}
	checkStormText(t, errs.String())
}

// checkStormText holds what people see of a storm to what any output may hold.
func checkStormText(t *testing.T, text string) {
	t.Helper()
	for _, want := range []string{"CALM:", "BURST:", "AFTER:", "gateway    http://127.0.0.1:", "50 calls a second"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("escapes in output that is no terminal's")
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || strings.HasSuffix(line, " ") {
			t.Errorf("wider than 80 columns, or with spaces at its end: %q", line)
		}
	}
}

func TestAnInterruptEndsTheStormWithoutSummary(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &screenshot{wait: "CALM", then: cancel}
	c := squall()
	c.Out = out
	if err := RunStorm(ctx, c); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("RunStorm: %v, want ErrInterrupted", err)
	}
	if strings.Contains(out.String(), "AFTER") || strings.Contains(out.String(), "good, begun") {
		t.Errorf("went on after the interrupt:\n%s", out.String())
	}
}

func TestTheStandardStormEndsInHalfAMinuteAndJudgesCallsThatHaveEnded(t *testing.T) {
	w := standardWeather()
	if got := w.lasts(); got > 30*time.Second {
		t.Errorf("it takes %s", got)
	}
	if last := w.ends(1) + w.window + tries*w.patience; last > w.lasts() {
		t.Errorf("the last call that is judged may end after %s, the storm does after %s", last, w.lasts())
	}
	if calm, burst, after := w.spells[0].rate, w.spells[1].rate, w.spells[2].rate; calm != 35 || burst != 100 || after != 35 {
		t.Errorf("rates %v, %v, %v, want 35, 100, 35", calm, burst, after)
	}
}

func TestCallsOfAStormBeginAtTheMomentsThatTheSeedSays(t *testing.T) {
	w := standardWeather()
	one, again, other := w.arrivals(1), w.arrivals(1), w.arrivals(2)
	if !slices.Equal(one, again) || slices.Equal(one, other) {
		t.Error("the moments must be those of the seed")
	}
	if !slices.IsSorted(one) || one[len(one)-1] >= w.lasts() {
		t.Error("the moments must be in order and within the storm")
	}
	for i, s := range w.spells {
		n := 0
		for _, at := range one {
			if w.at(at) == i {
				n++
			}
		}
		if want := s.rate * s.lasts.Seconds(); float64(n) < 0.75*want || float64(n) > 1.25*want {
			t.Errorf("%s: %d calls, want about %.0f", s.name, n, want)
		}
	}
}

func TestACallerTriesThreeTimesAndStopsWhenAnswered(t *testing.T) {
	const whole = `{"object":"chat.completion"}`
	for _, c := range []struct{ goodAt, tries, good int }{{1, 1, 1}, {2, 2, 1}, {3, 3, 1}, {4, 3, 0}} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked < c.goodAt {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = w.Write([]byte(whole))
		}))
		callers := &crowd{arm: newArm(server.URL), patience: time.Minute, began: time.Now()}
		callers.call(t.Context(), time.Second, ask{dialect: chat})
		callers.arm.close()
		server.Close()
		if got := callers.begun(time.Second, time.Second); got != (Share{Calls: 1, Good: c.good, Tries: c.tries}) {
			t.Errorf("good at try %d: %+v", c.goodAt, got)
		}
		if got := callers.begun(0, time.Second); got.Calls != 0 {
			t.Errorf("counted %d calls before the first", got.Calls)
		}
		if got := callers.answered(0, time.Hour); got != c.good {
			t.Errorf("%d good answers, want %d", got, c.good)
		}
	}
}

func TestAStormIsJudgedByTheWindowAfterTheBurst(t *testing.T) {
	for _, c := range []struct {
		with, without int
		why           string
	}{
		{95, 49, ""},
		{94, 0, "After the burst only 94 of 100 (94.0 %) calls with Holdfast were good, want 95 %."},
		{100, 50, "there was no collapse to prevent"},
		{0, 100, "only 0 of 100"},
	} {
		r := StormReport{Window: 8, After: Arms{With: Share{Calls: 100, Good: c.with}, Without: Share{Calls: 100, Good: c.without}}}
		r.Why = r.verdict()
		r.OK = r.Why == ""
		if (c.why == "") != r.OK || !strings.Contains(r.Why, c.why) {
			t.Errorf("%d and %d: %q, want %q", c.with, c.without, r.Why, c.why)
		}
		var b bytes.Buffer
		if err := writeStormSummary(&b, r); err != nil {
			t.Fatal(err)
		}
		want := "NOT AS IT SHOULD BE"
		if r.OK {
			want = fmt.Sprintf("%d.0 %% of the next 100", c.with)
		}
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	second := Second{Second: 1, Spell: "calm", Offered: 35, With: 35}
	var plain, coloured bytes.Buffer
	for w, colour := range map[*bytes.Buffer]bool{&plain: false, &coloured: true} {
		(&stormLive{config: Storm{weather: new(weather)}, w: w, colour: colour}).second(second)
	}
	if want := "CALM\n     1       35    35 #########                0\n"; plain.String() != want {
		t.Errorf("got\n%qwant\n%q", plain.String(), want)
	}
	if !strings.Contains(coloured.String(), green+"###") || strings.Contains(coloured.String(), red) {
		t.Errorf("got %q, want the bar green and no red for nothing", coloured.String())
	}
}
