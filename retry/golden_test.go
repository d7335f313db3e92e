package retry_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/retry"
)

// story is one recorded call: attempts at these moments, waits with these random
// numbers between them, and an end.
type story struct {
	Name     string
	Failures int       // before it works
	Randoms  []float64 // as they were drawn
	End      string    // worked or failed

	config   retry.Config
	class    call.Class // of each failure
	total    time.Duration
	took     time.Duration // by each attempt
	attempts []time.Duration
}

// tell makes the attempts of a story under our policy, as dispatch does: a wait
// that the deadline does not leave room for is not begun.
func (s *story) tell() (attempts []time.Duration, end string) {
	began, draws := time.Now(), slices.Clone(s.Randoms)
	draw := func() float64 {
		if len(draws) == 0 {
			return 0 // without jitter nothing was drawn there
		}
		r := draws[0]
		draws = draws[1:]
		return r
	}
	for n := 1; ; n++ {
		attempts = append(attempts, time.Since(began))
		time.Sleep(s.took)
		if n > s.Failures {
			return attempts, "worked"
		}
		if s.class.Row().Same == call.SameNever || n >= s.config.MaxAttempts {
			return attempts, "failed"
		}
		delay := s.config.Delay(s.config.Backoff(n, false, 0, draw), 0, false, nil)
		if s.total > 0 && time.Since(began)+delay >= s.total {
			return attempts, "failed"
		}
		time.Sleep(delay)
	}
}

// theirs is what we should do where the recording says what they did. Both
// libraries cut the last wait so that one more attempt is made in the moment in
// which time is over. Ours is not made: it could not be answered any more.
func (s *story) theirs() (attempts []time.Duration, end string) {
	inTime := slices.DeleteFunc(slices.Clone(s.attempts), func(at time.Duration) bool {
		return s.total > 0 && at > s.total-10*time.Microsecond
	})
	if len(inTime) < len(s.attempts) {
		return inTime, "failed"
	}
	return inTime, s.End
}

// same reports whether two lists of attempts have the same waits, to a precision.
func same(ours, theirs []time.Duration, precision time.Duration) bool {
	if len(ours) != len(theirs) {
		return false
	}
	for i := 1; i < len(ours); i++ {
		if off := (ours[i] - ours[i-1]) - (theirs[i] - theirs[i-1]); off.Abs() > precision {
			return false
		}
	}
	return true
}

func compare(t *testing.T, s *story, precision time.Duration) {
	t.Run(s.Name, func(t *testing.T) {
		if err := s.config.Validate(); err != nil {
			t.Fatalf("%+v: %v", s.config, err)
		}
		synctest.Test(t, func(t *testing.T) {
			ours, end := s.tell()
			if theirs, their := s.theirs(); !same(ours, theirs, precision) || end != their {
				t.Errorf("%+v in %s, %d failures as %s:\nours   %s %v\ntheirs %s %v", s.config, s.total, s.Failures, s.class, end, ours, their, theirs)
			}
		})
	})
}

// differ checks a story that goes otherwise with us: at the given seconds.
func differ(t *testing.T, s *story, meant map[string][]float64) {
	t.Run(s.Name, func(t *testing.T) {
		want, known := meant[s.Name]
		if !known {
			t.Fatal("recorded and not explained")
		}
		synctest.Test(t, func(t *testing.T) {
			ours, _ := s.tell()
			if !same(ours, at(want), time.Millisecond) {
				t.Errorf("got %v, want %v", ours, want)
			}
			if same(ours, s.attempts, time.Millisecond) {
				t.Errorf("no difference: %v", ours)
			}
		})
	})
}

func at(seconds []float64) []time.Duration {
	moments := make([]time.Duration, len(seconds))
	for i, s := range seconds {
		moments[i] = inSeconds(s)
	}
	return moments
}

func inSeconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

// pRetryStory is what p-retry did; testdata/record.mjs records it. Times in ms.
type pRetryStory struct {
	story
	Options struct {
		Retries                              *int
		MinTimeout, MaxTimeout, MaxRetryTime int64
		Factor                               float64
		Randomize                            bool
	}
	Kind     string
	Attempts []int64
}

// kinds are what p-retry was given to fail with, as we would class it: it repeats
// an error and a lost connection, never a mistake in the program or an AbortError.
var kinds = map[string]call.Class{
	"error": call.ProviderFault, "network": call.Transport, "type": call.ClientError, "abort": call.ClientError,
}

// ours is the story in our words, as docs/how-to/migrate.md has them.
func (p *pRetryStory) ours() *story {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	s, retries := &p.story, 10
	if p.Options.Retries != nil {
		retries = *p.Options.Retries
	}
	s.config = retry.Config{MaxAttempts: retries + 1, Base: time.Second, Factor: p.Options.Factor, Cap: -1, Jitter: retry.JitterNone}
	if p.Options.MinTimeout > 0 {
		s.config.Base = ms(p.Options.MinTimeout)
	}
	if p.Options.MaxTimeout > 0 {
		s.config.Cap = ms(p.Options.MaxTimeout)
	}
	if p.Options.Randomize {
		s.config.Jitter = retry.JitterPRetry
	}
	s.class, s.total = kinds[p.Kind], ms(p.Options.MaxRetryTime)
	for _, a := range p.Attempts {
		s.attempts = append(s.attempts, ms(a))
	}
	return s
}

func TestWaitsAreThoseOfPRetry(t *testing.T) {
	var r struct{ Traces, Differences []pRetryStory }
	recorded(t, "testdata/p-retry.json", &r)
	for i := range r.Traces {
		compare(t, r.Traces[i].ours(), time.Millisecond/2) // it rounds waits
	}
	meant := map[string][]float64{
		"the last wait is cut so that it ends with maxRetryTime": {0, 1, 3},
		"a factor below 1 makes waits shorter":                   {0, 1, 2, 3}, // and Validate refuses it
		"without maxTimeout waits grow beyond the hour":          {0, 1, 11, 111, 1111, 1111 + 3600},
	}
	if len(r.Traces) < 100 || len(r.Differences) != len(meant) {
		t.Errorf("%d traces, %d differences", len(r.Traces), len(r.Differences))
	}
	for i := range r.Differences {
		differ(t, r.Differences[i].ours(), meant)
	}
}

// backoffStory is what Python's backoff did; testdata/record.py records it. Times
// in seconds.
type backoffStory struct {
	story
	Wait, Jitter                              string
	Base, Factor, Interval, MaxTime, MaxValue *float64
	MaxTries                                  int
	Took                                      float64
	Attempts                                  []float64
}

// UnmarshalJSON reads Python's names, which have underscores.
func (b *backoffStory) UnmarshalJSON(text []byte) error {
	var limits struct {
		MaxTries *int     `json:"max_tries"`
		MaxTime  *float64 `json:"max_time"`
		MaxValue *float64 `json:"max_value"`
	}
	type plain backoffStory
	if err := json.Unmarshal(text, (*plain)(b)); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &limits); err != nil {
		return err
	}
	b.MaxTries, b.MaxTime, b.MaxValue = 100, limits.MaxTime, limits.MaxValue // None: no limit
	if limits.MaxTries != nil {
		b.MaxTries = *limits.MaxTries
	}
	return nil
}

// ours is the story in our words, as docs/how-to/migrate.md has them. What
// backoff calls base is our factor, and its factor our base.
func (b *backoffStory) ours() *story {
	or := func(v *float64, fallback float64) float64 {
		if v == nil {
			return fallback
		}
		return *v
	}
	s := &b.story
	s.config = retry.Config{MaxAttempts: b.MaxTries, Cap: -1}
	s.config.Jitter = map[string]string{"full": retry.JitterPythonFull, "random": retry.JitterPythonRandom, "none": retry.JitterNone}[b.Jitter]
	switch b.Wait {
	case "expo":
		s.config.Base, s.config.Factor = inSeconds(or(b.Factor, 1)), or(b.Base, 2)
	case "fibo":
		s.config.Base, s.config.Growth = time.Second, retry.GrowthFibonacci
	case "constant":
		s.config.Base, s.config.Factor = inSeconds(or(b.Interval, 1)), 1
	}
	if b.MaxValue != nil {
		s.config.Cap = inSeconds(*b.MaxValue)
	}
	s.class, s.total, s.took, s.attempts = call.ProviderFault, inSeconds(or(b.MaxTime, 0)), inSeconds(b.Took), at(b.Attempts)
	return s
}

func TestWaitsAreThoseOfPythonsBackoff(t *testing.T) {
	var r struct{ Traces, Differences []backoffStory }
	recorded(t, "testdata/backoff.json", &r)
	for i := range r.Traces {
		compare(t, r.Traces[i].ours(), 10*time.Microsecond) // its clock has microseconds
	}
	meant := map[string][]float64{
		"the last wait is cut so that it ends with max_time": {0, 1, 3, 7},
		"max_time does not count the call that is under way": {0, 5},
		"random jitter goes above max_value":                 {0, 1.342604797, 3.342604797, 5.342604797, 7.342604797},
	}
	if len(r.Traces) < 100 || len(r.Differences) != len(meant) {
		t.Errorf("%d traces, %d differences", len(r.Traces), len(r.Differences))
	}
	for i := range r.Differences {
		differ(t, r.Differences[i].ours(), meant)
	}
}

func recorded(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
