package provider

import (
	"net/http"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestWaitBelievesWhatIsAWait(t *testing.T) {
	const absent = -1
	cases := []struct {
		name   string
		header http.Header
		want   time.Duration
	}{
		{"nothing", header(), absent},
		{"seconds", header("Retry-After", "7"), 7 * time.Second},
		{"seconds with blanks", header("Retry-After", " 7 "), 7 * time.Second},
		{"a fraction", header("Retry-After", "0.25"), 250 * time.Millisecond},
		{"at once", header("Retry-After", "0"), 0},
		{"milliseconds", header("retry-after-ms", "250"), 250 * time.Millisecond},
		{"Azure's milliseconds", header("x-ms-retry-after-ms", "1500"), 1500 * time.Millisecond},
		{"Azure's one second and no milliseconds", header("Retry-After", "1", "Retry-After-Ms", "0"), time.Second},
		{"the longest of three", header("Retry-After", "2", "Retry-After-Ms", "1900", "X-Ms-Retry-After-Ms", "2100"), 2100 * time.Millisecond},
		{"two of the same", header("Retry-After", "2", "Retry-After", "5"), 5 * time.Second},
		{"a date", header("Retry-After", "Tue, 31 Mar 2026 12:00:30 GMT"), 30 * time.Second},
		{"a date by the server's clock", header("Date", "Tue, 31 Mar 2026 11:00:00 GMT", "Retry-After", "Tue, 31 Mar 2026 11:00:30 GMT"), 30 * time.Second},
		{"a date that is over", header("Retry-After", "Tue, 31 Mar 2026 11:00:00 GMT"), 0},
		{"a date before time", header("Retry-After", "Mon, 01 Jan 0001 00:00:00 GMT"), 0},
		{"a date at the end of time", header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), MaxWait},
		{"a negative number", header("Retry-After", "-5"), absent},
		{"NaN", header("Retry-After", "NaN"), absent},
		{"Inf", header("Retry-After", "Inf"), absent},
		{"hexadecimal", header("Retry-After", "0x10"), absent},
		{"words", header("Retry-After", "soon"), absent},
		{"empty", header("Retry-After", ""), absent},
		{"huge", header("Retry-After", "99999999999999999999"), MaxWait},
		{"beyond every number", header("Retry-After", "1e999"), MaxWait},
		{"huge milliseconds", header("Retry-After-Ms", "1e300"), MaxWait},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Wait(c.header, now)
			if ok != (c.want != absent) || ok && got != c.want {
				t.Errorf("got %v, %v; want %v", got, ok, c.want)
			}
		})
	}
}

func TestResetsCountOnlyForWhatIsUsedUp(t *testing.T) {
	h := header("x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "12ms",
		"x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "6m0s",
		"x-ratelimit-remaining-input-images", "49999", "x-ratelimit-reset-input-images", "9h")
	if d, ok := ResetDurations(h); !ok || d != 6*time.Minute {
		t.Errorf("got %v, %v; want the longest that is used up, 6m", d, ok)
	}
	for name, h := range map[string]http.Header{
		"nothing used up": header("x-ratelimit-remaining-tokens", "5", "x-ratelimit-reset-tokens", "6m0s"),
		"Azure's unknown": header("x-ratelimit-remaining-tokens", "-1", "x-ratelimit-reset-tokens", "6m0s"),
		"no reset":        header("x-ratelimit-remaining-tokens", "0"),
		"a broken reset":  header("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "soon"),
		"a negative one":  header("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "-1s"),
	} {
		if d, ok := ResetDurations(h); ok {
			t.Errorf("%s: got %v, want none", name, d)
		}
	}
}

func TestResetTimesCountFromTheServersClock(t *testing.T) {
	const prefix = "Anthropic-Ratelimit-"
	h := header("anthropic-ratelimit-requests-remaining", "0", "anthropic-ratelimit-requests-reset", "2026-03-31T12:00:10Z",
		"anthropic-ratelimit-tokens-remaining", "16000", "anthropic-ratelimit-tokens-reset", "2026-03-31T13:00:00Z",
		"date", "Tue, 31 Mar 2026 12:00:08 GMT")
	if d, ok := ResetTimes(h, prefix, now); !ok || d != 2*time.Second {
		t.Errorf("got %v, %v; want 2s", d, ok)
	}
	h.Del("Date")
	if d, ok := ResetTimes(h, prefix, now); !ok || d != 10*time.Second {
		t.Errorf("without a date: got %v, %v; want 10s", d, ok)
	}
	if d, ok := ResetTimes(h, prefix, now.Add(time.Hour)); !ok || d != 0 {
		t.Errorf("when it is over: got %v, %v; want 0", d, ok)
	}
}

func TestAWaitIsFoundInTheText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"Limit 30000. Please try again in 18.642s. Visit https://x": 18642 * time.Millisecond,
		"Please try again in 6m0s.":                                 6 * time.Minute,
		"please try again in 250ms":                                 250 * time.Millisecond,
		"Please retry in 48.939935699s.":                            48939935699 * time.Nanosecond,
	} {
		if d, ok := WaitInText(text); !ok || d != want {
			t.Errorf("%q: got %v, %v; want %v", text, d, ok, want)
		}
	}
	for _, text := range []string{"", "Please try again in a moment.", "Please try again in -5s", "try later", "Please try again in 99999999999999h"} {
		if d, ok := WaitInText(text); ok {
			t.Errorf("%q: got %v, want none", text, d)
		}
	}
}

func FuzzWaitIsNeverNegativeNorEndless(f *testing.F) {
	for _, s := range []string{"7", "1e308", "Tue, 31 Mar 2026 12:00:30 GMT", "-0", "Please try again in 9223372036.9s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h := http.Header{"Retry-After": {text}, "Retry-After-Ms": {text}, "Date": {text}}
		d, ok := Wait(h, now)
		inText, _ := WaitInText(text)
		reset, _ := ResetDurations(http.Header{"X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {text}})
		until, _ := ResetTimes(http.Header{"X-Tokens-Remaining": {"0"}, "X-Tokens-Reset": {text}}, "X-", now)
		for _, got := range []time.Duration{d, inText, reset, until} {
			if got < 0 || got > MaxWait || !ok && d != 0 {
				t.Fatalf("%q: got %v, %v", text, got, ok)
			}
		}
	})
}
