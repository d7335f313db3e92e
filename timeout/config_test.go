package timeout

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

func TestTheDefaultClocksOfAStream(t *testing.T) {
	got := Config{}.Limits(&call.Request{Stream: true, MaxTokens: 100_000}, false)
	want := Limits{Connect: 5 * time.Second, FirstToken: 30 * time.Second, Idle: 30 * time.Second, Stall: 120 * time.Second,
		Attempt: 120 * time.Second, StreamTotal: time.Hour, Stream: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAReasoningModelGetsTimeForItsFirstTokenAndAnAttemptThatLong(t *testing.T) {
	got := Config{}.Limits(&call.Request{Stream: true}, true)
	if got.FirstToken != 180*time.Second || got.Attempt != 180*time.Second || !got.QuietStart {
		t.Errorf("got %+v, want first_token and attempt of 180s and a quiet start", got)
	}
	got = Config{Idle: -1, Total: 100 * time.Second}.Limits(&call.Request{Stream: true}, true)
	if got.Attempt != 100*time.Second {
		t.Errorf("attempt is %s, want no more than the total of 100s", got.Attempt)
	}
}

func TestWhichFirstTokenLimitCounts(t *testing.T) {
	const s = time.Second
	cases := []struct {
		name            string
		plain, thinking time.Duration
		want, wantThink time.Duration
	}{
		{"by default", 0, 0, 30 * s, 180 * s},
		{"a short one is for models that do not reason", 10 * s, 0, 10 * s, 180 * s},
		{"a long one is for all", 300 * s, 0, 300 * s, 300 * s},
		{"both explicit", 10 * s, 20 * s, 10 * s, 20 * s},
		{"off is off for all", -1, 0, 0, 0},
		{"off for reasoning only", 0, -1, 30 * s, 0},
		{"off, but not for reasoning", -1, 60 * s, 0, 60 * s},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := Config{FirstToken: test.plain, FirstTokenReasoning: test.thinking}
			r := &call.Request{Stream: true}
			if got := c.Limits(r, false).FirstToken; got != test.want {
				t.Errorf("plain: got %s, want %s", got, test.want)
			}
			if got := c.Limits(r, true).FirstToken; got != test.wantThink {
				t.Errorf("reasoning: got %s, want %s", got, test.wantThink)
			}
		})
	}
}

func TestAnAnswerThatIsNotStreamedGetsTimeForItsTokens(t *testing.T) {
	const s = time.Second
	cases := []struct {
		name   string
		config Config
		tokens int
		want   time.Duration
	}{
		{"no limit named", Config{}, 0, 120 * s},
		{"a short answer", Config{}, 1000, 120 * s},
		{"16,000 tokens", Config{}, 16_000, 450 * s},
		{"at most the total", Config{}, 128_000, 600 * s},
		{"without a total", Config{Total: -1}, 128_000, 3600 * s},
		{"an absurd number does not overflow", Config{}, math.MaxInt, 600 * s},
		{"a negative number counts as none", Config{}, math.MinInt, 120 * s},
		{"a fixed attempt is exact", Config{Attempt: 8 * s, AttemptFixed: true}, 16_000, 8 * s},
		{"off is off", Config{Attempt: -1}, 16_000, 0},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			got := test.config.Limits(&call.Request{MaxTokens: test.tokens}, true)
			if got.Attempt != test.want {
				t.Errorf("attempt: got %s, want %s", got.Attempt, test.want)
			}
			if got.FirstToken != 0 || got.Stall != 0 || got.StreamTotal != 0 || got.Stream {
				t.Errorf("clocks of streams are on: %+v", got)
			}
		})
	}
}

func TestDefaultsAreValidAndStayAsTheyAre(t *testing.T) {
	for _, c := range []Config{{}, {FirstToken: -1, Linger: -1, Total: -1}, {Connect: time.Second, Attempt: time.Minute}} {
		full := c.WithDefaults()
		if full != full.WithDefaults() {
			t.Errorf("%+v changes when defaults are applied again", full)
		}
		if err := full.Validate(); err != nil {
			t.Errorf("%+v: %v", full, err)
		}
	}
}

func TestValidateReportsEverythingThatIsWrong(t *testing.T) {
	err := Config{Connect: 5, Idle: 48 * time.Hour, Stall: -1}.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"connect: 5ns is below 1ms: is the unit missing?", "idle: 48h0m0s is above 24h0m0s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "stall") {
		t.Errorf("a clock that is off is called wrong: %q", err)
	}
}

func TestCommitByIsTheEarliestOfWhatIsSaid(t *testing.T) {
	const none = time.Duration(0)
	cases := []struct {
		name    string
		total   time.Duration
		headers map[string][]string
		want    time.Duration // after the arrival; none: no deadline
	}{
		{"the total alone", time.Minute, nil, time.Minute},
		{"nothing", 0, nil, none},
		{"a total that is off", -1, nil, none},
		{"an SDK that waits shorter", time.Minute, map[string][]string{"X-Stainless-Timeout": {"20"}}, 20*time.Second - sdkLead},
		{"an SDK that waits longer", time.Minute, map[string][]string{"X-Stainless-Timeout": {"600"}}, time.Minute},
		{"an SDK alone", 0, map[string][]string{"X-Stainless-Timeout": {"600"}}, 10*time.Minute - sdkLead},
		{"read timeout", time.Minute, map[string][]string{"X-Stainless-Timeout": {"30"}, "X-Stainless-Read-Timeout": {"5.5"}}, 5250 * time.Millisecond},
		{"ours in milliseconds", time.Minute, map[string][]string{"X-Holdfast-Timeout-Ms": {"1500"}}, 1500 * time.Millisecond},
		{"said twice", time.Minute, map[string][]string{"X-Holdfast-Timeout-Ms": {"3000", "2000"}}, 2 * time.Second},
		{"spaces", time.Minute, map[string][]string{"X-Stainless-Timeout": {" 7 "}}, 7*time.Second - sdkLead},
		{"one of two is nonsense", time.Minute, map[string][]string{"X-Stainless-Timeout": {"-7"}, "X-Stainless-Read-Timeout": {"9"}}, 9*time.Second - sdkLead},
		{"a day", -1, map[string][]string{"X-Stainless-Timeout": {"86400"}}, 24*time.Hour - sdkLead},
		{"a short wait", -1, map[string][]string{"X-Stainless-Read-Timeout": {"1"}}, 900 * time.Millisecond},
	}
	nonsense := []string{"", " ", "0", "0.0", "-1", "-0", "+5", "NaN", "nan", "Inf", "-inf", "1e3", "0x10", "1_000", "5s", "5,5", "5, 6",
		".", "1.2.3", "86401", "99999999999999999999", "999999999999999999999999999999", "0.0000001", "\x00", "٣"}
	for _, text := range nonsense {
		cases = append(cases, struct {
			name    string
			total   time.Duration
			headers map[string][]string
			want    time.Duration
		}{"nonsense " + text, -1, map[string][]string{"X-Stainless-Timeout": {text}}, none})
	}
	arrived := time.Now()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			got := CommitBy(arrived, test.total, http.Header(test.headers))
			if test.want == none {
				if !got.IsZero() {
					t.Fatalf("got a deadline after %s, want none", got.Sub(arrived))
				}
				return
			}
			if got.Sub(arrived) != test.want {
				t.Fatalf("got %s, want %s", got.Sub(arrived), test.want)
			}
		})
	}
}

func FuzzCommitBy(f *testing.F) {
	for _, text := range []string{"600", "0.5", "NaN", "1e400", "-3", "0x1p-2", "9223372036854775807"} {
		f.Add(text, text, text, int64(time.Minute))
	}
	arrived := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, timeout, read, ours string, total int64) {
		h := http.Header{"X-Stainless-Timeout": {timeout}, "X-Stainless-Read-Timeout": {read}, "X-Holdfast-Timeout-Ms": {ours}}
		limit := time.Duration(total % int64(longest))
		got := CommitBy(arrived, limit, h)
		switch {
		case got.IsZero():
			if limit > 0 {
				t.Fatalf("%q: no deadline although the total is %s", h, limit)
			}
		case !got.After(arrived):
			t.Fatalf("%q: the deadline %s is over before it begins", h, got)
		case limit > 0 && got.Sub(arrived) > limit, got.Sub(arrived) > longest:
			t.Fatalf("%q: the deadline %s is beyond the total %s", h, got.Sub(arrived), limit)
		}
	})
}

func BenchmarkCommitBy(b *testing.B) {
	h := http.Header{"X-Stainless-Timeout": {"600"}, "X-Stainless-Read-Timeout": {"600"}}
	arrived := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		_ = CommitBy(arrived, time.Minute, h)
	}
}

// TestACompleteConfigHasNothingLeftToFill: what is asked instead of all settings
// must know every one of them.
func TestACompleteConfigHasNothingLeftToFill(t *testing.T) {
	whole := Config{}.WithDefaults()
	if !whole.complete() {
		t.Fatal("the defaults leave something out")
	}
	for i := range whole.settings() {
		c := whole
		*c.settings()[i].value = 0
		if c.complete() {
			t.Errorf("%s is 0, and nothing is to be filled", c.settings()[i].name)
		}
	}
}
