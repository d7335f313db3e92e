package provider

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxWait is the longest wait that is believed; what is longer is cut to it. It
// is far beyond every deadline and far from overflowing a time.Duration.
const MaxWait = 10 * 365 * 24 * time.Hour

// Wait returns how long the provider asks to wait, from Retry-After-Ms,
// X-Ms-Retry-After-Ms and Retry-After (seconds with or without a fraction, or an
// HTTP date). When several are given the longest counts: Azure sends
// "Retry-After: 1" beside "Retry-After-Ms: 0". A zero and a date that is over
// mean "at once": 0 and true. Negative numbers, NaN and everything that is no
// wait are absent. Longer waits than MaxWait are cut to it.
func Wait(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	see := func(d time.Duration, good bool) {
		if good {
			wait, ok = max(wait, d), true
		}
	}
	for _, name := range [...]string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		for _, text := range h.Values(name) {
			see(number(text, time.Millisecond))
		}
	}
	for _, text := range h.Values("Retry-After") {
		d, good := number(text, time.Second)
		if !good {
			d, good = date(text, sent(h, now))
		}
		see(d, good)
	}
	return wait, ok
}

// number reads a decimal number of units. It refuses the words and the other
// bases that strconv knows.
func number(text string, unit time.Duration) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 1) || f < 0 || math.IsNaN(f) {
		return 0, false
	}
	if f >= float64(MaxWait/unit) {
		return MaxWait, true
	}
	return time.Duration(f * float64(unit)), true
}

func date(text string, from time.Time) (time.Duration, bool) {
	t, err := http.ParseTime(strings.TrimSpace(text))
	if err != nil {
		return 0, false
	}
	return min(max(0, t.Sub(from)), MaxWait), true
}

// sent returns when the answer was sent by its own clock, because the times it
// names are that clock's too; else now.
func sent(h http.Header, now time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return now
}

// ResetDurations returns the longest x-ratelimit-reset-* duration ("6m0s",
// "12ms") among the kinds whose x-ratelimit-remaining-* is 0. A reset of a kind
// that still has something left says nothing of when this request would pass.
func ResetDurations(h http.Header) (time.Duration, bool) {
	const remaining, reset = "X-Ratelimit-Remaining-", "X-Ratelimit-Reset-"
	var wait time.Duration
	found := false
	for name, left := range h {
		kind, ok := strings.CutPrefix(name, remaining)
		if !ok || len(left) == 0 || strings.TrimSpace(left[0]) != "0" {
			continue
		}
		if d, err := time.ParseDuration(h.Get(reset + kind)); err == nil && d >= 0 {
			wait, found = max(wait, min(d, MaxWait)), true
		}
	}
	return wait, found
}

// ResetTimes returns the longest wait until an RFC 3339 prefix+kind+"-Reset"
// among the kinds whose prefix+kind+"-Remaining" is 0. prefix is canonical, as in
// "Anthropic-Ratelimit-".
func ResetTimes(h http.Header, prefix string, now time.Time) (time.Duration, bool) {
	var wait time.Duration
	found := false
	for name, left := range h {
		kind, ok := strings.CutPrefix(name, prefix)
		if !ok || len(left) == 0 || strings.TrimSpace(left[0]) != "0" {
			continue
		}
		if kind, ok = strings.CutSuffix(kind, "-Remaining"); !ok {
			continue
		}
		if t, err := time.Parse(time.RFC3339, h.Get(prefix+kind+"-Reset")); err == nil {
			wait, found = max(wait, min(max(0, t.Sub(sent(h, now))), MaxWait)), true
		}
	}
	return wait, found
}

// waitPatterns are the words before a duration in a message. They are read only
// for vendors that sometimes say it nowhere else.
var waitPatterns = []string{
	"please try again in ", // OpenAI, Groq: "Please try again in 18.642s."
	"please retry in ",     // Google: "Please retry in 48.939935699s."
}

// WaitInText finds a wait in an error message.
func WaitInText(message string) (time.Duration, bool) {
	lower := strings.ToLower(message)
	for _, pattern := range waitPatterns {
		_, after, ok := strings.Cut(lower, pattern)
		if !ok {
			continue
		}
		word, _, _ := strings.Cut(after, " ")
		if d, err := time.ParseDuration(strings.TrimRight(word, ".,")); err == nil && d >= 0 {
			return min(d, MaxWait), true
		}
	}
	return 0, false
}
