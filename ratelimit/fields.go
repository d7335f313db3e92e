package ratelimit

import (
	"math"
	"net/http"
	"strconv"
	"strings"
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
	var policy, state strings.Builder
	for i := range asks {
		a := &asks[i]
		if a.Limiter.config.Shadow {
			continue
		}
		if policy.Len() > 0 {
			policy.WriteString(", ")
			state.WriteString(", ")
		}
		c := a.Limiter.config
		quote(&policy, a.Limiter.name)
		param(&policy, "q", c.Points)
		param(&policy, "w", seconds(c.Duration))
		if u := unit(a.Limiter); u != "" {
			policy.WriteString(";qu=")
			quote(&policy, u)
		}
		quote(&state, a.Limiter.name)
		param(&state, "r", a.Remaining)
		param(&state, "t", seconds(a.Reset))
	}
	if policy.Len() > 0 {
		h[FieldPolicy], h[FieldState] = []string{policy.String()}, []string{state.String()}
	}
}

func param(b *strings.Builder, name string, n int64) {
	b.WriteByte(';')
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(strconv.FormatInt(min(n, 999_999_999_999_999), 10)) // RFC 9651, 3.3.1: 15 digits
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// quote writes an sf-string (RFC 9651, 3.3.3); what cannot stand in one becomes
// an underscore.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c > 0x7e:
			b.WriteByte('_')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
