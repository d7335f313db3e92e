package main

import (
	"fmt"
	"slices"
	"time"
)

// spread is how the values of all rounds lie.
type spread struct {
	Median, Min, Max float64
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// String writes the median, and the extremes behind it.
func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Min, s.Max) }

// percentile is the delay that the share p of all is not above; delays are
// sorted in place.
func percentile(delays []time.Duration, p float64) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	slices.Sort(delays)
	return delays[min(int(p*float64(len(delays))), len(delays)-1)]
}
