package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// printable takes out what could move the cursor or colour a terminal: names
// and reasons come from callers, providers and other operators.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

// clip cuts a line to a width in characters; 0 is any.
func clip(s string, width int) string {
	runes := []rune(s)
	if width <= 0 || len(runes) <= width {
		return s
	}
	return string(runes[:width-1]) + "~"
}

// span words milliseconds: 0.4 ms, 12 ms, 1.0 s, 3m20s.
func span(milliseconds float64) string {
	switch {
	case milliseconds < 1:
		return fmt.Sprintf("%.1f ms", milliseconds)
	case milliseconds < 1000:
		return fmt.Sprintf("%.0f ms", milliseconds)
	case milliseconds < 100_000:
		return fmt.Sprintf("%.1f s", milliseconds/1000)
	}
	return (time.Duration(milliseconds) * time.Millisecond).Round(time.Second).String()
}

// size words bytes: 512 B, 5.1 kB.
func size(bytes int64) string {
	switch {
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

// listed joins what is not empty.
func listed(separator string, words ...string) string {
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, separator)
}
