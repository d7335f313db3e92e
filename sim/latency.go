package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// spread is a lognormal distribution given by two of its quantiles.
type spread struct{ p50, p95 float64 } // seconds

// timing is one vendor's waiting times: of a whole answer, and of a stream's headers.
type timing struct{ whole, stream spread }

// timings are the medians and 95th percentiles of 534 recorded calls, 2024-2026. Where a
// vendor's calls were too few to part the two kinds, both have the same figures.
var timings = map[string]timing{
	"openai":     {spread{2.1, 12.8}, spread{0.5, 6.9}},
	"anthropic":  {spread{2.4, 5.2}, spread{1.8, 3.5}},
	"gemini":     {spread{2.6, 8.1}, spread{2.7, 7.5}},
	"vertex":     {spread{1.7, 8.6}, spread{1.7, 8.6}},
	"azure":      {spread{2.9, 8.5}, spread{2.9, 8.5}},
	"xai":        {spread{4.1, 13.5}, spread{4.1, 13.5}},
	"openrouter": {spread{1.3, 4.0}, spread{1.3, 4.0}},
	"all":        {spread{1.97, 9.0}, spread{1.07, 5.8}},
}

// The longest waits in the same record. A fitted tail is longer than a true one.
const (
	longestWhole       = 78 * time.Second
	longestStream      = 11200 * time.Millisecond
	calibratedInterval = 20 * time.Millisecond // the record has no token times; 50 a second is common
	normal95           = 1.6448536269514722    // 95th percentile of the normal distribution
)

// Profiles returns the names of the latency profiles, sorted: "instant"; "calibrated",
// which is "openai" or "anthropic" by dialect; and the vendors whose times are known.
func Profiles() []string {
	names := []string{"calibrated", "instant"}
	for name := range timings {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// draw returns one waiting time, at most longest.
func (s spread) draw(rng *rand.Rand, longest time.Duration) time.Duration {
	sigma := math.Log(s.p95/s.p50) / normal95
	seconds := s.p50 * math.Exp(sigma*rng.NormFloat64())
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second))
}

// pace is the waiting times of one call.
type pace struct {
	headers  time.Duration // before the status line
	first    time.Duration // from there to the first token
	interval time.Duration // between tokens
	rest     time.Duration // what a whole answer needs besides, where intervals do not count
	whole    bool          // a whole answer: rest is all it takes, whatever its tokens
}

// paceOf draws the waits of one call from the dials.
func paceOf(d Dials, dialect fault.Dialect, stream bool, rng *rand.Rand) pace {
	p := pace{headers: d.HeaderDelay, first: d.FirstTokenDelay, interval: d.TokenInterval}
	if t, ok := timings[profileFor(d.profile(), dialect)]; ok {
		if stream {
			p.headers += t.stream.draw(rng, longestStream)
			p.interval = max(p.interval, calibratedInterval)
		} else {
			p.rest, p.whole = t.whole.draw(rng, longestWhole), true
		}
	}
	return p.times(d.scale)
}

func profileFor(name string, dialect fault.Dialect) string {
	if name != "calibrated" {
		return name
	}
	return string(dialect.Style())
}

func (p pace) times(scale func(time.Duration) time.Duration) pace {
	p.headers, p.first, p.interval, p.rest = scale(p.headers), scale(p.first), scale(p.interval), scale(p.rest)
	return p
}

// slow returns p ten times slower, and slow by a second where it had no waits at all.
func (p pace) slow() pace {
	p = p.times(func(d time.Duration) time.Duration { return 10 * d })
	p.first = max(p.first, time.Second)
	return p
}

// body is how long a whole answer of n tokens takes, from the arrival of the call.
func (p pace) body(n int) time.Duration {
	total := p.headers + p.first + p.rest
	if !p.whole {
		total += time.Duration(max(0, n-1)) * p.interval
	}
	return total
}
