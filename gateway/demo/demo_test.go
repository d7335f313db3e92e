package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
)

// quick is the whole play in a few seconds: everything but the rate is shorter.
func quick() Config {
	return Config{
		Outage: 2500 * time.Millisecond, Rate: 40, Seed: 7, Version: "test", Errs: &screenshot{},
		timing: &timing{
			healthy: time.Second, recovery: 6 * time.Second, settle: 500 * time.Millisecond, limit: 12 * time.Second,
			breaker: breaker.Config{OpenFor: time.Second, Ramp: time.Second},
		},
	}
}

// screenshot is a writer that tells when a text has been written.
type screenshot struct {
	mu   sync.Mutex
	text bytes.Buffer
	wait string
	then func()
}

func (s *screenshot) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if s.then != nil && strings.Contains(s.text.String(), s.wait) {
		go s.then()
		s.then = nil
	}
	return len(p), nil
}

func (s *screenshot) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestNobodyBehindTheGatewayNoticesTheOutage(t *testing.T) {
	t.Parallel()
	var out, errs screenshot
	c := quick()
	c.JSON, c.Out, c.Errs = true, &out, &errs
	began := time.Now()
	if err := Run(t.Context(), c); err != nil {
		t.Fatalf("Run: %v\n%s", err, out.String())
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %s", took)
	}
	var r Report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("standard output is not one JSON document: %v", err)
	}
	if !r.OK || r.Why != "" || r.Protected.Failed != 0 || r.Protected.FailedInOutage != 0 {
		t.Errorf("ok %t, why %q, %d failures behind the gateway, want none", r.OK, r.Why, r.Protected.Failed)
	}
	if r.Unprotected.Failed <= enoughFailures || r.Unprotected.FailedStreamed < r.Unprotected.Failed/2-5 {
		t.Errorf("%d failures without Holdfast, %d of them streamed, want more than %d and half of them", r.Unprotected.Failed, r.Unprotected.FailedStreamed, enoughFailures)
	}
	for name, a := range map[string]Arm{"protected": r.Protected, "unprotected": r.Unprotected} {
		if d := a.Calls - 2*a.Streamed; a.Calls < 150 || d < -1 || d > 1 {
			t.Errorf("%s: %d of %d calls streamed, want half", name, a.Streamed, a.Calls)
		}
	}
	if r.Unprotected.Calls != r.Protected.Calls {
		t.Errorf("the arms had %d and %d calls, want the same", r.Protected.Calls, r.Unprotected.Calls)
	}
	checkStory(t, r)
	if len(r.Checks) != 13 || !agree(r.Checks) {
		t.Errorf("checks %+v, want 13 that agree", r.Checks)
	}
	if errs.String() == "" || strings.Contains(errs.String(), "\x1b") {
		t.Errorf("progress on standard error must be there, without escapes:\n%q", errs.String())
	}
}

// checkStory holds what the logs tell against what must have happened.
func checkStory(t *testing.T, r Report) {
	t.Helper()
	c := r.Circuit
	if c.Opened == nil || *c.Opened > 2 || c.Failures < 5 || c.Cause != "consecutive" {
		t.Errorf("circuit %+v, want it opened in the outage by at least 5 failures", c)
	}
	if c.GoodProbe == nil || *c.GoodProbe < 0 || *c.GoodProbe > 1.5 {
		t.Errorf("good probe %v, want one within the open time of the recovery", c.GoodProbe)
	}
	if c.Closed == nil || c.FullShare == nil || *c.FullShare > 1.5 {
		t.Errorf("closed %v, full share %v, want the primary to have its share back", c.Closed, c.FullShare)
	}
	if got := c.Failures + c.ProbesInOutage; got != r.Primary.During || r.Primary.Refused < got-1 {
		t.Errorf("%d failures and probes, but %d attempts in the outage, %d refused", got, r.Primary.During, r.Primary.Refused)
	}
	if a, p := r.Protected.Attempts, r.Primary.Attempts+r.Backup.Attempts; a != p || r.Protected.AttemptsAtMost > 3 || r.Protected.AttemptsPerCall > 1.2 {
		t.Errorf("%d attempts for the arm (%.2f a call, at most %d), %d logged", a, r.Protected.AttemptsPerCall, r.Protected.AttemptsAtMost, p)
	}
	if r.Alone.During < enoughFailures || r.Primary.During > r.Alone.During/3 {
		t.Errorf("%d attempts at the primary in the outage, %d at the other provider: want far fewer", r.Primary.During, r.Alone.During)
	}
	if r.Protected.AnsweredByBackup != r.Backup.Answered || r.Backup.Answered < enoughFailures/2 {
		t.Errorf("%d answers of the backup, %d logged", r.Protected.AnsweredByBackup, r.Backup.Answered)
	}
}

func TestADemoThatProtectsNobodyFailsAndSaysWhy(t *testing.T) {
	t.Parallel()
	var out screenshot
	c := quick()
	c.Out, c.noBackup = &out, true
	err := Run(t.Context(), c)
	var failed *Failure
	if !errors.As(err, &failed) {
		t.Fatalf("Run without a backup: %v, want a Failure\n%s", err, out.String())
	}
	if !regexp.MustCompile(`\d+ of \d+ calls through Holdfast failed \(\d+ x status 50\d`).MatchString(failed.Why) {
		t.Errorf("why: %q", failed.Why)
	}
	if !strings.Contains(out.String(), "NOT AS IT SHOULD BE") {
		t.Errorf("the summary hides it:\n%s", out.String())
	}
}

func TestKeepLeavesTheGatewayAnsweringUntilTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &screenshot{wait: "/sim/dials"}
	status := 0
	out.then = func() {
		defer cancel()
		address := regexp.MustCompile(`curl -si (\S+)`).FindStringSubmatch(out.String())[1]
		resp, err := http.Post(address, "application/json", strings.NewReader(`{"model":"chat","messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			return
		}
		status = resp.StatusCode
		_ = resp.Body.Close()
	}
	c := quick()
	c.Keep, c.Out = true, out
	if err := Run(ctx, c); err != nil {
		t.Fatalf("Run: %v\n%s", err, out.String())
	}
	if status != http.StatusOK {
		t.Errorf("a call after the summary: status %d, want 200", status)
	}
	text := out.String()
	if strings.Contains(text, "\x1b") {
		t.Error("escapes in output that is no terminal's")
	}
	for line := range strings.Lines(text) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
	for _, want := range []string{"HEALTHY", "OUTAGE", "RECOVERY", "closed -> open", "half_open -> closed", "without Holdfast", "The same outage:"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestAnInterruptEndsTheDemoWithoutSummary(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &screenshot{wait: "OUTAGE", then: cancel}
	c := quick()
	c.Out = out
	if err := Run(ctx, c); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("Run: %v, want ErrInterrupted", err)
	}
	if strings.Contains(out.String(), "RECOVERY") || strings.Contains(out.String(), "FAILED") {
		t.Errorf("went on after the interrupt:\n%s", out.String())
	}
	gateway := regexp.MustCompile(`gateway +(http://\S+)`).FindStringSubmatch(out.String())[1]
	if resp, err := http.Get(gateway + "/livez"); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK && !strings.HasSuffix(gateway, ":8080") { // that one may be another demo's by now
			t.Errorf("%s still answers", gateway)
		}
	}
}

func TestTheFlagsAreBounded(t *testing.T) {
	for _, c := range []Config{{Outage: minOutage - 1}, {Outage: maxOutage + 1}, {Rate: minRate - 1}, {Rate: maxRate + 1}, {Rate: -1}} {
		if err := c.Validate(); err == nil {
			t.Errorf("outage %s, rate %d: no error", c.Outage, c.Rate)
		}
		if err := Run(t.Context(), c); err == nil {
			t.Errorf("outage %s, rate %d: was run", c.Outage, c.Rate)
		}
	}
	for _, c := range []Config{{}, {Outage: minOutage, Rate: minRate}, {Outage: maxOutage, Rate: maxRate}} {
		if err := c.Validate(); err != nil {
			t.Errorf("outage %s, rate %d: %v", c.Outage, c.Rate, err)
		}
	}
}

// TestTheBoundsKeepThePromises adds up the worst cases that the flags allow.
func TestTheBoundsKeepThePromises(t *testing.T) {
	p, b := standardTiming(), breaker.Config{}.WithDefaults()
	if longest := p.healthy + maxOutage + p.recovery; longest > p.limit {
		t.Errorf("the longest play takes %s and is cut after %s", longest, p.limit)
	}
	if end := p.limit + 2*time.Second; end > time.Minute { // comparing, draining: a second each
		t.Errorf("the demo may take %s", end)
	}
	if need := b.OpenFor + b.Ramp + p.settle; need > p.recovery {
		t.Errorf("a recovery may take %s and has %s", need, p.recovery)
	}
	if fewest := int(minOutage.Seconds()) * minRate; fewest <= enoughFailures {
		t.Errorf("the shortest outage meets %d calls, want more than %d", fewest, enoughFailures)
	}
	if fewest := int((p.healthy + minOutage).Seconds()) * minRate * 2; fewest < 200 {
		t.Errorf("the shortest play has %d calls, want 200", fewest)
	}
}
