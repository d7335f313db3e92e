package ratelimit

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// The response fields of draft-ietf-httpapi-ratelimit-headers-11.
const (
	FieldPolicy = "Ratelimit-Policy" // as http.Header spells RateLimit-Policy
	FieldState  = "Ratelimit"        // as http.Header spells RateLimit
)

// WriteFields says in h what the limits are and where the caller stands, one
// member for each ask that is not in shadow: q and w are the limit and its time
// in seconds, r the points left and t the seconds until all are back. Limits of
// tokens say so in qu. It is to be called after Take.
func WriteFields(h http.Header, asks []Ask, unit func(*Limiter) string) {
	var room [2][256]byte // enough for most, so that only the two values are allocated
	policy, state := room[0][:0], room[1][:0]
	for i := range asks {
		a := &asks[i]
		if a.Limiter.config.Shadow {
			continue
		}
		if len(policy) > 0 {
			policy = append(policy, ", "...)
			state = append(state, ", "...)
		}
		c := &a.Limiter.config
		policy = quoted(policy, a.Limiter.name)
		policy = param(policy, ";q=", c.Points)
		policy = param(policy, ";w=", seconds(c.Duration))
		if u := unit(a.Limiter); u != "" {
			policy = quoted(append(policy, ";qu="...), u)
		}
		state = quoted(state, a.Limiter.name)
		state = param(state, ";r=", a.Remaining)
		state = param(state, ";t=", seconds(a.Reset))
	}
	if len(policy) > 0 {
		values := []string{string(policy), string(state)}
		h[FieldPolicy], h[FieldState] = values[:1:1], values[1:]
	}
}

func param(b []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(b, name...), min(n, 999_999_999_999_999), 10) // RFC 9651, 3.3.1: 15 digits
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// quoted appends an sf-string (RFC 9651, 3.3.3); what cannot stand in one becomes
// an underscore.
func quoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c > 0x7e:
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
