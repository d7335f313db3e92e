package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads a length of time as Go writes it: 500ms, 30s, 1h30m. It
// is more than zero.
func parseDuration(text string) (time.Duration, error) {
	parsed, err := time.ParseDuration(text)
	if err != nil {
		if _, number := strconv.ParseFloat(text, 64); number == nil {
			return 0, errors.New("a duration needs a unit: 500ms, 30s, 2m")
		}
		return 0, errors.New("want a duration: 500ms, 30s, 2m")
	}
	if parsed <= 0 {
		return 0, errors.New("a duration must be more than zero")
	}
	return parsed, nil
}

// checkSecret says what is wrong with a credential, without repeating it.
func checkSecret(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("is empty")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("holds a line break or another control character, which no credential has")
	}
	return nil
}

// parseRatio reads a number, or a share in percent: 0.5, 50%.
func parseRatio(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("want a number or a share: 0.5, 50%")
	}
	if percent {
		f /= 100
	}
	return f, nil
}
