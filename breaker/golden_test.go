package breaker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/call"
)

// opossumRecording is what opossum itself decided; testdata/record.mjs makes it.
type opossumRecording struct {
	Traces, Differences []opossumTrace
}

type opossumTrace struct {
	Name   string
	Config struct {
		ErrorThresholdPercentage *float64
		VolumeThreshold          int
		ResetTimeout             int64 // ms
		RollingCountTimeout      int64 // ms
		AllowWarmUp              bool
	}
	Steps []opossumStep
}

// opossumStep is one line of a trace: what happened, and where the circuit stood
// afterwards.
type opossumStep struct {
	at              time.Duration
	what            string // fire, look, locked (refused for opossum's capacity), or how a call ended
	call            int
	admitted        bool
	state           string
	fires, failures int // in the window
}

func (s *opossumStep) UnmarshalJSON(text []byte) error {
	var ms int64
	if err := json.Unmarshal(text, &[]any{&ms, &s.what, &s.call, &s.admitted, &s.state, &s.fires, &s.failures}); err != nil {
		return err
	}
	s.at = time.Duration(ms) * time.Millisecond
	return nil
}

// settings are opossum's in our words, as docs/how-to/migrate.md has them.
func (t opossumTrace) settings() breaker.Config {
	percent, window, reset := 50.0, int64(10_000), int64(30_000) // opossum's defaults
	if t.Config.ErrorThresholdPercentage != nil {
		percent = *t.Config.ErrorThresholdPercentage
	}
	if t.Config.RollingCountTimeout > 0 {
		window = t.Config.RollingCountTimeout
	}
	if t.Config.ResetTimeout > 0 {
		reset = t.Config.ResetTimeout
	}
	c := breaker.Config{
		Ratio:       percent/100 + 1e-6, // opossum opens above its threshold, not at it
		MinCalls:    max(1, t.Config.VolumeThreshold),
		Window:      time.Duration(window) * time.Millisecond,
		OpenFor:     time.Duration(reset) * time.Millisecond,
		Consecutive: -1, SlowRatio: -1, SlowAfter: -1, MaxOpen: -1, Ramp: -1,
		Successes: 1,
	}
	if percent >= 100 { // nothing is above it
		c.Ratio = -1
	}
	if t.Config.AllowWarmUp {
		c.WarmUp = c.Window
	}
	return c
}

// replay plays a trace against a Breaker of ours and returns every step at which
// it decided otherwise. An error that errorFilter took out of opossum's count is
// of the class filtered; counts compares the window, too.
func (t opossumTrace) replay(filtered call.Class, counts bool) (otherwise []string) {
	ends := map[string]call.Class{"success": call.OK, "failure": call.ProviderFault, "timeout": call.Timeout, "filtered": filtered}

	b := newBreaker(t.settings()) // whose open time is the whole one, as opossum's
	began, under, was := time.Now(), map[int]*breaker.Permit{}, breaker.Closed
	for _, s := range t.Steps {
		time.Sleep(s.at - time.Since(began))
		admitted := s.admitted
		switch s.what {
		case "fire":
			p, err := b.Admit(false)
			under[s.call], admitted = p, err == nil
		case "look", "locked": // our permits are asked before the circuit
		default:
			under[s.call].End(outcome(ends[s.what]))
		}
		now := b.Snapshot()
		ours := fmt.Sprintf("admitted %t, %s", admitted, now.State)
		theirs := fmt.Sprintf("admitted %t, %s", s.admitted, s.state)
		if counts && s.what != "fire" && was == breaker.Closed && now.State == breaker.Closed { // ours counts when a call has ended
			ours += fmt.Sprintf(", %d of %d", now.Failures, now.Total)
			theirs += fmt.Sprintf(", %d of %d", s.failures, s.fires)
		}
		was = now.State
		if ours != theirs {
			otherwise = append(otherwise, fmt.Sprintf("%s %s %d: %s; opossum: %s", s.at, s.what, s.call, ours, theirs))
		}
	}
	return otherwise
}

func TestCircuitsDecideAsOpossumDid(t *testing.T) {
	r := readOpossum(t)
	if len(r.Traces) < 40 {
		t.Fatalf("%d traces", len(r.Traces))
	}
	for _, trace := range r.Traces {
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, step := range trace.replay(call.PolicyViolation, true) {
					t.Errorf("%+v: %s", trace.settings(), step)
				}
			})
		})
	}
}

// Each difference is meant; docs/how-to/migrate.md says why. What is not named
// here is the same.
func TestCircuitsDifferFromOpossumWhereTheyMeanTo(t *testing.T) {
	meant := map[string][]string{
		"a success from before the outage closes the circuit": {
			"1s success 1: admitted true, half_open; opossum: admitted true, closed"},
		"a failure from before the outage opens a half-open circuit": {
			"1s failure 1: admitted true, half_open; opossum: admitted true, open"},
		"calls under way count as if they had worked": {
			"0s failure 9: admitted true, open; opossum: admitted true, closed"},
		"a call counts in the window when it begins": {
			"15s failure 2: admitted true, open; opossum: admitted true, closed",
			"15s failure 3: admitted true, open; opossum: admitted true, closed"},
		"its own refusals for capacity are failures": {
			"0s locked 3: admitted false, closed; opossum: admitted false, open",
			"0s fire 4: admitted true, closed; opossum: admitted false, open"},
		"what was counted before the outage counts after it": {
			"1s failure 7: admitted true, closed; opossum: admitted true, open"},
		"refused calls count as if they had worked": {
			"1s failure 11: admitted true, open; opossum: admitted true, closed"},
		"a probe that hangs without a timeout keeps everybody out": {
			"1h0m30s fire 4: admitted true, half_open; opossum: admitted false, half_open"},
		"an error that errorFilter takes out closes a half-open circuit": {
			"1s filtered 2: admitted true, half_open; opossum: admitted true, closed"},
	}
	r := readOpossum(t)
	if len(r.Differences) != len(meant) {
		t.Errorf("%d differences recorded, %d explained", len(r.Differences), len(meant))
	}
	for _, trace := range r.Differences {
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := trace.replay(call.ClientError, false); !slices.Equal(got, meant[trace.Name]) {
					t.Errorf("\n got %q\nwant %q", got, meant[trace.Name])
				}
			})
		})
	}
}

func readOpossum(t *testing.T) (r opossumRecording) {
	t.Helper()
	text, err := os.ReadFile("testdata/opossum.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
