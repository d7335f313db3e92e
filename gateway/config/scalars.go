package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
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

// Size is a number of bytes: 32MiB, 8MB, 65536.
type Size int64

// LineLimit is a number of log lines: 0 is the default, a negative one means no
// limit.
type LineLimit int

// String writes a limit as the file would hold it.
func (l LineLimit) String() string {
	if l < 0 {
		return "off"
	}
	return strconv.Itoa(int(l))
}

func (l *LineLimit) set(text string) error {
	if text == "off" {
		*l = -1
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1_000_000 {
		return errors.New("want a whole number from 1 to 1000000, or off")
	}
	*l = LineLimit(n)
	return nil
}

// units of a Size; the longer names first.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// maxSize is more than one process can hold: above it the unit is wrong.
const maxSize = 1 << 40

func (s *Size) set(text string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			break
		}
		if n < 1 || n > maxSize/u.bytes {
			return errors.New("must be from 1B to 1024GiB")
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return errors.New("want a number of bytes: 32MiB, 8MB, 65536")
}

// checkSecret says what is wrong with a credential, without repeating it.
func checkSecret(text string) error {
	if !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }) {
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
