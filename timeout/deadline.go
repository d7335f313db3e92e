package timeout

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// hints are the headers in which a client says how long it will wait. lead is
// how much earlier its answer is due: an SDK's clock has begun before the call
// arrived, and an answer that comes as it ends is asked for again.
var hints = []struct {
	header     string
	unit, lead time.Duration
}{
	{"X-Stainless-Timeout", time.Second, sdkLead},
	{"X-Stainless-Read-Timeout", time.Second, sdkLead},
	{"X-Holdfast-Timeout-Ms", time.Millisecond, 0}, // no client's clock
}

// sdkLead is for the way there and back; of a short wait it is a tenth.
const sdkLead = 250 * time.Millisecond

// CommitBy returns the deadline of a call: when the first meaningful event of a
// stream, or the last byte of any other answer, must have been passed on. It is
// the earliest of arrived+total and what the client's headers say, all counted
// from the arrival: X-Stainless-Timeout and X-Stainless-Read-Timeout in seconds
// (the official SDKs send them), X-Holdfast-Timeout-Ms in milliseconds. What the
// SDKs say counts as 250 ms less, at most a tenth, so that they still hear us.
//
// A header that is no plain decimal number between 1 ms and 24 h says nothing.
// A total of 0 or less says nothing either; when nobody says anything the zero
// time is returned: no deadline.
func CommitBy(arrived time.Time, total time.Duration, h http.Header) time.Time {
	wait := total
	for _, hint := range hints {
		for _, text := range h.Values(hint.header) {
			d, ok := parseWait(text, hint.unit)
			if d -= min(d/10, hint.lead); ok && (wait <= 0 || d < wait) {
				wait = d
			}
		}
	}
	if wait <= 0 {
		return time.Time{}
	}
	return arrived.Add(wait)
}

// parseWait reads a plain decimal number of units. It refuses what ParseFloat
// would take beyond that: signs, exponents, hexadecimals, NaN and Inf.
func parseWait(text string, unit time.Duration) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if len(text) > 20 || strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n > float64(longest/unit) {
		return 0, false
	}
	d := time.Duration(n * float64(unit))
	return d, d >= shortest
}
